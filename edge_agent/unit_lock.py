"""One supervisor a data directory: `run/unit.lock`, held with flock(2) for the life of the process.

Two supervisors would end each other's children for ever, since each takes their locks over.
"""

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_agent.durable import make_directory
from edge_agent.errors import UnitBusyError
from edge_agent.paths import unit_lock

logger = logging.getLogger(__name__)


@contextmanager
def hold_unit_lock(data_dir: Path) -> Iterator[None]:
    """Hold the lock.

    A storage that refuses the file (full, read-only) is no reason not to run: the recorders say what is wrong with
    it, and free space where that helps.

    Raises:
        UnitBusyError: another supervisor holds it.
    """
    path = unit_lock(data_dir)
    try:
        make_directory(path.parent)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as error:
        logger.warning("%s cannot be used (%s): nothing keeps a second supervisor away", path, error.strerror)
        yield
        return
    try:
        _lock(descriptor, path)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise UnitBusyError(
            f"process {_holder(descriptor)} runs this unit already (it holds {path}); end it first"
        ) from error
    except OSError as error:  # a file system without locks, a dying disk
        logger.warning("%s cannot be locked (%s): nothing keeps a second supervisor away", path, error.strerror)
    try:
        os.pwrite(descriptor, f"{os.getpid():<15}\n".encode(), 0)
    except OSError as error:
        logger.warning("%s: %s", path, error.strerror)


def _holder(descriptor: int) -> str:
    try:
        return os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
    except OSError:
        return "unknown"
