"""One process a ring: an flock(2) on `lock`, with the holder's pid written in it for whoever wants to take over."""

import errno
import fcntl
import os
from pathlib import Path

from edge_agent.errors import RingBusyError, RingStorageError

_MODE = 0o640


class RingLock:
    """Held from construction to `release`; a killed holder's lock is free at once."""

    def __init__(self, path: Path) -> None:
        """Take the lock.

        Raises:
            RingBusyError: another live process holds it.
            RingStorageError: the file cannot be opened or written.
        """
        self._descriptor = _open(path)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Written over the last holder's, blanks included: on a full disk no block has to be found for it.
            os.pwrite(self._descriptor, f"{os.getpid():<15}\n".encode(), 0)
        except BlockingIOError as error:
            holder = _holder(self._descriptor)
            os.close(self._descriptor)
            raise RingBusyError(f"{path.parent} is in use by process {holder}") from error
        except OSError as error:
            os.close(self._descriptor)
            raise RingStorageError(f"cannot lock {path}: {error.strerror}") from error

    def release(self) -> None:
        """Let another process in."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)
    except OSError as error:
        if error.errno == errno.EROFS and path.exists():
            _check_free(path)
        raise RingStorageError(f"cannot open {path}: {error.strerror}") from error


def _check_free(path: Path) -> None:
    """Where the lock cannot be taken: whether somebody holds it, who can be asked.

    Raises:
        RingBusyError: somebody does.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise RingBusyError(f"{path.parent} is in use by process {_holder(descriptor)}") from error
    finally:
        os.close(descriptor)


def _holder(descriptor: int) -> str:
    return os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
