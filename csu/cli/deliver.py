"""Puts a verified clip's files where a person wants them: copies, since what lies at the centre is the evidence.

A hard link would hand out the evidence itself: who edits such a file in place edits the centre's. Where the file
system shares blocks until one is written (btrfs, XFS), a copy costs no room.
"""

import errno
import fcntl
import filecmp
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from csu.errors import CsuSettingsError
from edge_agent.contract.manifest import MANIFEST_FILE_NAME
from edge_agent.durable import fsync_directory, make_directory, move_file

_FICLONE = 0x4004_9409
"""ioctl_ficlone(2): `_IOW(0x94, 9, int)`; the fcntl module names it from Python 3.14 on."""

_NO_CLONES = {errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.EPERM, errno.ENOSYS, errno.EISDIR}
"""What a file system answers that has no clones, or none of this file; any other error is the storage's."""

_BLOCK_BYTES = 1 << 20


def deliver(source: Path, folder: Path) -> list[str]:
    """Copy a clip's files into a folder, durably, its manifest last; their names.

    After a kill it may be called again: a file has its name when it is whole, and what lay half copied is removed.

    Raises:
        CsuSettingsError: the folder cannot be written, or another file has the name of one.
    """
    try:
        make_directory(folder)
        names = sorted(
            (path.name for path in source.iterdir() if path.is_file()), key=lambda name: (_is_manifest(name), name)
        )
        for name in names:
            _copy(source / name, folder / name)
        fsync_directory(folder)
    except OSError as error:
        raise CsuSettingsError(f"the clip lies in {source}, but -o {folder} cannot be written: {error}") from error
    return names


def _is_manifest(name: str) -> bool:
    return name == MANIFEST_FILE_NAME


def _copy(source: Path, target: Path) -> None:
    _remove_half_copies(target)
    if not target.exists() and not target.is_symlink():
        with _temporary(target) as (path, copy), source.open("rb") as original:
            _fill(original, copy)
            copy.flush()
            os.fsync(copy.fileno())
            try:
                move_file(path, target)
            except FileExistsError:
                pass  # somebody was faster; what is there is compared below
            else:
                return
    if not target.is_file() or not filecmp.cmp(source, target, shallow=False):
        raise CsuSettingsError(f"{target} is there with other content; the clip lies in {source.parent}")


@contextmanager
def _temporary(target: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """A new file beside the target, locked while it is filled; gone at the end unless it was moved."""
    path = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.tmp")
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
    with os.fdopen(descriptor, "wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield path, file
        finally:
            path.unlink(missing_ok=True)


def _remove_half_copies(target: Path) -> None:
    """Of deliveries that were killed; one that goes on holds the lock of its file."""
    for path in target.parent.glob(f".{target.name}.*.tmp"):
        with path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            path.unlink(missing_ok=True)


def _fill(original: BinaryIO, copy: BinaryIO) -> None:
    try:
        fcntl.ioctl(copy.fileno(), _FICLONE, original.fileno())
    except OSError as error:
        if error.errno not in _NO_CLONES:
            raise
        while block := original.read(_BLOCK_BYTES):
            copy.write(block)
