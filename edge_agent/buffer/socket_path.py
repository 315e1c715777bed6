"""Unix socket addresses of any length.

`sun_path` holds 107 bytes and a zero (unix(7)); a data directory may lie deeper. The folder is then opened and the
socket named through `/proc/self/fd`, without changing the process's working directory.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_MAX_ADDRESS_BYTES = 107


@contextmanager
def socket_address(path: Path) -> Iterator[str]:
    """The address to bind or connect to for a socket file; valid within the `with` block.

    Raises:
        OSError: the folder is absent or closed to this user.
    """
    plain = str(path)
    if len(os.fsencode(plain)) <= _MAX_ADDRESS_BYTES:
        yield plain
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
