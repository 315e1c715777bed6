"""Why a data directory cannot be used, in a sentence with a remedy."""

import errno
import os
from pathlib import Path

from edge_agent.errors import RingStorageError
from edge_agent.os_errors import errnos_of


def require_writable(folder: Path) -> None:
    """Look whether the storage of a folder, which may have to be made, says of itself that it takes no writes.

    Raises:
        RingStorageError: it is read-only.
    """
    for path in (folder, *folder.parents):
        try:
            is_read_only = bool(os.statvfs(path).f_flag & os.ST_RDONLY)
        except FileNotFoundError:
            continue
        except OSError:  # who uses the folder hears the same, and says so
            return
        if is_read_only:
            raise RingStorageError(f"{folder} is on read-only storage")
        return


def storage_fault(data_dir: Path, error: BaseException) -> str:
    """What an error that came of using the data directory means for a person.

    Args:
        data_dir: the unit's data directory.
        error: what was raised; the errno of the first OSError in its chain counts.
    """
    number = next(errnos_of(error), None)
    if number == errno.EROFS or _is_read_only(data_dir):
        return (
            f"data_dir {data_dir} is on read-only storage; make it writable"
            " (after a fault: check the disk, then mount it anew)"
        )
    if number in {errno.ENOTDIR, errno.EEXIST} and (culprit := _no_folder(data_dir)) is not None:
        what = f"data_dir {data_dir}" if culprit == data_dir else f"{culprit}, on the way to data_dir {data_dir},"
        return f"{what} is no folder; move it away, or name another folder as [unit] data_dir"
    if number in {errno.EACCES, errno.EPERM}:
        return f"data_dir {data_dir} may not be used by user {os.geteuid()} ({error}); give it that user (chown -R)"
    return f"data_dir {data_dir} cannot be used: {error}"


def _is_read_only(path: Path) -> bool:
    try:
        return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    except OSError:
        return False


def _no_folder(data_dir: Path) -> Path | None:
    """Whatever stands where the data directory, or a folder above it, should be."""
    for path in (data_dir, *data_dir.parents):
        try:
            if path.exists():
                return None if path.is_dir() else path
        except OSError:
            continue
    return None
