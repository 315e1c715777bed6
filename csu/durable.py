"""Durable writes of the centre; the procedure is that of the agent's `durable` module, which `csu` does not import.

`write_file`: write a temporary file beside the target, fsync it, rename it over the target, fsync the directory. A
cut after any step leaves the old or the new content, never a mixture, and at most a stray `.tmp`.
"""

import os
import uuid
from pathlib import Path


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


def write_file(path: Path, content: bytes, mode: int = 0o640) -> None:
    """Replace a file atomically and durably; its directory must exist.

    Raises:
        OSError: the storage refused; the old content is untouched.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    fsync_directory(path.parent)


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
