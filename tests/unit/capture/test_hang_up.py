"""TCP connections are shut down, and nothing else of the process is touched."""

import select
import socket
from contextlib import ExitStack
from pathlib import Path
from threading import Thread

import pytest

from edge_agent.capture.hang_up import hang_up


def connected(stack: ExitStack) -> tuple[socket.socket, socket.socket]:
    """Both ends of a TCP connection within this process."""
    listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    near = stack.enter_context(socket.create_connection(listener.getsockname()))
    return near, stack.enter_context(listener.accept()[0])


def open_descriptors() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir() if path.exists()}


def test_a_read_that_waits_comes_back() -> None:
    with ExitStack() as stack:
        near, _ = connected(stack)
        read: list[bytes] = []
        reader = Thread(target=lambda: read.append(near.recv(1)))
        reader.start()
        assert hang_up() >= 2
        reader.join(10)
        assert read == [b""]


def test_local_connections_and_files_stay(tmp_path: Path) -> None:
    with ExitStack() as stack:
        near, far = socket.socketpair()
        stack.enter_context(near)
        stack.enter_context(far)
        file = stack.enter_context((tmp_path / "file").open("wb"))
        hang_up()
        assert near.send(b"x") == 1
        assert file.write(b"x") == 1


def test_no_descriptor_is_left_behind(tmp_path: Path) -> None:
    with ExitStack() as stack:
        connected(stack)
        stack.enter_context((tmp_path / "file").open("wb"))
        stack.enter_context(select.epoll())
        before = open_descriptors()
        for _ in range(5):
            hang_up()
        assert open_descriptors() == before


def test_descriptors_that_cannot_be_listed_are_no_failure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("edge_agent.capture.hang_up._DESCRIPTORS", tmp_path / "none")
    assert hang_up() == 0
