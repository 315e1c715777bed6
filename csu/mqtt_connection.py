"""The centre's connection to a broker, over `PahoConnection`."""

import asyncio
import logging
from dataclasses import dataclass
from pathlib import Path

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.subscribeoptions import SubscribeOptions

from csu.errors import BrokerError
from edge_agent.mqtt_options import ConnectionOptions
from edge_agent.mqtt_packets import make_properties, topic_of
from edge_agent.paho_connection import ConnectionErrors, PahoConnection

_log = logging.getLogger(__name__)

RECEIVE_MAXIMUM = 64
_MAX_PACKET_BYTES = 262_144
"""Twice what the own broker passes (`csu.broker_files`); another one may pass anything, for us to hold in memory."""
_KEEPALIVE_S = 30
_SESSION_EXPIRY_S = 30 * 24 * 3600
_ANSWER_TIMEOUT_S = 15.0
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
    is_retained: bool = False
    """The broker repeats it on a new subscription (MQTT 5 §3.3.1.3): it was said at some time before."""


class Connection:
    """Open it once, use it from the event loop's thread, close it."""

    def __init__(self, settings: BusSettings) -> None:
        self._url = settings.url
        self._arrived = asyncio.Event()
        self._end: str | None = None
        errors = ConnectionErrors(BrokerError, lambda reason: BrokerError(f"{settings.url}: {reason}"))
        self._connection = PahoConnection(_options_of(settings), errors, self._arrived.set, self._on_ended)

    async def open(self) -> None:
        """Connect and wait for the broker's acceptance.

        Raises:
            BrokerError: unreachable or refused.
        """
        await self._connection.open()

    async def subscribe(self, topic: str, qos: int = 1) -> None:
        """Subscribe; retained messages are sent again. At QoS 0 nothing waits at the broker while we are away.

        Raises:
            BrokerError: refused, or the connection ended.
        """
        if not await self._connection.subscribe(topic, SubscribeOptions(qos=qos)):
            raise BrokerError(f"{self._url}: subscription to {topic} refused; check the access rules")

    async def wish(self, topic: str) -> None:
        """Subscribe at QoS 0 to what a broker need not give.

        Raises:
            BrokerError: the connection ended.
        """
        if not await self._connection.subscribe(topic, SubscribeOptions(qos=0)):
            _log.info("%s: subscription to %s refused; the service does without", self._url, topic)

    async def publish(self, topic: str, payload: bytes, expiry_s: int) -> None:
        """Publish at QoS 1 and wait for the acknowledgement.

        Args:
            topic: where.
            payload: the body.
            expiry_s: the broker drops it when it could not deliver it by then (MQTT 5 §3.3.2.3.3).

        Raises:
            BrokerError: refused, no answer in time, or the connection ended.
        """
        properties = make_properties(PacketTypes.PUBLISH)
        properties.MessageExpiryInterval = max(1, expiry_s)
        if not await self._connection.publish(topic, payload, properties):
            raise BrokerError(f"{self._url}: message to {topic} refused")

    async def receive(self) -> Message:
        """The next message.

        Raises:
            BrokerError: the connection ended; what was not taken is delivered again on the next one.
        """
        while self._end is None:
            self._arrived.clear()
            message = self._connection.take()
            if message is not None:
                return Message(topic_of(message), bytes(message.payload), message.qos, message.mid, message.retain)
            await self._arrived.wait()
        raise BrokerError(f"{self._url}: {self._end}")

    def acknowledge(self, message: Message) -> None:
        """Tell the broker that a message is stored; without effect once the connection is over."""
        self._connection.acknowledge(message.packet_id, message.qos)

    async def close(self) -> None:
        """End the connection; by force when the network does not let it end in time."""
        await self._connection.close(_CLOSE_TIMEOUT_S)

    def _on_ended(self, reason: str) -> None:
        self._end = reason
        self._arrived.set()


def _options_of(settings: BusSettings) -> ConnectionOptions:
    return ConnectionOptions(
        url=settings.url,
        client_id=settings.client_id,
        keepalive_s=_KEEPALIVE_S,
        session_expiry_s=_SESSION_EXPIRY_S,
        receive_maximum=RECEIVE_MAXIMUM,
        max_packet_bytes=_MAX_PACKET_BYTES,
        username=settings.username,
        read_password=lambda: settings.password,
        ca_file=settings.ca_file,
        certificate_file=settings.certificate_file,
        key_file=settings.key_file,
        answer_timeout_s=_ANSWER_TIMEOUT_S,
    )
