"""The tests' own tools do what other tests rely on."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from blockbuster import BlockingError

from edge_agent.clock import SystemClock
from tests.support.polling import until, wait_until
from tests.support.processes import Processes

_PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
print(child.pid, flush=True)
child.wait()
"""


async def test_blocking_the_loop_fails() -> None:
    with pytest.raises(BlockingError):
        SystemClock().sleep(0.001)


async def test_blocking_in_a_thread_is_allowed() -> None:
    await asyncio.to_thread(SystemClock().sleep, 0.001)


def test_stopped_processes_and_their_children_end() -> None:
    processes = Processes()
    parent = processes.start([sys.executable, "-c", _PARENT], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    child.send_signal(signal.SIGSTOP)
    processes.kill_all()
    assert parent.returncode == -signal.SIGKILL
    wait_until(lambda: not _is_alive(child), what="end of the child")


def _is_alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def test_waiting_gives_the_outcome(tmp_path: Path) -> None:
    assert wait_until(lambda: tmp_path if tmp_path.exists() else None, what="folder") == tmp_path


async def test_waiting_in_vain_says_for_what() -> None:
    with pytest.raises(AssertionError, match="dawn: not within"):
        await until(lambda: False, what="dawn", timeout_s=0.05)
