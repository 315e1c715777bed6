"""Every message, command and stored format that leaves or outlives a process."""
