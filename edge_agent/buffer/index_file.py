"""Which file is the index of a ring, and what becomes of one that is damaged or that the storage cannot read."""

import logging
import sqlite3
from contextlib import suppress
from pathlib import Path

from edge_agent.buffer.layout import DAMAGED_FOLDER, INDEX_FILE
from edge_agent.durable import fsync_directory
from edge_agent.os_errors import is_rotten

logger = logging.getLogger(__name__)

INDEX_FILES = (INDEX_FILE, f"another-{INDEX_FILE}")
"""The second is for a storage that neither reads nor moves the first."""

_DAMAGE_MARK = "index.damaged"


def index_files_of(directory: Path) -> tuple[str, ...]:
    """In which order they are used: once there is another, the first is not the newest any more."""
    try:
        (directory / INDEX_FILES[-1]).lstat()
    except FileNotFoundError:
        return INDEX_FILES
    except OSError as error:
        logger.warning("%s", error)
    return INDEX_FILES[::-1]


def mark_index_damaged(directory: Path) -> None:
    """The next start replaces the index.

    Raises:
        OSError: the storage refused.
    """
    (directory / _DAMAGE_MARK).touch()
    fsync_directory(directory)


def obey_mark(directory: Path) -> None:
    """Move a marked index aside; one that the storage does not move is used as it is.

    Raises:
        OSError: the storage refused.
    """
    mark = directory / _DAMAGE_MARK
    try:
        if not mark.exists():
            return
        _move_all_aside(directory)
        mark.unlink()
    except OSError as error:
        if not is_rotten(error):
            raise
        logger.warning("the index is used as it is: %s", error)


def _move_all_aside(directory: Path) -> None:
    for file in INDEX_FILES[::-1]:
        try:
            move_index_aside(directory, file)
        except OSError as error:
            if not is_rotten(error):
                raise
            logger.warning("%s stays: %s", directory / file, error)


def move_index_aside(directory: Path, file: str) -> None:
    """Move an index to `damaged/`.

    Raises:
        OSError: the storage refused.
    """
    for suffix in ("", "-wal", "-shm"):
        path = directory / f"{file}{suffix}"
        with suppress(FileNotFoundError):
            path.replace(directory / DAMAGED_FOLDER / path.name)
    fsync_directory(directory)


def is_unreadable(error: BaseException) -> bool:
    """Whether the storage cannot read a file, the index perhaps, while the rest of it may be well."""
    code = getattr(error.__cause__, "sqlite_errorcode", None)
    return is_rotten(error) or code in {sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_CORRUPTFS}
