"""One link a data directory: `link/link.lock`, held with flock(2) for the life of the process."""

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_agent.clock import Clock
from edge_agent.durable import make_directory
from edge_agent.errors import LinkBusyError
from edge_agent.paths import link_lock
from edge_agent.storage_fault import storage_fault
from edge_agent.takeover import retire_holder

logger = logging.getLogger(__name__)


@contextmanager
def hold_link_lock(data_dir: Path, clock: Clock, take_over: bool) -> Iterator[None]:
    """Hold the lock; its file holds the pid of the holder.

    Args:
        data_dir: of the unit.
        clock: injected.
        take_over: end the process that holds it first.

    Raises:
        LinkBusyError: another process holds it, or the data directory cannot be used.
    """
    path = link_lock(data_dir)
    try:
        make_directory(path.parent)
        if take_over:
            retire_holder(path, clock)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as error:
        raise LinkBusyError(f"no link: {storage_fault(data_dir, error)}") from error
    try:
        _lock(descriptor, path)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise LinkBusyError(f"another link holds {path}; end it first, or start with --take-over") from error
    try:
        # Padded, not truncated first: on a full disk the file keeps its block, and the pid gets in.
        os.pwrite(descriptor, f"{os.getpid():<15}\n".encode(), 0)
    except OSError as error:
        logger.warning("%s does not say who holds it: %s", path, error.strerror)
