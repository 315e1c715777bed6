"""Ends a library's wait for a camera from outside: its TCP connections are shut down, and its read comes back.

libav can be asked to look at a clock while it reads, but PyAV's answer takes Python's global lock, twice for each of
the thousand and more reads a second: a tenth of all that recording costs. So reads have the socket's own time-out,
and what that does not see, such as a camera that sends reports and no pictures, is ended here.
"""

import os
import socket
from contextlib import suppress
from pathlib import Path

_DESCRIPTORS = Path("/proc/self/fd")


def hang_up(port: int) -> int:
    """Shut down this process's TCP connections to a remote port; how many there were. Any thread may call it.

    A recorder talks TCP to its camera alone. A descriptor that is closed or used anew meanwhile does no harm: each is
    looked at through a duplicate of its own.
    """
    return sum(_shut_down(int(name), port) for name in os.listdir(_DESCRIPTORS))  # noqa: PTH208 -- names, not paths


def _shut_down(descriptor: int, port: int) -> bool:
    with suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as connection:
        is_tcp = connection.family in {socket.AF_INET, socket.AF_INET6} and connection.type == socket.SOCK_STREAM
        if is_tcp and connection.getpeername()[1] == port:
            connection.shutdown(socket.SHUT_RDWR)
            return True
    return False
