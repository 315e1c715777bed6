"""A connection that was given up, and a broker that keeps to no bound."""

import asyncio
import socket
import ssl
import struct
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest

from edge_agent import paho_connection
from edge_agent.errors import BrokerUnavailableError, ConnectionLostError
from edge_agent.paho_connection import ConnectionErrors, ConnectionOptions, PahoConnection
from tests.support.polling import until

pytestmark = pytest.mark.real

ERRORS = ConnectionErrors(BrokerUnavailableError, ConnectionLostError)
CONNACK = b"\x20\x03\x00\x00\x00"
RECEIVE_MAXIMUM = 4


def options(url: str) -> ConnectionOptions:
    return ConnectionOptions(
        url=url,
        client_id="nomad-07",
        keepalive_s=45,
        session_expiry_s=60,
        receive_maximum=RECEIVE_MAXIMUM,
        answer_timeout_s=0.5,
    )


def publication(packet_id: int, body: bytes = b"x") -> bytes:
    """PUBLISH at QoS 1 on the topic `t` (MQTT 5 §3.3)."""
    variable = struct.pack(">H1sHB", 1, b"t", packet_id, 0)
    return bytes([0x32, len(variable) + len(body)]) + variable + body


class Broker:
    """Says `answer` to whoever sends something, and keeps what is sent."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self.connections = self.ended = 0
        self.received = b""
        self.writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        while data := await reader.read(4096):
            if not self.received:
                writer.write(self._answer)
            self.received += data
        self.ended += 1
        writer.close()


@asynccontextmanager
async def serving(broker: Broker) -> AsyncIterator[str]:
    server = await asyncio.start_server(broker.serve, "127.0.0.1", 0)
    try:
        yield f"mqtt://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for writer in broker.writers:
            writer.transport.abort()


async def test_an_attempt_that_was_given_up_takes_no_session_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name lookup that hangs comes back when another connection of the same client id may be at work."""
    monkeypatch.setattr(paho_connection, "_CONNECT_TIMEOUT_S", 0.2)
    looked_up = threading.Event()
    connect = socket.create_connection

    def connect_late(*arguments: object, **more: object) -> socket.socket:
        looked_up.wait(60)
        return connect(*arguments, **more)  # type: ignore[arg-type]  # -- handed on as they came

    broker = Broker(CONNACK)
    ends: list[str] = []
    async with serving(broker) as url:
        monkeypatch.setattr(socket, "create_connection", connect_late)
        connection = PahoConnection(options(url), ERRORS, lambda: None, ends.append)
        with pytest.raises(BrokerUnavailableError, match="no answer"):
            await connection.open()
        await connection.close(0.1)
        looked_up.set()
        await until(lambda: bool(ends), what="the end of the attempt")
        await until(lambda: broker.ended == broker.connections == 1, what="the connection closed")
    assert broker.received == b""


async def test_a_broker_that_sends_more_than_it_may_is_left() -> None:
    broker = Broker(CONNACK + b"".join(map(publication, range(1, 200))))
    ends: list[str] = []
    async with serving(broker) as url:
        connection = PahoConnection(options(url), ERRORS, lambda: None, ends.append)
        assert await connection.open() is False
        await until(lambda: bool(ends), what="the connection's end")
        await connection.close(1)
    assert "more messages than" in ends[0]
    taken = 0
    while connection.take() is not None:
        taken += 1
    assert RECEIVE_MAXIMUM <= taken <= 3 * RECEIVE_MAXIMUM


async def test_a_broker_may_fill_the_window_that_it_was_given() -> None:
    broker = Broker(CONNACK + b"".join(map(publication, range(1, RECEIVE_MAXIMUM + 1))))
    arrived: list[None] = []
    ends: list[str] = []
    async with serving(broker) as url:
        connection = PahoConnection(options(url), ERRORS, lambda: arrived.append(None), ends.append)
        assert await connection.open() is False
        await until(lambda: len(arrived) == RECEIVE_MAXIMUM, what="all messages")
        assert not ends
        await connection.close(1)


async def test_a_connection_is_severed_with_its_tls_state_untouched() -> None:
    broker = Broker(CONNACK)
    async with serving(broker) as url:
        connection = PahoConnection(options(url), ERRORS, lambda: None, lambda _reason: None)
        plain = await asyncio.to_thread(socket.create_connection, ("127.0.0.1", urlsplit(url).port))
        context = ssl.create_default_context()
        with context.wrap_socket(plain, server_hostname="broker", do_handshake_on_connect=False) as secured:
            secured.setblocking(False)
            connection._client.socket = lambda: secured  # type: ignore[method-assign]  # -- as if it were connected
            connection._sever()
            assert secured._sslobj is not None  # type: ignore[attr-defined]  # -- what the network thread uses
            await until(lambda: broker.ended == 1, what="the connection's end")
