"""What `csu clip` and `csu fetch` hand out: copies, whole or not there."""

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO

import pytest

from csu.cli import deliver as room
from csu.cli.deliver import deliver
from csu.errors import CsuSettingsError

PART, MANIFEST = "part.mp4", "manifest.jws"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / PART).write_bytes(b"evidence")
    (folder / MANIFEST).write_bytes(b"signed")
    return folder


def test_what_is_done_to_the_copy_is_not_done_to_the_evidence(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "a" / "b"
    assert deliver(source, out) == [PART, MANIFEST]
    assert not (out / PART).samefile(source / PART)
    with (out / PART).open("r+b") as file:
        file.write(b"X")
    assert (source / PART).read_bytes() == b"evidence"
    assert (out / PART).read_bytes() == b"Xvidence"


def test_what_is_there_is_kept(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    deliver(source, out)
    assert deliver(source, out) == [PART, MANIFEST]
    (out / PART).write_bytes(b"mine")
    with pytest.raises(CsuSettingsError, match="other content"):
        deliver(source, out)
    assert (out / PART).read_bytes() == b"mine"


def test_a_link_of_that_name_is_not_written_through(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / PART).symlink_to(tmp_path / "dangling")
    with pytest.raises(CsuSettingsError, match="other content"):
        deliver(source, out)
    assert not (tmp_path / "dangling").exists()


def test_a_file_system_with_clones_is_asked_for_one(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloned = []

    def ioctl(copy: int, request: int, original: int) -> int:
        assert request == 0x40049409
        os.write(copy, os.read(original, 100))
        cloned.append(copy)
        return 0

    monkeypatch.setattr("csu.cli.deliver.fcntl.ioctl", ioctl)
    deliver(source, tmp_path / "out")
    assert len(cloned) == 2
    assert (tmp_path / "out" / PART).read_bytes() == b"evidence"


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.EXDEV, errno.ENOTTY])
def test_another_file_system_gets_the_bytes(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_words: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("csu.cli.deliver.fcntl.ioctl", refuse)
    monkeypatch.setattr(room, "_BLOCK_BYTES", 3)
    deliver(source, tmp_path / "out")
    assert (tmp_path / "out" / PART).read_bytes() == b"evidence"


def test_a_full_disk_leaves_no_half_file(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(_original: BinaryIO, copy: BinaryIO) -> None:
        copy.write(b"evi")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(room, "_fill", fill)
    with pytest.raises(CsuSettingsError, match=r"-o .*No space left"):
        deliver(source, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


_KILLED = """
import os, signal, sys
from pathlib import Path
from csu.cli import deliver as room
def fill(original, copy):
    copy.write(b"evi")
    copy.flush()
    os.kill(os.getpid(), signal.SIGKILL)
room._fill = fill
room.deliver(Path(sys.argv[1]), Path(sys.argv[2]))
"""


def test_a_kill_leaves_no_half_file_of_the_name_and_the_next_call_mends_it(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    subprocess.run([sys.executable, "-c", _KILLED, source, out], timeout=60)
    assert [path.suffix for path in out.iterdir()] == [".tmp"]
    assert deliver(source, out) == [PART, MANIFEST]
    assert sorted(path.name for path in out.iterdir()) == [MANIFEST, PART]


def test_the_half_copy_of_a_delivery_that_goes_on_is_left_to_it(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    half = out / f".{PART}.12345678.tmp"
    with half.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        deliver(source, out)
        assert half.exists()
