import fcntl
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from csu.children import bound, end_leftover, wait_readable
from tests.support.polling import wait_until
from tests.support.processes import Processes

_PARENT = """
import subprocess, sys
from csu.children import bound
child = subprocess.Popen(bound([sys.executable, "-c", "import signal; signal.pause()"]), start_new_session=True)
print(child.pid, flush=True)
child.wait()
"""


def test_a_child_ends_with_its_killed_parent(processes: Processes) -> None:
    parent = processes.start([sys.executable, "-c", _PARENT], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    wait_until(lambda: child.cmdline()[:1] == [sys.executable], what="the child behind its guards")
    parent.kill()
    parent.wait(30)
    psutil.wait_procs([child], timeout=30)
    assert not child.is_running()


def test_a_child_whose_parent_is_gone_already_does_not_start() -> None:
    command = bound([sys.executable, "-c", "print('started')"])
    orphaned = [str(os.getppid()) if word == str(os.getpid()) else word for word in command]
    assert subprocess.run(orphaned, capture_output=True).stdout == b""
    assert subprocess.run(command, capture_output=True).stdout == b"started\n"


def test_only_the_process_that_is_meant_is_ended(tmp_path: Path, processes: Processes) -> None:
    pause = [sys.executable, "-c", "import signal; signal.pause()"]
    mine, other = processes.start([*pause, tmp_path / "mine"]), processes.start([*pause, tmp_path / "other"])
    pid_file = tmp_path / "pid"
    end_leftover(pid_file, tmp_path / "mine")
    for text in ("", "garbage", "999999999", str(other.pid)):
        pid_file.write_text(text)
        end_leftover(pid_file, tmp_path / "mine")
    assert other.poll() is None
    wait_until(lambda: str(tmp_path / "mine") in psutil.Process(mine.pid).cmdline(), what="start")
    pid_file.write_text(f"{mine.pid}\n")
    end_leftover(pid_file, tmp_path / "mine")
    assert mine.wait(30) == -signal.SIGTERM


def test_without_setpriv_the_command_is_unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("csu.children.shutil.which", lambda *_, **__: None)
    assert bound(["a", Path("b")]) == ["a", "b"]


def test_descriptors_beyond_those_of_select_are_waited_for() -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limits[1], limits[1]))
    reader, writer = os.pipe()
    high = fcntl.fcntl(reader, fcntl.F_DUPFD_CLOEXEC, 1100)
    try:
        assert not wait_readable([high], 0.0)
        os.write(writer, b"x")
        assert wait_readable([high], 30.0)
    finally:
        for descriptor in (high, reader, writer):
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
