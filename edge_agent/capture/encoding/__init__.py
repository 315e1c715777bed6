"""Encoders behind one interface: tried out before they are used, watched while they are, replaced when they fail."""
