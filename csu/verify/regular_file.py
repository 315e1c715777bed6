"""Opening what a clip's folder holds: regular files alone, since a FIFO or a device may keep its reader for ever."""

import os
import stat
from pathlib import Path

from edge_agent.contract.errors import FormatError

_KINDS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}


def open_regular(path: Path) -> int:
    """A descriptor of a regular file, for reading.

    Opened without waiting (open(2), O_NONBLOCK) and looked at again, since another file may have got the name.

    Raises:
        FormatError: it is something else; the message says what.
        OSError: it cannot be opened.
    """
    _check_mode(path.stat().st_mode)
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        _check_mode(os.fstat(descriptor).st_mode)
    except FormatError:
        os.close(descriptor)
        raise
    return descriptor


def _check_mode(mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "something else")
        raise FormatError(f"cannot be opened: it is {kind}, not a regular file")
