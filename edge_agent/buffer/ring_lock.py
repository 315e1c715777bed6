"""One process a ring: an flock(2) on its folder and on `lock`, with the holder's pid in that file for who takes over.

The folder's lock is what holds when the storage cannot read the file any more: footage does not wait for it.
"""

import errno
import fcntl
import logging
import os
from contextlib import ExitStack
from pathlib import Path

from edge_agent.buffer.layout import DAMAGED_FOLDER, LOCK_FILE, PLANS_FOLDER, SEGMENTS_FOLDER
from edge_agent.durable import settle_directory, sweep_temporary_files
from edge_agent.errors import RingBusyError, RingStorageError
from edge_agent.os_errors import is_rotten

logger = logging.getLogger(__name__)

_MODE = 0o640


class RingLock:
    """Held from construction to `release`; a killed holder's lock is free at once."""

    def __init__(self, path: Path) -> None:
        """Take the lock.

        Raises:
            RingBusyError: another live process holds it.
            RingStorageError: the file cannot be opened or written.
        """
        with ExitStack() as held:
            _lock_file(path, held)
            _lock_folder(path.parent, held)
            self._held = held.pop_all()

    def release(self) -> None:
        """Let another process in."""
        self._held.close()


def _lock_file(path: Path, held: ExitStack) -> None:
    try:
        descriptor = _open(path)
    except RingStorageError as error:
        if not is_rotten(error):
            raise
        logger.warning("%s; the folder's lock alone keeps others away", error)
        return
    held.callback(os.close, descriptor)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Written over the last holder's, blanks included: on a full disk no block has to be found for it.
        os.pwrite(descriptor, f"{os.getpid():<15}\n".encode(), 0)
    except BlockingIOError as error:
        raise RingBusyError(f"{path.parent} is in use by process {_holder(descriptor)}") from error
    except OSError as error:
        if not is_rotten(error):
            raise RingStorageError(f"cannot lock {path}: {error.strerror}") from error
        logger.warning("%s does not say who holds it: %s", path, error.strerror)


def _lock_folder(folder: Path, held: ExitStack) -> None:
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        held.callback(os.close, descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise RingBusyError(f"{folder} is in use by another process") from error
    except OSError as error:
        if error.errno not in _NO_FOLDER_LOCKS:
            raise RingStorageError(f"cannot lock {folder}: {error.strerror}") from error
        logger.debug("%s: its file system locks files alone", folder)


_NO_FOLDER_LOCKS = frozenset({errno.EBADF, errno.EINVAL, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS})
"""Of file systems that lock for writing alone (NFS), or no folders."""


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
    try:
        return os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
    except OSError:
        return "unknown"


def take_ring(directory: Path) -> RingLock:
    """Make a ring's folders, take its lock, clear what interrupted writes left.

    Raises:
        RingBusyError: another live process owns the ring.
        RingStorageError: the storage refused.
    """
    try:
        settle_directory(directory.parent)
        settle_directory(directory)
        with ExitStack() as unless_settled:
            lock = RingLock(directory / LOCK_FILE)
            unless_settled.callback(lock.release)
            _settle_folders(directory)
            unless_settled.pop_all()
            return lock
    except OSError as error:
        raise RingStorageError(f"cannot prepare {directory}: {error.strerror}") from error


def _settle_folders(directory: Path) -> None:
    settle_directory(directory / SEGMENTS_FOLDER)
    for name in (PLANS_FOLDER, DAMAGED_FOLDER):
        try:
            settle_directory(directory / name)
        except OSError as error:
            if not is_rotten(error):
                raise
            logger.warning("%s cannot be used, footage is recorded without it: %s", directory / name, error)
    sweep_temporary_files(directory)
