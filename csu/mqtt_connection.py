"""One MQTT 5 connection by paho-mqtt: its network loop in a thread, joined to the event loop by bounded structures.

A connection is one `paho.Client`, used once, so that packet ids and unacknowledged messages of an old connection
never leak into a new one. Unacknowledged incoming messages are bounded by the receive maximum.
"""

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from csu.errors import BrokerError

RECEIVE_MAXIMUM = 64
_KEEPALIVE_S = 30
_SESSION_EXPIRY_S = 30 * 24 * 3600
_ANSWER_TIMEOUT_S = 15.0
_CONNECT_TIMEOUT_S = 10.0
_LOOP_TIMEOUT_S = 1.0
_CLOSE_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class BusSettings:
    """Where the broker is and who we are there.

    Attributes:
        url: `mqtt://host[:port]` or `mqtts://host[:port]`.
        client_id: also names the session that the broker keeps for us.
        username: None connects without credentials.
        password: of the user.
        ca_file: authorities that vouch for the broker; None takes the system's.
        certificate_file: certificate that we show, for brokers that ask for one.
        key_file: its key.
    """

    url: str
    client_id: str
    username: str | None = None
    password: str | None = None
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """One message that arrived."""

    topic: str
    payload: bytes
    qos: int
    packet_id: int


class Connection:
    """Open it once, use it from the event loop's thread, close it."""

    def __init__(self, settings: BusSettings) -> None:
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._ended: asyncio.Future[str] = self._loop.create_future()
        self._answers: dict[int, asyncio.Future[bool]] = {}
        # The receive maximum bounds QoS 1; QoS 0, which the contract does not use, is dropped beyond this.
        # None is its end.
        self._inbox: asyncio.Queue[Message | None] = asyncio.Queue(2 * RECEIVE_MAXIMUM)
        self._reason = "connection lost"
        self._client = self._make_client()
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)

    async def open(self) -> None:
        """Connect and wait for the broker's acceptance.

        Raises:
            BrokerError: unreachable or refused.
        """
        self._thread.start()
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT_S + _ANSWER_TIMEOUT_S):
                await asyncio.shield(self._opened)
        except TimeoutError as error:
            raise BrokerError(f"{self._settings.url}: no answer") from error

    async def subscribe(self, topic: str) -> None:
        """Subscribe at QoS 1; retained messages are sent again.

        Raises:
            BrokerError: refused, or the connection ended.
        """
        code, packet_id = self._client.subscribe(topic, 1)
        if not await self._answer(code, packet_id):
            raise BrokerError(f"{self._settings.url}: subscription to {topic} refused; check the access rules")

    async def publish(self, topic: str, payload: bytes, expiry_s: int) -> None:
        """Publish at QoS 1 and wait for the acknowledgement.

        Args:
            topic: where.
            payload: the body.
            expiry_s: the broker drops it when it could not deliver it by then (MQTT 5 §3.3.2.3.3).

        Raises:
            BrokerError: refused, no answer in time, or the connection ended.
        """
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho: unannotated
        properties.MessageExpiryInterval = max(1, expiry_s)
        info = self._client.publish(topic, payload, qos=1, properties=properties)
        if not await self._answer(info.rc, info.mid):
            raise BrokerError(f"{self._settings.url}: message to {topic} refused")

    async def receive(self) -> Message:
        """The next message.

        Raises:
            BrokerError: the connection ended.
        """
        message = await self._inbox.get()
        if message is None:
            raise BrokerError(f"{self._settings.url}: {self._reason}")
        return message

    def acknowledge(self, message: Message) -> None:
        """Tell the broker that a message is stored; without effect once the connection is over."""
        if message.qos and not self._ended.done():
            self._client.ack(message.packet_id, message.qos)

    async def close(self) -> None:
        """End the connection; by force when the network does not let it end in time."""
        if not self._thread.is_alive():
            return
        self._client.disconnect()
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await asyncio.shield(self._ended)
                return
        self._sever()

    def _sever(self) -> None:
        """End the network thread's wait whatever the network does."""
        transport = self._client.socket()
        if isinstance(transport, socket.socket):
            with suppress(OSError):
                transport.shutdown(socket.SHUT_RDWR)

    async def _answer(self, code: MQTTErrorCode, packet_id: int | None) -> bool:
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS or packet_id is None or self._ended.done():
            raise BrokerError(f"{self._settings.url}: {self._reason}")
        answer: asyncio.Future[bool] = self._loop.create_future()
        self._answers[packet_id] = answer
        try:
            async with asyncio.timeout(_ANSWER_TIMEOUT_S):
                return await answer
        except TimeoutError as error:
            raise BrokerError(f"{self._settings.url}: no acknowledgement in {_ANSWER_TIMEOUT_S:.0f} s") from error
        finally:
            self._answers.pop(packet_id, None)

    def _settle_opened(self, refusal: str | None) -> None:
        if self._opened.done():
            return
        if refusal is None:
            self._opened.set_result(None)
        else:
            self._opened.set_exception(BrokerError(f"{self._settings.url}: {refusal}"))
            self._opened.exception()  # nobody may be waiting any more

    def _settle_answer(self, packet_id: int, accepted: bool) -> None:
        answer = self._answers.get(packet_id)
        if answer is not None and not answer.done():
            answer.set_result(accepted)

    def _settle_ended(self, reason: str) -> None:
        self._ended.set_result(reason)
        if self._inbox.full():
            self._inbox.get_nowait()  # unacknowledged, thus delivered again on the next connection
        self._inbox.put_nowait(None)
        self._settle_opened(reason)
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(BrokerError(f"{self._settings.url}: {reason}"))

    def _put(self, message: Message) -> None:
        with suppress(asyncio.QueueFull):
            self._inbox.put_nowait(message)

    # The network thread's side.

    def _run(self) -> None:
        try:
            self._connect()
            while self._client.loop(_LOOP_TIMEOUT_S) == MQTTErrorCode.MQTT_ERR_SUCCESS:
                continue
        except (OSError, ValueError) as error:
            self._reason = str(error) or type(error).__name__
        finally:
            self._post(self._settle_ended, self._reason)

    def _connect(self) -> None:
        settings, parts = self._settings, urlsplit(self._settings.url)
        secure = parts.scheme == "mqtts"
        if secure:
            context = ssl.create_default_context(cafile=settings.ca_file and str(settings.ca_file))
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            if settings.certificate_file is not None:
                context.load_cert_chain(settings.certificate_file, settings.key_file)
            self._client.tls_set_context(context)
        if settings.username is not None:
            self._client.username_pw_set(settings.username, settings.password)
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho: unannotated
        properties.SessionExpiryInterval = _SESSION_EXPIRY_S
        properties.ReceiveMaximum = RECEIVE_MAXIMUM
        self._client.connect(
            parts.hostname or "",
            parts.port or (8883 if secure else 1883),
            keepalive=_KEEPALIVE_S,
            clean_start=False,
            properties=properties,
        )

    def _make_client(self) -> mqtt.Client:
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._settings.client_id,
            protocol=mqtt.MQTTv5,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        client.connect_timeout = _CONNECT_TIMEOUT_S
        client.on_socket_register_write = _nothing
        client.on_socket_open = _send_at_once
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        return client

    def _post(self, callback: Callable[..., None], *arguments: object) -> None:
        # The loop may be closed before a thread that hangs in a name lookup.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback, *arguments)

    def _on_connect(
        self, _client: mqtt.Client, _data: object, _flags: mqtt.ConnectFlags, reason: ReasonCode, _properties: object
    ) -> None:
        if reason.is_failure:
            self._reason = f"refused: {reason}"
            self._client.disconnect()
        else:
            self._post(self._settle_opened, None)

    def _on_disconnect(
        self, _client: mqtt.Client, _data: object, _flags: object, reason: ReasonCode, _properties: object
    ) -> None:
        if not self._reason.startswith("refused"):
            self._reason = str(reason)

    def _on_message(self, _client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = ""
        self._post(self._put, Message(topic, bytes(message.payload), message.qos, message.mid))

    def _on_publish(
        self, _client: mqtt.Client, _data: object, packet_id: int, reason: ReasonCode, _properties: object
    ) -> None:
        self._post(self._settle_answer, packet_id, not reason.is_failure)

    def _on_subscribe(
        self, _client: mqtt.Client, _data: object, packet_id: int, reasons: list[ReasonCode], _properties: object
    ) -> None:
        self._post(self._settle_answer, packet_id, not any(reason.is_failure for reason in reasons))


def _send_at_once(_client: mqtt.Client, _data: object, connection: object) -> None:
    """No Nagle delay: a command behind an acknowledgement would wait 40 ms for the peer's delayed ACK."""
    if isinstance(connection, socket.socket):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _nothing(*_arguments: object) -> None:
    """Its presence alone keeps paho from writing to the socket in the caller's thread."""
