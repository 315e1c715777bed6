"""The notification protocol towards a real socket."""

import os
import socket
from pathlib import Path

import pytest

from edge_agent.notify import Notifier


@pytest.fixture
def listener(tmp_path: Path) -> socket.socket:
    ears = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    ears.bind(str(tmp_path / "n"))
    ears.settimeout(5)
    return ears


def test_ready_reaches_the_manager(listener: socket.socket) -> None:
    with listener:
        notifier = Notifier.from_environment({"NOTIFY_SOCKET": listener.getsockname(), "WATCHDOG_USEC": "3000000"})
        assert notifier.ready()
        assert listener.recv(100) == b"READY=1"
        assert notifier.watchdog_s == 3.0


def test_a_manager_that_does_not_read_costs_messages_not_time(listener: socket.socket) -> None:
    with listener:
        notifier = Notifier(listener.getsockname(), None)
        assert [notifier.heartbeat() for _ in range(5000)][-1] is False


def test_without_a_manager_nothing_happens() -> None:
    assert Notifier.from_environment({}).ready() is False
    assert Notifier("@nobody-listens-here", None).ready() is False


def test_a_watchdog_meant_for_another_process_is_not_ours() -> None:
    environment = {"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": str(os.getpid() + 1)}
    assert Notifier.from_environment(environment).watchdog_s is None
