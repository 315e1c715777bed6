"""The demonstration's road between a unit and its centre: it hands on, stands still, and goes on."""

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest

from tests.support.polling import wait_until
from tests.support.processes import Processes


@pytest.fixture
def centre() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(60)
        yield listener


@pytest.fixture
def road(centre: socket.socket, processes: Processes) -> tuple["subprocess.Popen[bytes]", int]:
    """A relay that leads to the centre, and its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        word = f"{listener.fileno()}:{centre.getsockname()[1]}"
        relay = processes.start([sys.executable, "-m", "csu.demo.relay", word], pass_fds=[listener.fileno()])
        return relay, listener.getsockname()[1]


def meet(centre: socket.socket, port: int) -> tuple[socket.socket, socket.socket]:
    """Both ends of a connection through the road."""
    unit = socket.create_connection(("127.0.0.1", port), timeout=60)
    there, _ = centre.accept()
    there.settimeout(60)
    return unit, there


def test_both_directions_are_handed_on_until_one_side_ends(
    centre: socket.socket, road: tuple["subprocess.Popen[bytes]", int]
) -> None:
    unit, there = meet(centre, road[1])
    unit.sendall(b"up")
    assert there.recv(10) == b"up"
    there.sendall(b"down")
    assert unit.recv(10) == b"down"
    there.close()
    assert unit.recv(10) == b""
    unit.close()


def test_what_is_sent_while_it_is_away_arrives_when_it_is_back(
    centre: socket.socket, road: tuple["subprocess.Popen[bytes]", int]
) -> None:
    relay, port = road
    unit, there = meet(centre, port)
    relay.send_signal(signal.SIGSTOP)
    wait_until(lambda: psutil.Process(relay.pid).status() == psutil.STATUS_STOPPED, what="a road that is away")
    unit.sendall(b"patience")
    there.settimeout(0.3)
    with pytest.raises(TimeoutError):
        there.recv(10)
    relay.send_signal(signal.SIGCONT)
    there.settimeout(60)
    assert there.recv(10) == b"patience"
    for end in (unit, there):
        end.close()


def test_a_centre_that_is_not_there_ends_the_connection(
    centre: socket.socket, road: tuple["subprocess.Popen[bytes]", int]
) -> None:
    centre.close()
    with socket.create_connection(("127.0.0.1", road[1]), timeout=60) as unit:
        assert unit.recv(10) == b""


def test_it_ends_when_asked_to(centre: socket.socket, road: tuple["subprocess.Popen[bytes]", int]) -> None:
    relay, port = road
    unit, there = meet(centre, port)
    relay.terminate()
    assert relay.wait(60) == 0
    for end in (unit, there):
        end.close()
