"""Where the unit stands."""
