"""How a verification tells that it goes on."""

from collections.abc import Callable

Progress = Callable[[], None]
"""Called after each piece of work that the size of the files bounds: a read, a decoded picture."""


def untold() -> None:
    """Nobody asks."""
