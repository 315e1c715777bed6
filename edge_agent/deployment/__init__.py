"""The deployment under which the unit records."""
