"""Ends a library's wait for a camera from outside: its TCP connections are shut down, and its read comes back.

libav can be asked to look at a clock while it reads, but PyAV's answer takes Python's global lock, twice for each of
the thousand and more reads a second: a tenth of all that recording costs. So reads have the socket's own time-out,
and what that does not see, such as a camera that sends reports and no pictures, is ended here.
"""

import logging
import os
import socket
import stat
from contextlib import suppress
from pathlib import Path

logger = logging.getLogger(__name__)

_DESCRIPTORS = Path("/proc/self/fd")


def hang_up() -> int:
    """Shut down every TCP connection of this process; how many there were. Any thread may call it.

    A recorder talks TCP to its camera alone, whose connection may have moved to another port than its address says. A
    descriptor that is closed or used anew meanwhile does no harm: each is looked at through a duplicate of its own.
    It raises nothing: where descriptors cannot be listed or duplicated, connections stay.
    """
    try:
        names = os.listdir(_DESCRIPTORS)  # noqa: PTH208 -- names, not paths
    except OSError as error:
        logger.warning("cannot hang up: %s", error)
        return 0
    return sum(_shut_down(int(name)) for name in names)


def _shut_down(descriptor: int) -> bool:
    try:
        duplicate = os.dup(descriptor)
    except OSError:
        return False
    if not stat.S_ISSOCK(os.fstat(duplicate).st_mode):
        os.close(duplicate)
        return False
    try:
        connection = socket.socket(fileno=duplicate)
    except OSError:
        os.close(duplicate)
        return False
    is_tcp = connection.family in {socket.AF_INET, socket.AF_INET6} and connection.type == socket.SOCK_STREAM
    with connection, suppress(OSError):  # it listens, or has been shut down already
        if is_tcp and connection.getpeername():
            connection.shutdown(socket.SHUT_RDWR)
            return True
    return False
