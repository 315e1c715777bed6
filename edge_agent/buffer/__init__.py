"""Access units become segments on disk; segments become clips."""
