"""Measurements of the project against its peers."""
