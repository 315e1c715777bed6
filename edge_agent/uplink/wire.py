"""The transport edge of the MQTT session: what one network connection can do, whoever makes it.

`paho_wire` speaks to a real broker; `fake_wire` is the broker of the unit tests.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message to publish, at QoS 1."""

    topic: str
    payload: bytes
    retain: bool = False
    correlation: bytes | None = None


@dataclass(frozen=True, slots=True)
class Inbound:
    """One message that arrived.

    Attributes:
        topic: where.
        payload: the body.
        qos: 0 or 1.
        packet_id: what an acknowledgement names; only good on the connection of `generation`.
        generation: number of the connection.
        response_topic: MQTT 5 Response Topic of the request.
        correlation: MQTT 5 Correlation Data of the request.
    """

    topic: str
    payload: bytes
    qos: int
    packet_id: int
    generation: int
    response_topic: str | None = None
    correlation: bytes | None = None


@dataclass(frozen=True, slots=True)
class WireOptions:
    """How to connect.

    Attributes:
        will: what the broker publishes when the unit falls silent.
        farewell: makes what is published at an end in order, which has no last will; None takes the will's words.
        receive_maximum: unacknowledged QoS 1 messages that the broker may have under way to us.
        max_packet_bytes: larger messages are not delivered by the broker.
    """

    client_id: str
    will: Outgoing
    farewell: Callable[[], Outgoing] | None = None
    receive_maximum: int = 32
    max_packet_bytes: int = 262_144


@dataclass(slots=True)
class WireEvents:
    """Callbacks of a wire; every one is called in the event loop's thread.

    Attributes:
        on_message: the bounded inbox has something new.
        on_closed: the connection is over; the text says why.
        on_round_trip: the broker answered a ping of the keep-alive after so many µs.
    """

    on_message: Callable[[], None] = field(default=lambda: None)
    on_closed: Callable[[str], None] = field(default=lambda _reason: None)
    on_round_trip: Callable[[int], None] = field(default=lambda _took_us: None)


class Wire(Protocol):
    """One network connection to the broker; used from the event loop's thread only, and never again once closed."""

    async def open(self) -> bool:
        """Connect; True when the broker still had our session.

        Raises:
            BrokerUnavailableError: unreachable or refused.
        """
        ...

    async def subscribe(self, topic: str) -> None:
        """Subscribe at QoS 1.

        Raises:
            ConnectionLostError: the connection ended first.
            BrokerUnavailableError: the broker refused.
        """
        ...

    async def publish(self, message: Outgoing) -> bool:
        """Publish at QoS 1 and wait for the acknowledgement; False when the broker refused the message.

        Raises:
            ConnectionLostError: the connection ended first.
        """
        ...

    def take(self) -> Inbound | None:
        """The next message of the inbox."""
        ...

    def acknowledge(self, message: Inbound) -> None:
        """Acknowledge a message of this connection; nothing happens when it is over."""
        ...

    def is_stranded(self) -> bool:
        """Whether this machine no longer has the address that the connection is made from."""
        ...

    async def close(self, timeout_s: float, *, said_farewell: bool) -> None:
        """End the connection; by force after `timeout_s`. Unless a farewell was said, the last will is published."""
        ...


WireFactory = Callable[[WireOptions, WireEvents, int], Wire]
"""Makes the next connection, not open yet; its last argument is the connection's number."""
