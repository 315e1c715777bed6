"""One MQTT 5 connection by paho-mqtt, its network thread joined to the event loop by bounded structures.

A connection is one `paho.Client`, used once: packet ids, in-flight messages and acknowledgements of an old connection
can thus never leak into a new one. Its network loop runs in a daemon thread of ours (`Client.loop`), so that a name
lookup that hangs delays nobody, the end of the process included. The thread never waits for the event loop: it
appends to a bounded inbox and wakes the loop. The event loop never writes to the socket: with
`on_socket_register_write` set, paho queues the packet and wakes the thread.
"""

import asyncio
import logging
import socket
import ssl
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import urlsplit

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from edge_agent.errors import BrokerUnavailableError, ConnectionLostError
from edge_agent.settings import MqttSettings
from edge_agent.uplink.wire import Inbound, Outgoing, WireEvents, WireOptions

logger = logging.getLogger(__name__)

_CONNECT_TIMEOUT_S = 10.0
_ANSWER_TIMEOUT_S = 30.0
_LOOP_TIMEOUT_S = 1.0
_MAX_CORRELATION_BYTES = 256
_WILL_DELAY_S = 5
"""A unit that is back within it was never away (MQTT 5 §3.1.3.2.2); within the 90 s in which a loss must show."""
_SUBSCRIBE = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_SEND_IF_NEW_SUB)


class PahoWire:
    """See `wire.Wire`."""

    def __init__(self, settings: MqttSettings, options: WireOptions, events: WireEvents, generation: int) -> None:
        self._settings = settings
        self._options = options
        self._events = events
        self._generation = generation
        self._loop = asyncio.get_running_loop()
        self._opened: asyncio.Future[bool] = self._loop.create_future()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._awaited: dict[int, asyncio.Future[bool]] = {}
        self._reason = "connection lost"
        # Appended to by the network thread, emptied by the loop; QoS 1 is bounded by the receive maximum.
        self._inbox: deque[Inbound] = deque()
        self._inbox_limit = 2 * options.receive_maximum
        self._dropped = 0
        self._client = self._make_client()
        self._thread = threading.Thread(target=self._run, name=f"mqtt-{generation}", daemon=True)

    # -- the event loop's side

    async def open(self) -> bool:
        """See `Wire.open`."""
        self._thread.start()
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT_S + _ANSWER_TIMEOUT_S):
                return await asyncio.shield(self._opened)
        except TimeoutError as error:
            raise BrokerUnavailableError(f"{self._settings.url}: no answer") from error

    async def subscribe(self, topic: str) -> None:
        """See `Wire.subscribe`."""
        code, packet_id = self._client.subscribe(topic, options=_SUBSCRIBE)
        if not await self._answer(code, packet_id):
            raise BrokerUnavailableError(f"{self._settings.url}: subscription to {topic} refused")

    async def publish(self, message: Outgoing) -> bool:
        """See `Wire.publish`."""
        properties = _properties(PacketTypes.PUBLISH)
        if message.correlation is not None:
            properties.CorrelationData = message.correlation
        info = self._client.publish(message.topic, message.payload, 1, message.retain, properties)
        return await self._answer(info.rc, info.mid)

    def take(self) -> Inbound | None:
        """See `Wire.take`."""
        return self._inbox.popleft() if self._inbox else None

    def acknowledge(self, message: Inbound) -> None:
        """See `Wire.acknowledge`."""
        if message.qos and message.generation == self._generation and not self._ended.done():
            self._client.ack(message.packet_id, message.qos)

    async def close(self, timeout_s: float) -> None:
        """See `Wire.close`."""
        if not self._thread.is_alive():
            return
        self._client.disconnect()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await asyncio.shield(self._ended)
                return
        self._sever()

    def _sever(self) -> None:
        """End the network thread's wait whatever the network does."""
        connection = self._client.socket()
        if isinstance(connection, socket.socket):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    async def _answer(self, code: MQTTErrorCode, packet_id: int | None) -> bool:
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS or packet_id is None or self._ended.done():
            raise ConnectionLostError(self._reason)
        awaited: asyncio.Future[bool] = self._loop.create_future()
        self._awaited[packet_id] = awaited
        try:
            async with asyncio.timeout(_ANSWER_TIMEOUT_S):
                return await awaited
        except TimeoutError as error:
            self._sever()
            raise ConnectionLostError(f"the broker did not answer for {_ANSWER_TIMEOUT_S:g} s") from error
        finally:
            self._awaited.pop(packet_id, None)

    def _resolve(self, packet_id: int, accepted: bool) -> None:
        awaited = self._awaited.get(packet_id)
        if awaited is not None and not awaited.done():
            awaited.set_result(accepted)

    def _settle_opened(self, outcome: bool | str) -> None:
        if self._opened.done():
            return
        if isinstance(outcome, str):
            self._opened.set_exception(BrokerUnavailableError(f"{self._settings.url}: {outcome}"))
            self._opened.exception()
        else:
            self._opened.set_result(outcome)

    def _settle_ended(self, reason: str) -> None:
        if self._ended.done():
            return
        self._ended.set_result(None)
        self._settle_opened(reason)
        for awaited in self._awaited.values():
            if not awaited.done():
                awaited.set_exception(ConnectionLostError(reason))
        if self._dropped:
            logger.warning("%d messages at QoS 0 were dropped: more came than are read", self._dropped)
        self._events.on_closed(reason)

    # -- the network thread's side

    def _run(self) -> None:
        try:
            self._connect()
            while self._client.loop(_LOOP_TIMEOUT_S) == MQTTErrorCode.MQTT_ERR_SUCCESS:
                continue
        except (OSError, ValueError) as error:
            self._reason = f"{type(error).__name__}: {error}"
        finally:
            self._post(self._settle_ended, self._reason)

    def _connect(self) -> None:
        settings, parts = self._settings, urlsplit(self._settings.url)
        secure = parts.scheme == "mqtts"
        if secure:
            self._client.tls_set_context(_tls_context(settings))
        if settings.username is not None:
            self._client.username_pw_set(settings.username, _read_password(settings))
        self._client.connect(
            parts.hostname or "",
            parts.port or (8883 if secure else 1883),
            keepalive=settings.keepalive_s,
            clean_start=False,
            properties=self._connect_properties(),
        )

    def _connect_properties(self) -> Properties:
        properties = _properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = self._settings.session_expiry_s
        properties.ReceiveMaximum = self._options.receive_maximum
        properties.MaximumPacketSize = self._options.max_packet_bytes
        return properties

    def _make_client(self) -> mqtt.Client:
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._options.client_id,
            protocol=mqtt.MQTTv5,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        client.connect_timeout = _CONNECT_TIMEOUT_S
        will, will_properties = self._options.will, _properties(PacketTypes.WILLMESSAGE)
        will_properties.WillDelayInterval = _WILL_DELAY_S
        client.will_set(will.topic, will.payload, 1, will.retain, will_properties)
        client.on_socket_register_write = _nothing
        client.on_socket_open = _send_at_once
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        return client

    def _post(self, callback: Callable[..., None], *arguments: object) -> None:
        # The loop is closed when the process ends before a thread that hangs in a name lookup.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback, *arguments)

    def _on_connect(
        self, _client: mqtt.Client, _data: object, flags: mqtt.ConnectFlags, reason: ReasonCode, _properties: object
    ) -> None:
        if reason.is_failure:
            self._reason = f"refused: {reason}"
            self._client.disconnect()
        else:
            self._post(self._settle_opened, flags.session_present)

    def _on_disconnect(
        self, _client: mqtt.Client, _data: object, _flags: object, reason: ReasonCode, _properties: object
    ) -> None:
        if not self._reason.startswith("refused"):
            self._reason = str(reason)

    def _on_message(self, _client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        if message.qos == 0 and len(self._inbox) >= self._inbox_limit:
            self._dropped += 1
            return
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = ""
        self._inbox.append(_inbound_of(message, topic, self._generation))
        self._post(self._events.on_message)

    def _on_publish(
        self, _client: mqtt.Client, _data: object, packet_id: int, reason: ReasonCode, _properties: object
    ) -> None:
        self._post(self._resolve, packet_id, not reason.is_failure)

    def _on_subscribe(
        self, _client: mqtt.Client, _data: object, packet_id: int, reasons: list[ReasonCode], _properties: object
    ) -> None:
        self._post(self._resolve, packet_id, not any(reason.is_failure for reason in reasons))


def _nothing(*_arguments: object) -> None:
    """Its presence alone keeps paho from writing in the caller's thread."""


def _send_at_once(_client: mqtt.Client, _data: object, connection: object) -> None:
    """No Nagle delay: an acknowledgement followed by a small reply waited 40 ms for the peer's delayed ACK."""
    if isinstance(connection, socket.socket):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _properties(packet_type: int) -> Properties:
    return Properties(packet_type)  # type: ignore[no-untyped-call]  # -- paho leaves its constructor untyped


def _inbound_of(message: mqtt.MQTTMessage, topic: str, generation: int) -> Inbound:
    properties = message.properties
    correlation = getattr(properties, "CorrelationData", None)
    return Inbound(
        topic=topic,
        payload=bytes(message.payload),
        qos=message.qos,
        packet_id=message.mid,
        generation=generation,
        response_topic=getattr(properties, "ResponseTopic", None),
        correlation=correlation if correlation and len(correlation) <= _MAX_CORRELATION_BYTES else None,
    )


def _tls_context(settings: MqttSettings) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=settings.ca_file and str(settings.ca_file))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.certificate_file is not None:
        context.load_cert_chain(settings.certificate_file, settings.key_file)
    return context


def _read_password(settings: MqttSettings) -> str | None:
    if settings.password_file is None:
        return None
    return settings.password_file.read_text(encoding="utf-8").strip()
