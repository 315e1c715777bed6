"""Taking a lock over from a process that outlived its supervisor.

A recorder goes on when its supervisor is killed: recording comes first. The next supervisor's recorder then finds
the ring locked. It asks the holder to end (SIGTERM: the segment is closed), and kills it when it does not, stopped
processes included; the files and their recovery make that safe.
"""

import contextlib
import errno
import fcntl
import logging
import os
import select
import signal
from pathlib import Path

from edge_agent.clock import Clock

logger = logging.getLogger(__name__)

_PROBE_S = 0.05


def is_locked(path: Path) -> bool:
    """Whether a live process holds the flock(2) of this file; False when there is no file.

    Raises:
        OSError: the file cannot be opened.
    """
    try:
        descriptor = _opened(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _opened(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)  # NFS locks for writing only what is open for it
    except OSError as error:
        if error.errno != errno.EROFS:
            raise
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def _seems_locked(path: Path) -> bool:
    try:
        return is_locked(path)
    except OSError as error:
        logger.warning("nobody can say who holds %s: %s", path, error.strerror)
        return False


def read_holder(path: Path) -> int | None:
    """The pid that the holder wrote into its lock file; None when there is none to read."""
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return int(text) if text.isdigit() and int(text) > 1 else None


def retire_holder(path: Path, clock: Clock, grace_s: float = 4.0) -> bool:
    """End the process that holds a lock: SIGTERM, and SIGKILL after `grace_s`.

    The pid is followed through a pidfd, and only a process that has the lock file open is signalled: a reused pid,
    or one of another container that shares the data directory, is left alone.

    Returns:
        True when the lock is free now, as far as can be seen: whoever takes it next says what is wrong with the file.

    Raises:
        OSError: the holder belongs to another user.
    """
    if not _seems_locked(path):
        return True
    holder = read_holder(path)
    if holder is None or holder == os.getpid():
        return False
    try:
        descriptor = os.pidfd_open(holder)
    except ProcessLookupError:
        return not _seems_locked(path)
    try:
        if _has_open(holder, path):
            _end(descriptor, holder, grace_s)
    finally:
        os.close(descriptor)
    return _freed(path, clock)


def _has_open(pid: int, path: Path) -> bool:
    """Whether a process has a file open (proc(5), /proc/pid/fd)."""
    wanted = path.stat()
    try:
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(link.stat(), wanted):
                    return True
    except (FileNotFoundError, ProcessLookupError):
        return False
    return False


def _end(descriptor: int, holder: int, grace_s: float) -> None:
    logger.warning("process %d of an earlier supervisor holds the lock: ending it", holder)
    for number, wait_s in ((signal.SIGTERM, grace_s), (signal.SIGKILL, 5.0)):
        try:
            signal.pidfd_send_signal(descriptor, number)
        except ProcessLookupError:
            return
        if select.select([descriptor], [], [], wait_s)[0]:
            return


def _freed(path: Path, clock: Clock) -> bool:
    for _ in range(40):
        if not _seems_locked(path):
            return True
        clock.sleep(_PROBE_S)
    return False
