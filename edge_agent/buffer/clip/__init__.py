"""Segments become clips: views onto unchanged ring bytes."""
