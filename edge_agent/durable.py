"""Durable writes: what these functions returned from survives a power cut at any later instant.

Procedure of `write_file`, and what a cut after each step leaves:

1. write a temporary file beside the target           – old content, a stray `.tmp`
2. fsync the temporary file                            – old content, a stray `.tmp`
3. rename it over the target                           – old or new content, never a mixture
4. fsync the directory                                 – new content

Stray `.tmp` files are removed by `sweep_temporary_files` at start.

`create_file` does the same for a name that must not exist yet; step 3 is then link(2) and unlink(2), and a name that
was taken in the meantime is left as it is. `move_file` gives a synced file such a name; a cut leaves it under the old
name, under both, or under the new one.
"""

import errno
import logging
import os
import uuid
from collections.abc import Iterable
from pathlib import Path

_TEMPORARY_SUFFIX = ".tmp"

_log = logging.getLogger(__name__)


def fsync_directory(path: Path) -> None:
    """Make creations, renames and removals in a directory durable.

    Raises:
        OSError: the directory cannot be opened or synced.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_file(path: Path, content: bytes | Iterable[bytes], mode: int = 0o640) -> None:
    """Replace a file atomically and durably.

    Args:
        path: the target; its directory must exist.
        content: the bytes, or pieces of them in order.
        mode: permission bits of the new file.

    Raises:
        OSError: the storage refused; the old content is untouched.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}{_TEMPORARY_SUFFIX}")
    try:
        _write_synced(temporary, content, mode)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    fsync_directory(path.parent)


def create_file(path: Path, content: bytes | Iterable[bytes], mode: int = 0o640) -> None:
    """Create a file atomically and durably; never touches one that is there.

    On file systems without hard links (FAT, exFAT) the name is claimed by an empty file first; a cut before the
    rename leaves that empty file.

    Args:
        path: the target; its directory must exist.
        content: the bytes, or pieces of them in order.
        mode: permission bits of the new file.

    Raises:
        FileExistsError: the name is taken, perhaps since a moment ago.
        OSError: the storage refused; nothing of that name was made.
    """
    if path.exists():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}{_TEMPORARY_SUFFIX}")
    try:
        _write_synced(temporary, content, mode)
        _take_name(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    fsync_directory(path.parent)


def move_file(source: Path, target: Path) -> None:
    """Give a file another name durably, on the same file system; never touches one that has the name.

    On file systems without hard links a cut may leave an empty file of that name, as `create_file` does.

    Args:
        source: its bytes are synced already.
        target: the new name; its directory must exist.

    Raises:
        FileExistsError: the name is taken, perhaps by this very file: a cut came between two steps.
        OSError: the storage refused.
    """
    _take_name(source, target)
    fsync_directory(target.parent)
    source.unlink(missing_ok=True)
    fsync_directory(source.parent)


def _take_name(temporary: Path, path: Path) -> None:
    try:
        path.hardlink_to(temporary)
    except OSError as error:
        if error.errno not in {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS}:
            raise
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC))
        temporary.replace(path)


def _write_synced(path: Path, content: bytes | Iterable[bytes], mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        pieces = [content] if isinstance(content, bytes) else content
        for piece in pieces:
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())


def make_directory(path: Path, mode: int = 0o750) -> None:
    """Create a directory, and its parents, durably; an existing one is left alone.

    Raises:
        OSError: the storage refused.
    """
    missing = []
    current = path
    while not current.exists():
        missing.append(current)
        current = current.parent
    for directory in reversed(missing):
        directory.mkdir(mode=mode, exist_ok=True)
        fsync_directory(directory.parent)


def settle_directory(path: Path) -> None:
    """As `make_directory`, and make the name of an existing one durable.

    For a folder that a process may have made and not lived to sync: everything in it hangs on its name.

    Raises:
        OSError: the storage refused.
    """
    make_directory(path)
    fsync_directory(path.parent)


def remove_file(path: Path) -> None:
    """Remove a file durably; a missing one is fine.

    Raises:
        OSError: the storage refused.
    """
    path.unlink(missing_ok=True)
    fsync_directory(path.parent)


def sweep_temporary_files(directory: Path) -> int:
    """Remove what interrupted `write_file` calls left; the number removed.

    One that the storage refuses to remove harms nobody and stays.

    Raises:
        OSError: the directory cannot be read.
    """
    removed = 0
    for stray in directory.glob(f".*{_TEMPORARY_SUFFIX}"):
        try:
            stray.unlink(missing_ok=True)
        except OSError as error:
            _log.warning("%s stays: %s", stray, error)
            continue
        removed += 1
    return removed
