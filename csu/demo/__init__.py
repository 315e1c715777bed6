"""`scripts/demo`: broker, centre and units on this machine, one of several in trouble now and then."""
