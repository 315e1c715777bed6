"""A broker in memory behind the transport edge (`wire.Wire`): what unit tests connect a session to.

It keeps the session of its one client as a real broker does: what is sent while nobody is connected, or was not
acknowledged, is delivered at the next connection, marked with new packet ids.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from edge_agent.errors import BrokerUnavailableError, ConnectionLostError
from edge_agent.uplink.wire import Inbound, Outgoing, WireEvents, WireOptions


async def _at_once() -> None:
    """Nothing is waited for."""


@dataclass
class FakeBroker:
    """Tests set the attributes and look at what happened.

    Attributes:
        refusals: reasons why the next connections fail, one each.
        withhold: publications are taken but not acknowledged.
        denied: topics that the broker refuses.
        subscribing: awaited before a subscription is granted.
        is_stranded: what connections say of the machine's address.
        is_down: every connection fails.
        transmit: awaited before a publication is taken; a line that takes its time.
        published: what was acknowledged, in order.
        acknowledged: bodies that the client acknowledged, in order.
    """

    refusals: deque[str] = field(default_factory=deque)
    withhold: bool = False
    denied: set[str] = field(default_factory=set)
    is_stranded: bool = False
    is_down: bool = False
    subscribing: Callable[[], Awaitable[None]] = _at_once
    transmit: Callable[[Outgoing], Awaitable[None]] | None = None
    published: list[Outgoing] = field(default_factory=list)
    withheld: list[Outgoing] = field(default_factory=list)
    acknowledged: list[bytes] = field(default_factory=list)
    subscriptions: list[str] = field(default_factory=list)
    has_session: bool = False
    connections: int = 0
    wire: "FakeWire | None" = None
    _pending: list[tuple[str, bytes]] = field(default_factory=list)
    _packet_id: int = 0

    def factory(self, options: WireOptions, events: WireEvents, generation: int) -> "FakeWire":
        """The `WireFactory` of this broker."""
        return FakeWire(self, options, events, generation)

    def send(self, topic: str, body: bytes) -> None:
        """Publish to the client, now or when it is back."""
        self._pending.append((topic, body))
        if self.wire is not None:
            self.wire.deliver(topic, body)

    def cut(self, reason: str = "cut by the test") -> None:
        """End the present connection."""
        if self.wire is not None:
            self.wire.end(reason)

    def forget(self) -> None:
        """Lose the session and what waited in it."""
        self.has_session = False
        self._pending.clear()

    def attach(self, wire: "FakeWire") -> bool:
        """A connection was opened; whether the session was there."""
        if self.is_down:
            raise BrokerUnavailableError("down")
        if self.refusals:
            raise BrokerUnavailableError(self.refusals.popleft())
        present, self.has_session = self.has_session, True
        self.connections += 1
        self.wire = wire
        for topic, body in self._pending:
            wire.deliver(topic, body)
        return present

    def next_packet_id(self) -> int:
        """Rises over all connections."""
        self._packet_id += 1
        return self._packet_id

    def settle(self, topic: str, body: bytes) -> None:
        """The client acknowledged a message."""
        self.acknowledged.append(body)
        self._pending.remove((topic, body))


class FakeWire:
    """See `wire.Wire`."""

    def __init__(self, broker: FakeBroker, options: WireOptions, events: WireEvents, generation: int) -> None:
        self.options = options
        self._broker = broker
        self._events = events
        self._generation = generation
        self._inbox: deque[Inbound] = deque()
        self._ended: str | None = None
        self._over = asyncio.Event()

    async def open(self) -> bool:
        """See `Wire.open`."""
        return self._broker.attach(self)

    async def subscribe(self, topic: str) -> None:
        """See `Wire.subscribe`."""
        self._check()
        if topic in self._broker.denied:
            raise BrokerUnavailableError(f"subscription to {topic} refused")
        await self._broker.subscribing()
        self._broker.subscriptions.append(topic)

    async def publish(self, message: Outgoing) -> bool:
        """See `Wire.publish`; a withheld one is lost with the connection."""
        self._check()
        if self._broker.transmit is not None:
            await self._broker.transmit(message)
            self._check()
        if self._broker.withhold:
            self._broker.withheld.append(message)
            await self._over.wait()
            raise ConnectionLostError(self._ended or "")
        if message.topic in self._broker.denied:
            return False
        self._broker.published.append(message)
        return True

    def take(self) -> Inbound | None:
        """See `Wire.take`."""
        return self._inbox.popleft() if self._inbox else None

    def acknowledge(self, message: Inbound) -> None:
        """See `Wire.acknowledge`."""
        if self._ended is None and message.generation == self._generation:
            self._broker.settle(message.topic, message.payload)

    def is_stranded(self) -> bool:
        """See `Wire.is_stranded`."""
        return self._broker.is_stranded

    async def close(self, timeout_s: float, *, said_farewell: bool) -> None:
        """See `Wire.close`; takes no time, and the will has no delay."""
        if self._broker.wire is self and not said_farewell:
            self._broker.published.append(self.options.will)
        self.end(f"closed within {timeout_s:g} s")

    def deliver(self, topic: str, body: bytes) -> None:
        """A message arrives."""
        packet_id = self._broker.next_packet_id()
        self._inbox.append(Inbound(topic, body, qos=1, packet_id=packet_id, generation=self._generation))
        self._events.on_message()

    def answer_ping(self, took_us: int) -> None:
        """The broker answers a ping that left so many µs ago."""
        self._events.on_round_trip(took_us)

    def end(self, reason: str) -> None:
        """The connection is over."""
        if self._ended is None:
            self._ended = reason
            self._over.set()
            if self._broker.wire is self:
                self._broker.wire = None
            self.say_closed(reason)

    def say_closed(self, reason: str) -> None:
        """Tell the session that this connection is over."""
        self._events.on_closed(reason)

    def _check(self) -> None:
        if self._ended is not None:
            raise ConnectionLostError(self._ended)
