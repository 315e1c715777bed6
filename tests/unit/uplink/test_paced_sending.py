"""Pacing of real connections: what Linux tells and takes, the cap of all uploads, the mark of their packets."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.clock import FakeClock, SystemClock
from edge_agent.contract.jws import SigningKey
from edge_agent.uplink import tcp_info
from edge_agent.uplink.http_session import open_session
from edge_agent.uplink.paced_sending import PacedSending, Ways
from tests.support.polling import until
from tests.support.uploads import UNIT_ID, make_clip, running_ingest, trusted, upload_settings, uploading

KEY = SigningKey.generate()
SO_MAX_PACING_RATE = 47


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends of a TCP connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        near = socket.create_connection(server.getsockname())
        far, _ = server.accept()
    with near, far:
        yield near, far


def test_a_connection_tells_what_a_pace_needs(pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    near.sendall(bytes(100_000))
    while len(far.recv(200_000, socket.MSG_PEEK)) < 100_000:
        continue
    sight = tcp_info.see(near, 7)
    assert sight is not None
    assert sight.at_us == 7
    assert 100_000 <= sight.acknowledged_bytes <= 100_001
    assert 0 < sight.least_rtt_us <= sight.rtt_us < 1_000_000
    assert sight.packet_bytes > 500
    assert not sight.is_waiting


def test_more_than_the_connection_takes_is_waiting(pair: tuple[socket.socket, socket.socket]) -> None:
    near, _ = pair
    near.setblocking(False)
    while True:
        try:
            near.send(bytes(1_000_000))
        except BlockingIOError:
            break
    sight = tcp_info.see(near, 0)
    assert sight is not None
    assert sight.is_waiting


def test_a_limit_is_set_and_taken_off(pair: tuple[socket.socket, socket.socket]) -> None:
    near, _ = pair
    tcp_info.limit(near, 12_345.4)
    assert near.getsockopt(socket.SOL_SOCKET, SO_MAX_PACING_RATE) == 12_345
    tcp_info.limit(near, None)
    assert near.getsockopt(socket.SOL_SOCKET, SO_MAX_PACING_RATE) == -1


class Transport(asyncio.Transport):
    """A transport of which only the socket is asked."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__({"socket": connection})
        self.closing = False

    def is_closing(self) -> bool:
        return self.closing


async def test_senders_share_the_cap(pair: tuple[socket.socket, socket.socket]) -> None:
    ways = Ways(FakeClock(), 100_000.0)
    first, second = PacedSending(ways, "http://a"), PacedSending(ways, "http://a")
    near, far = pair
    with first.request():
        first.begin(Transport(near))
        assert near.getsockopt(socket.SOL_SOCKET, SO_MAX_PACING_RATE) == 100_000
        with second.request():
            second.begin(Transport(far))
            assert far.getsockopt(socket.SOL_SOCKET, SO_MAX_PACING_RATE) == 50_000
            await until(lambda: near.getsockopt(socket.SOL_SOCKET, SO_MAX_PACING_RATE) == 50_000, what="share")
        await until(lambda: near.getsockopt(socket.SOL_SOCKET, SO_MAX_PACING_RATE) == 100_000, what="whole")


async def test_a_connection_that_is_gone_is_left_alone(pair: tuple[socket.socket, socket.socket]) -> None:
    sending, (near, _) = PacedSending(Ways(FakeClock(), 100_000.0), "http://a"), pair
    with sending.request():
        transport = Transport(near)
        transport.closing = True
        sending.begin(transport)
        assert near.getsockopt(socket.SOL_SOCKET, SO_MAX_PACING_RATE) == -1


async def test_an_upload_keeps_to_the_cap(tmp_path: Path) -> None:
    # Linux paces nothing before the tenth packet, and those of the loopback have 64 kB.
    clip = await asyncio.to_thread(make_clip, tmp_path / "unit", [3_000_000])
    async with running_ingest(tmp_path / "csu", {UNIT_ID: trusted(KEY)}) as centre:
        begun_us = SystemClock().monotonic_us()
        async with uploading(tmp_path / "unit", KEY, clip, centre.url, max_kbps=8000) as heard:
            await until(lambda: heard.ends, what="end")
        assert SystemClock().monotonic_us() - begun_us > 1_500_000
    assert heard.ends[0][0] == "delivered"


class Marks:
    """Remembers what marks sockets are given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: list[int] = []
        connect = socket.socket.connect

        def note(made: socket.socket, address: tuple[str, int]) -> None:
            self.seen.append(made.getsockopt(socket.IPPROTO_IP, socket.IP_TOS))
            connect(made, address)

        monkeypatch.setattr(socket.socket, "connect", note)


async def test_packets_carry_the_mark_of_the_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    marks = Marks(monkeypatch)
    async with running_ingest(tmp_path, {}) as centre:
        for dscp in (0, 1):
            session = await open_session(upload_settings(centre.url, dscp=dscp))
            async with session, session.options(centre.url):
                continue
    assert marks.seen == [0, 1 << 2]
