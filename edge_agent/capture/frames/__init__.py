"""Uncompressed pictures between sensor and encoder: what is drawn on them, and what is seen in them."""
