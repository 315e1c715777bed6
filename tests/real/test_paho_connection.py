"""A connection that was given up, and a broker that keeps to no bound."""

import asyncio
import socket
import ssl
import struct
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from paho.mqtt.subscribeoptions import SubscribeOptions

from edge_agent import mqtt_packets, paho_connection
from edge_agent.clock import SystemClock
from edge_agent.errors import BrokerUnavailableError, ConnectionLostError
from edge_agent.mqtt_options import ConnectionOptions
from edge_agent.paho_connection import ConnectionErrors, PahoConnection
from tests.support.polling import until

pytestmark = pytest.mark.real

ERRORS = ConnectionErrors(BrokerUnavailableError, ConnectionLostError)
CONNACK = b"\x20\x03\x00\x00\x00"
SUBACK = b"\x90\x04\x00\x01\x00\x01"
PINGREQ = b"\xc0\x00"
PINGRESP = b"\xd0\x00"
PUBACK_258 = b"\x40\x02\x01\x02"
DISCONNECT = b"\xe0\x00"
RECEIVE_MAXIMUM = 4
FLOOD = 1000


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
            elif data == PINGREQ:
                writer.write(PINGRESP)
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


async def test_a_slow_way_to_the_broker_uses_up_no_keepalive(monkeypatch: pytest.MonkeyPatch) -> None:
    """paho counts it from before the lookup: what is found late is no dead line."""
    connect = socket.create_connection

    def connect_late(*arguments: object, **more: object) -> socket.socket:
        SystemClock().sleep(1.2)
        return connect(*arguments, **more)  # type: ignore[arg-type]  # -- handed on as they came

    monkeypatch.setattr(socket, "create_connection", connect_late)
    broker, ends = Broker(CONNACK), list[str]()
    async with serving(broker) as url:
        patient = replace(options(url), keepalive_s=1, answer_timeout_s=30)
        connection = PahoConnection(patient, ERRORS, lambda: None, ends.append)
        await connection.open()
        await until(lambda: PINGREQ in broker.received, what="the keep-alive of the connection")
        assert ends == []
        await connection.close(5)
    assert broker.connections == 1


@pytest.fixture
def small_inbox(monkeypatch: pytest.MonkeyPatch) -> int:
    """Messages of 100 bytes that fill the inbox."""
    monkeypatch.setattr(paho_connection, "_MAX_INBOX_BYTES", 50_000)
    return 50_000 // (mqtt_packets.MESSAGE_BYTES + 100) + 1


def flood() -> bytes:
    """Far more than may be under way."""
    return b"".join(publication(number, b"x" * 100) for number in range(1, FLOOD + 1))


async def drain(connection: PahoConnection, count: int, most: int) -> list[int]:
    """Packet ids of the next messages; never are more than `most` waiting."""
    taken: list[int] = []
    while len(taken) < count:
        assert len(connection._inbox) <= most
        message = await until(connection.take, what="the next message")
        assert message is not None
        taken.append(message.mid)
    return taken


async def test_a_broker_that_sends_more_than_it_may_is_held_back(small_inbox: int) -> None:
    broker = Broker(CONNACK + flood())
    ends: list[str] = []
    async with serving(broker) as url:
        connection = PahoConnection(options(url), ERRORS, lambda: None, ends.append)
        assert await connection.open() is False
        await until(lambda: len(connection._inbox) == small_inbox, what="a full inbox")
        assert await drain(connection, FLOOD, small_inbox) == list(range(1, FLOOD + 1))
        assert not ends
        await connection.close(1)


async def test_an_answer_is_awaited_behind_what_is_held_back(small_inbox: int) -> None:
    broker = Broker(CONNACK + flood() + SUBACK)
    async with serving(broker) as url:
        patient = replace(options(url), answer_timeout_s=2.0)
        connection = PahoConnection(patient, ERRORS, lambda: None, lambda _reason: None)
        await connection.open()
        subscribing = asyncio.create_task(connection.subscribe("t", SubscribeOptions(qos=1)))
        await until(lambda: len(connection._inbox) == small_inbox, what="a full inbox")
        done, _ = await asyncio.wait({subscribing}, timeout=2 * patient.answer_timeout_s)
        assert not done
        await drain(connection, FLOOD, small_inbox)
        assert await subscribing
        await connection.close(1)


async def test_a_connection_that_is_held_back_writes_pings_and_ends_in_order(small_inbox: int) -> None:
    broker = Broker(CONNACK + flood())
    ends: list[str] = []
    async with serving(broker) as url:
        connection = PahoConnection(replace(options(url), keepalive_s=8), ERRORS, lambda: None, ends.append)
        await connection.open()
        await until(lambda: len(connection._inbox) == small_inbox, what="a full inbox")
        await until(lambda: PINGREQ in broker.received, what="a ping")
        connection.acknowledge(258, 1)
        await until(lambda: PUBACK_258 in broker.received, what="an acknowledgement")
        await connection.close(30)
        await until(lambda: bool(ends), what="the end")
        await until(lambda: DISCONNECT in broker.received, what="the last word")
        assert len(connection._inbox) == small_inbox


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


async def end_of(url: str, ends: list[str]) -> str:
    """Why a connection ended, or did not come about."""
    connection = PahoConnection(options(url), ERRORS, lambda: None, ends.append)
    with suppress(BrokerUnavailableError):
        await connection.open()
    await until(lambda: bool(ends), what="the end of the connection")
    return ends[0]


async def test_the_cause_of_a_connection_that_does_not_come_about_is_named() -> None:
    with socket.socket() as bound:  # nobody listens
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        assert f"refused: nothing listens at 127.0.0.1, port {port}" in await end_of(f"mqtt://127.0.0.1:{port}", [])
    assert "host nowhere.invalid cannot be found" in await end_of("mqtt://nowhere.invalid", [])


@pytest.mark.parametrize(
    ("answer", "is_reset", "cause"),
    [
        (CONNACK, False, "the broker closed the connection without a word"),
        (CONNACK, True, "Connection reset by peer"),
        (CONNACK + b"\xe0\x01\x8b", False, "the broker ended the connection: Server shutting down"),
        (b"\x20\x03\x00\x87\x00", False, "refused: Not authorized"),
    ],
)
async def test_the_cause_of_an_end_is_named(answer: bytes, is_reset: bool, cause: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        writer.write(answer)
        await writer.drain()
        if is_reset:  # SO_LINGER of 0 s: RST instead of FIN
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            await asyncio.to_thread(delivered.wait, 30)
            writer.transport.abort()
        else:
            writer.close()

    delivered = threading.Event()
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    ends: list[str] = []
    connection = PahoConnection(
        options(f"mqtt://127.0.0.1:{server.sockets[0].getsockname()[1]}"), ERRORS, lambda: None, ends.append
    )
    with suppress(BrokerUnavailableError):
        await connection.open()
    delivered.set()
    await until(lambda: bool(ends), what="the end of the connection")
    assert cause in ends[0]
    server.close()
