"""The demonstration's leaf of the centre's exceptions."""

from csu.errors import CsuError


class DemoError(CsuError):
    """The demonstration cannot go on; the message says why and where to look."""
