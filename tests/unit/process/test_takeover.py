"""Locks that an orphan holds."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edge_agent.clock import SystemClock
from edge_agent.takeover import is_locked, retire_holder
from tests.support.rotten import rot

HOLDER = """
import fcntl, os, signal, sys
if "--deaf" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
file = open(sys.argv[1], "w")
fcntl.flock(file, fcntl.LOCK_EX)
file.write(str(os.getpid()))
file.flush()
print("held", flush=True)
signal.pause()
"""


def hold(path: Path, *flags: str) -> "subprocess.Popen[bytes]":
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(path), *flags], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    return process


@pytest.mark.parametrize(("flags", "stopped"), [((), False), (("--deaf",), False), ((), True)])
def test_the_holder_is_ended(tmp_path: Path, flags: tuple[str, ...], stopped: bool) -> None:
    path = tmp_path / "lock"
    with hold(path, *flags) as process:
        if stopped:
            os.kill(process.pid, signal.SIGSTOP)
        assert is_locked(path)
        assert retire_holder(path, SystemClock(), grace_s=0.3)
        assert process.wait(5) in {-signal.SIGTERM, -signal.SIGKILL}
    assert not is_locked(path)


def test_a_free_lock_is_left_alone(tmp_path: Path) -> None:
    assert retire_holder(tmp_path / "none", SystemClock())
    (tmp_path / "lock").write_text("1234567")
    assert retire_holder(tmp_path / "lock", SystemClock())


def test_a_lock_that_cannot_be_read_is_nobody_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lock").touch()
    rot(monkeypatch, tmp_path / "lock")
    assert retire_holder(tmp_path / "lock", SystemClock())
    assert retire_holder(tmp_path / "lock" / "below", SystemClock())


def test_a_lock_on_read_only_storage_is_looked_at_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "lock"
    real_open = os.open

    def open_read_only(name: Path, flags: int, *more: int) -> int:
        if name == path and flags & os.O_RDWR:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return real_open(name, flags, *more)

    with hold(path) as process:
        monkeypatch.setattr(os, "open", open_read_only)
        assert is_locked(path)
        assert retire_holder(path, SystemClock(), grace_s=0.3)
        assert process.wait(5) == -signal.SIGTERM


@pytest.mark.parametrize("text", ["", "garbage", "1", "-5", "0"])
def test_an_unreadable_holder_is_never_signalled(tmp_path: Path, text: str) -> None:
    path = tmp_path / "lock"
    path.write_text(text)
    with path.open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert retire_holder(path, SystemClock()) is False


def test_a_process_that_does_not_hold_the_file_is_never_signalled(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]) as bystander:
        path.write_text(str(bystander.pid))  # a pid of another life, or of another container
        with path.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            assert retire_holder(path, SystemClock(), grace_s=0.1) is False
        assert bystander.poll() is None
        bystander.kill()
