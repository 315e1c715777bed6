"""Connections to one port are shut down, and no others."""

import socket
from contextlib import ExitStack
from threading import Thread

from edge_agent.capture.hang_up import hang_up


def connected(stack: ExitStack) -> tuple[int, socket.socket]:
    """A listener's port and a connection to it."""
    listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    port: int = listener.getsockname()[1]
    connection = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
    stack.enter_context(listener.accept()[0])
    return port, connection


def test_a_read_that_waits_comes_back() -> None:
    with ExitStack() as stack:
        port, connection = connected(stack)
        read: list[bytes] = []
        reader = Thread(target=lambda: read.append(connection.recv(1)))
        reader.start()
        assert hang_up(port) == 1
        reader.join(10)
        assert read == [b""]


def test_other_connections_stay() -> None:
    with ExitStack() as stack:
        port, _ = connected(stack)
        _, other = connected(stack)
        near, far = socket.socketpair()
        stack.enter_context(near)
        stack.enter_context(far)
        hang_up(port)
        assert other.send(b"x") == 1
        assert near.send(b"x") == 1


def test_no_connection_is_no_error() -> None:
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        assert hang_up(listener.getsockname()[1]) == 0
