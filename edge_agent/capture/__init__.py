"""A camera becomes a stream of dated, encoded access units."""
