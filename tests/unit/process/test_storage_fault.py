"""What is said of a data directory that cannot be used."""

import errno
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from edge_agent.errors import RingStorageError
from edge_agent.storage_fault import require_writable, storage_fault


def raised_from(number: int) -> RingStorageError:
    error = RingStorageError("the ring refuses")
    error.__cause__ = OSError(number, os.strerror(number))
    return error


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EROFS, "read-only storage; make it writable"),
        (errno.EACCES, f"may not be used by user {os.geteuid()}"),
        (errno.EIO, "cannot be used: the ring refuses"),
        (errno.ENOTDIR, "cannot be used: the ring refuses"),
    ],
)
def test_the_cause_is_named(tmp_path: Path, number: int, words: str) -> None:
    fault = storage_fault(tmp_path, raised_from(number))
    assert str(tmp_path) in fault
    assert words in fault


def test_what_stands_in_the_way_is_named(tmp_path: Path) -> None:
    data_dir = tmp_path / "file" / "data"
    data_dir.parent.touch()
    fault = storage_fault(data_dir, raised_from(errno.ENOTDIR))
    assert fault.startswith(f"{data_dir.parent}, on the way to data_dir {data_dir}, is no folder")
    data_dir.parent.unlink()
    data_dir.parent.mkdir()
    data_dir.touch()
    assert storage_fault(data_dir, raised_from(errno.ENOTDIR)).startswith(f"data_dir {data_dir} is no folder")


def test_only_storage_that_says_so_is_read_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require_writable(tmp_path)
    require_writable(tmp_path / "missing")
    file = tmp_path / "file"
    file.touch()
    require_writable(file / "below")
    monkeypatch.setattr(os, "statvfs", lambda _path: SimpleNamespace(f_flag=os.ST_RDONLY))
    with pytest.raises(RingStorageError, match="read-only"):
        require_writable(tmp_path)
    with pytest.raises(RingStorageError, match=r"missing/ring is on read-only"):
        require_writable(tmp_path / "missing" / "ring")
