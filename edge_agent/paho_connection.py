"""One MQTT 5 connection by paho-mqtt, its network thread joined to the event loop by bounded structures.

Both ends of the contract speak through it (`uplink.paho_wire`, `csu.mqtt_connection`), each with errors of its own.

A connection is one `paho.Client`, used once: packet ids, in-flight messages and acknowledgements of an old connection
can thus never leak into a new one. Its network loop runs in a daemon thread of ours (`Client.loop`), so that a name
lookup that hangs delays nobody, the end of the process included. The thread appends to an inbox and wakes the loop.
The event loop never writes to the socket: with `on_socket_register_write` set, paho queues the packet and wakes the
thread.

The inbox is bounded by its bytes. Beyond them the thread reads nothing until some are taken, and TCP holds the broker
back; it writes and pings all the same. We never hang up because of what waits in it: mosquitto 2.0 exceeds the
Receive Maximum (MQTT 5 §4.9), as each acknowledgement releases a whole further window (eclipse-mosquitto 2301), and a
connection that ended for that would meet the same messages again, for ever. Answers come behind messages, so whoever
uses a connection takes messages while it awaits one.
"""

import asyncio
import errno
import select
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from edge_agent.byte_inbox import ByteInbox
from edge_agent.clock import Clock, SystemClock
from edge_agent.connection_faults import connection_fault
from edge_agent.mqtt_options import ConnectionOptions, connect_properties, set_will, tls_context
from edge_agent.mqtt_packets import size_of

_CONNECT_TIMEOUT_S = 10.0
_LOOP_TIMEOUT_S = 1.0
_HELD_TURN_S = 0.05
_GREETING_TURN_S = 0.1
_MAX_INBOX_BYTES = 16 * 1024 * 1024
"""A thousand units' retained states; one packet more, and one for each publication under way, may be held."""
_LOST = "connection lost"
_CLOSED = "the broker closed the connection without a word"
_FAILURES = ("failed to receive on socket: ", "timeout on socket: ")
"""Begin what paho logs, and tells nobody else, when the line broke; other words of its cost the cause."""
_WITH_WILL = "Disconnect with will message"
_PING_SENT, _PING_ANSWERED = "Sending PINGREQ", "Received PINGRESP"
"""What paho logs, and tells nobody else, of the keep-alive's two packets (MQTT 5 §3.12, §3.13)."""


@dataclass(frozen=True, slots=True)
class ConnectionErrors:
    """What a connection raises, made of the reason.

    Attributes:
        unavailable: it did not come about.
        lost: it ended before an answer came.
    """

    unavailable: Callable[[str], Exception]
    lost: Callable[[str], Exception]


class PahoConnection:
    """Open it once, use it from the event loop's thread, close it.

    Args:
        options: who connects where.
        errors: what is raised.
        on_message: the inbox has something new; called on the event loop, as is the next.
        on_ended: the connection is over, and why.
        on_round_trip: how long the broker took to answer a ping of the keep-alive, µs; called on the event loop too.
        clock: measures that.
    """

    def __init__(
        self,
        options: ConnectionOptions,
        errors: ConnectionErrors,
        on_message: Callable[[], None],
        on_ended: Callable[[str], None],
        on_round_trip: Callable[[int], None] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._options = options
        self._errors = errors
        self._on_inbox = on_message
        self._on_ended = on_ended
        self._on_round_trip = on_round_trip or _nothing
        self._clock = clock or SystemClock()
        self._ping_sent_us: int | None = None  # used by the network thread alone
        self._loop = asyncio.get_running_loop()
        self._opened: asyncio.Future[bool] = self._loop.create_future()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._awaited: dict[int, asyncio.Future[bool]] = {}
        self._reason = _LOST
        self._is_given_up = False  # set by the event loop, read by the network thread
        self._inbox: ByteInbox[mqtt.MQTTMessage] = ByteInbox(_MAX_INBOX_BYTES)
        self._held_turns = 0  # counted by the network thread
        self._client = self._make_client()
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)

    # -- the event loop's side

    async def open(self) -> bool:
        """Connect; True when the broker still had our session.

        Raises:
            errors.unavailable: unreachable or refused.
        """
        self._thread.start()
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT_S + self._options.answer_timeout_s):
                return await asyncio.shield(self._opened)
        except TimeoutError as error:
            raise self._errors.unavailable(f"{self._options.url}: no answer") from error

    async def subscribe(self, topic: str, options: SubscribeOptions) -> bool:
        """Subscribe; False when the broker refused.

        Raises:
            errors.lost: the connection ended first.
        """
        return await self._answer(*self._client.subscribe(topic, options=options))

    async def publish(self, topic: str, payload: bytes, properties: Properties, *, retain: bool = False) -> bool:
        """Publish at QoS 1 and wait for the acknowledgement; False when the broker refused the message.

        Raises:
            errors.lost: the connection ended first.
        """
        info = self._client.publish(topic, payload, 1, retain, properties)
        return await self._answer(info.rc, info.mid)

    def take(self) -> mqtt.MQTTMessage | None:
        """The next message of the inbox."""
        return self._inbox.take()

    def acknowledge(self, packet_id: int, qos: int) -> None:
        """Acknowledge a message of this connection; nothing happens when it is over."""
        if qos and not self._ended.done():
            self._client.ack(packet_id, qos)

    def is_stranded(self) -> bool:
        """Whether this machine no longer has the address that the connection is made from.

        Then nothing is answered any more, and only time-outs would tell.
        """
        connection = self._client.socket()
        if not isinstance(connection, socket.socket):
            return False
        try:
            host, _, *scope = connection.getsockname()
            with socket.socket(connection.family, socket.SOCK_DGRAM) as probe:
                probe.bind((host, 0, *scope))
        except OSError as error:
            return error.errno == errno.EADDRNOTAVAIL
        return False

    async def close(self, timeout_s: float, *, with_will: bool = False) -> None:
        """End the connection; by force after `timeout_s`.

        Args:
            timeout_s: for the broker to see it.
            with_will: the broker publishes the last will all the same (MQTT 5 §3.14.2.1, reason code 0x04).
        """
        if not self._thread.is_alive():
            return
        self._is_given_up = True
        self._client.disconnect(ReasonCode(PacketTypes.DISCONNECT, _WITH_WILL) if with_will else None)
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await asyncio.shield(self._ended)
                return
        self._sever()

    def _sever(self) -> None:
        """End the network thread's wait whatever the network does."""
        connection = self._client.socket()
        if isinstance(connection, socket.socket):
            # Not SSLSocket.shutdown: it drops the TLS state first, under the network thread that uses it.
            with suppress(OSError):
                socket.socket.shutdown(connection, socket.SHUT_RDWR)

    async def _answer(self, code: MQTTErrorCode, packet_id: int | None) -> bool:
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS or packet_id is None or self._ended.done():
            raise self._errors.lost(self._reason)
        awaited: asyncio.Future[bool] = self._loop.create_future()
        self._awaited[packet_id] = awaited
        try:
            while not awaited.done():
                held_turns = self._held_turns
                await asyncio.wait({awaited}, timeout=self._options.answer_timeout_s)
                # What was not read cannot have answered; a stalled reader ends by the keep-alive.
                if not awaited.done() and self._held_turns == held_turns:
                    self._sever()
                    raise self._errors.lost(f"the broker did not answer for {self._options.answer_timeout_s:g} s")
            return awaited.result()
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
            self._opened.set_exception(self._errors.unavailable(f"{self._options.url}: {outcome}"))
            self._opened.exception()  # nobody may be waiting any more
        else:
            self._opened.set_result(outcome)

    def _settle_ended(self, reason: str) -> None:
        self._ended.set_result(None)
        self._settle_opened(reason)
        for awaited in self._awaited.values():
            if not awaited.done():
                awaited.set_exception(self._errors.lost(reason))
        self._on_ended(reason)

    # -- the network thread's side

    def _run(self) -> None:
        try:
            self._connect()
            self._await_greeting()
            while self._turn() == MQTTErrorCode.MQTT_ERR_SUCCESS:
                continue
        except (OSError, ValueError) as error:
            self._reason = connection_fault(error, *self._options.address)
        finally:
            self._post(self._settle_ended, self._reason)

    def _await_greeting(self) -> None:
        """Read and write until the broker accepts, without paho's keep-alive; `open` says for how long.

        paho counts it from before the name lookup: on a slow line lookup and handshakes take longer than a short
        keep-alive, and `Client.loop` would hang up on a broker that is about to answer, its last will said.
        """
        while not self._client.is_connected() and not self._is_given_up:
            connection = self._client.socket()
            if connection is None:
                return
            writing = [connection] if self._client.want_write() else []
            readable, writable, _ = select.select([connection], writing, [], _GREETING_TURN_S)
            for is_ready, step in ((writable, self._client.loop_write), (readable, self._client.loop_read)):
                if is_ready and step() != MQTTErrorCode.MQTT_ERR_SUCCESS:
                    return

    def _turn(self) -> MQTTErrorCode:
        """Read and write; write alone, and keep the connection alive, as long as the inbox is full.

        paho takes it for dead when nothing was read for two keep-alives: so long may whoever takes messages stall.
        """
        if not self._inbox.is_full:
            return self._client.loop(_LOOP_TIMEOUT_S)
        self._held_turns += 1
        self._inbox.wait_for_room(_HELD_TURN_S)
        if self._client.want_write() and (code := self._client.loop_write()) != MQTTErrorCode.MQTT_ERR_SUCCESS:
            return code
        return self._client.loop_misc()

    def _connect(self) -> None:
        options = self._options
        if options.is_tls:
            self._client.tls_set_context(tls_context(options))
        if options.username is not None:
            self._client.username_pw_set(options.username, options.read_password())
        self._client.connect(
            *options.address,
            keepalive=options.keepalive_s,
            clean_start=False,
            properties=connect_properties(options),
        )

    def _make_client(self) -> mqtt.Client:
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._options.client_id,
            protocol=mqtt.MQTTv5,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        client.connect_timeout = _CONNECT_TIMEOUT_S
        if self._options.will is not None:
            set_will(client, self._options.will)
        client.on_socket_register_write = _nothing
        client.on_socket_open = self._on_socket_open
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_log = self._on_log
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        return client

    def _post(self, callback: Callable[..., None], *arguments: object) -> None:
        # The loop is closed when the process ends before a thread that hangs in a name lookup.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback, *arguments)

    def _on_socket_open(self, _client: mqtt.Client, _data: object, connection: object) -> None:
        """Before CONNECT is sent: that of an attempt which was given up would take the session from a later one."""
        if not isinstance(connection, socket.socket):
            return
        if self._is_given_up:
            connection.shutdown(socket.SHUT_RDWR)
            return
        # No Nagle delay: an acknowledgement followed by a small reply waited 40 ms for the peer's delayed ACK.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # What the network swallows ends a half-open connection after so long (RFC 5482), not after two keep-alives.
        timeout_ms = round(self._options.answer_timeout_s * 1000)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, timeout_ms)

    def _on_connect(
        self, _client: mqtt.Client, _data: object, flags: mqtt.ConnectFlags, reason: ReasonCode, _properties: object
    ) -> None:
        if reason.is_failure:
            self._reason = f"refused: {reason}"
            self._client.disconnect()
        else:
            self._post(self._settle_opened, flags.session_present)

    def _on_disconnect(
        self,
        _client: mqtt.Client,
        _data: object,
        flags: mqtt.DisconnectFlags,
        reason: ReasonCode,
        _properties: object,
    ) -> None:
        if self._reason != _LOST:
            return
        if flags.is_disconnect_packet_from_server:
            self._reason = f"the broker ended the connection: {reason}"
        else:  # paho says "Unspecified error" of every end that it does not understand
            self._reason = _CLOSED if reason.getName() == "Unspecified error" else str(reason)

    def _on_log(self, _client: mqtt.Client, _data: object, _level: int, text: str) -> None:
        if self._reason == _LOST and text.startswith(_FAILURES):
            self._reason = f"{_LOST}: {text.partition(': ')[2]}"
        elif text == _PING_SENT:
            self._ping_sent_us = self._clock.monotonic_us()
        elif text == _PING_ANSWERED and self._ping_sent_us is not None:
            self._post(self._on_round_trip, self._clock.monotonic_us() - self._ping_sent_us)
            self._ping_sent_us = None

    def _on_message(self, _client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        self._inbox.put(message, size_of(message))
        self._post(self._on_inbox)

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
