"""The MQTT session: connects for ever, hands messages over in order, publishes with acknowledgement.

The broker keeps our session (`clean_start` is always off), so that what was sent to us while we were away arrives.
What we publish is kept by its owners (ledger, event outbox, retained topics), not here: whatever was not acknowledged
when a connection ends is theirs to send again.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from typing import Protocol

from tenacity.wait import wait_base

from edge_agent.clock import Clock
from edge_agent.errors import BrokerUnavailableError, ConnectionLostError
from edge_agent.retry import backoff_s, jittered
from edge_agent.uplink.wire import Inbound, Outgoing, Wire, WireEvents, WireFactory, WireOptions

logger = logging.getLogger(__name__)

CLOSE_TIMEOUT_S = 1.0
FAREWELL_TIMEOUT_S = 1.0
ADDRESS_LOOK_S = 5.0
"""How often it is looked whether the machine still has the address that the connection is made from."""
SHORTEST_WAIT_S, FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 4.0, 60.0
"""Between attempts, drawn at random from the first to the second, which doubles up to the third: a broker that
restarts gets a hundred units over seconds, most of them before the centre calls them lost."""
_STABLE_S = 30.0
_SHORT_BYTES = 1000
"""A message that fits one packet: how long its acknowledgement takes is the round trip and not the line's rate."""


class SessionListener(Protocol):
    """Who is told of connections."""

    async def on_online(self, session_present: bool) -> None:
        """A connection is there and subscribed; the first things to publish are published here."""
        ...


class Witness(Protocol):
    """Who wants to know what the broker certainly heard."""

    def heard(self, until_us: int) -> None:
        """The broker answered what was sent at this monotonic time, µs, on the present connection."""
        ...

    def ended(self) -> None:
        """The present connection is over; called once a connection, before the next begins."""
        ...


class Session:
    """One unit's MQTT session over one connection after another."""

    def __init__(
        self,
        options: WireOptions,
        subscription: str,
        factory: WireFactory,
        clock: Clock,
        backoff: wait_base | None = None,
        on_round_trip: Callable[[int], None] = lambda _took_us: None,
        witness: Witness | None = None,
    ) -> None:
        """Nothing is connected before `run`.

        Args:
            options: client id, last will and bounds.
            subscription: the topic filter that the unit listens to.
            factory: makes connections.
            clock: waits between attempts.
            backoff: between attempts; seconds to a minute, jittered, unless given.
            on_round_trip: told, in µs, how long the broker took to answer a ping or a short message.
            witness: told what the broker heard, and when a connection is over.
        """
        self._options = options
        self._subscription = subscription
        self._factory = factory
        self._clock = clock
        self._backoff = backoff or jittered(FIRST_WAIT_S, LONGEST_WAIT_S, SHORTEST_WAIT_S)
        self._on_round_trip = on_round_trip
        self._witness = witness
        self._generation = 0
        self._wire: Wire | None = None
        self._arrived = asyncio.Event()
        self._closed = asyncio.Event()
        self._online = asyncio.Event()
        self._reason = ""
        self._problem: str | None = None

    @property
    def is_online(self) -> bool:
        """Whether a connection is there and subscribed."""
        return self._online.is_set()

    @property
    def generation(self) -> int:
        """Number of the present connection, or of the last one."""
        return self._generation

    async def wait_online(self) -> None:
        """Return when there is a connection."""
        await self._online.wait()

    async def run(self, listener: SessionListener) -> None:
        """Connect, serve, connect again; returns only by cancellation."""
        failures = 0
        while True:
            began_us = self._clock.monotonic_us()
            try:
                await self._serve_one(listener)
            except BrokerUnavailableError as error:
                self._report(str(error))
            if self._clock.monotonic_us() - began_us > _STABLE_S * 1e6:
                failures = 0
            failures += 1
            await self._clock.async_sleep(backoff_s(self._backoff, failures))

    async def _serve_one(self, listener: SessionListener) -> None:
        self._generation += 1
        self._closed.clear()
        number = self._generation
        events = WireEvents(
            on_message=self._arrived.set,
            on_closed=lambda reason: self._on_closed(number, reason),
            on_round_trip=lambda took_us: self._on_ping(number, took_us),
        )
        self._wire = self._factory(self._options, events, number)
        said_farewell = False
        try:
            session_present = await self._wire.open()
            await self._begin(self._wire, listener, session_present)
            await self._stay(self._wire)
            self._report(self._reason)
        except ConnectionLostError as error:
            self._report(str(error))
        except asyncio.CancelledError:
            said_farewell = await self._say_farewell(self._wire)
            raise
        finally:
            self._end()
            await self._wire.close(CLOSE_TIMEOUT_S, said_farewell=said_farewell)

    async def _stay(self, wire: Wire) -> None:
        """Until the connection is over, or has no address any more from which its packets could be answered."""
        while not self._closed.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ADDRESS_LOOK_S):
                    await self._closed.wait()
            if wire.is_stranded():
                self._reason = "this machine no longer has the address that the connection was made from"
                return

    def _end(self) -> None:
        if self._online.is_set():
            self._online.clear()
            if self._witness is not None:
                self._witness.ended()

    async def _say_farewell(self, wire: Wire) -> bool:
        """An end in order has no last will: other words are published instead; whether the broker took them.

        A connection that has not begun says none: what an earlier one left behind there is for the will to put right.
        """
        if not self._online.is_set():
            return False
        with contextlib.suppress(ConnectionLostError, TimeoutError):
            async with asyncio.timeout(FAREWELL_TIMEOUT_S):
                began_us, farewell = self._clock.monotonic_us(), self._options.farewell
                is_said = await wire.publish(self._options.will if farewell is None else farewell())
                self._note_heard(began_us)
                return is_said
        return False

    async def _begin(self, wire: Wire, listener: SessionListener, session_present: bool) -> None:
        # Also when the session is there: it may have been cut between CONNACK and SUBSCRIBE.
        await wire.subscribe(self._subscription)
        self._problem = None
        logger.info("connected to the broker; it %s our session", "had" if session_present else "did not know")
        self._online.set()
        await listener.on_online(session_present)

    def _on_closed(self, number: int, reason: str) -> None:
        if number != self._generation:
            return  # an attempt that was given up, whose thread has only now come back from a name lookup
        self._reason = reason
        self._end()
        self._closed.set()
        self._arrived.set()

    def _on_ping(self, number: int, took_us: int) -> None:
        self._on_round_trip(took_us)
        if number == self._generation:
            self._note_heard(self._clock.monotonic_us() - took_us)

    def _note_heard(self, until_us: int) -> None:
        if self._witness is not None and self._online.is_set():
            self._witness.heard(until_us)

    def _report(self, problem: str) -> None:
        if problem != self._problem:
            logger.warning("no connection to the broker, trying for ever: %s", problem)
        self._problem = problem

    async def messages(self) -> AsyncIterator[Inbound]:
        """Everything that arrives, in order; what was left in the inbox of an ended connection is redelivered."""
        while True:
            self._arrived.clear()
            while self._wire is not None and (message := self._wire.take()) is not None:
                yield message
            await self._arrived.wait()

    def acknowledge(self, message: Inbound) -> None:
        """Acknowledge on the connection that the message came by; dropped when that is over."""
        if self._wire is not None and message.generation == self._generation:
            self._wire.acknowledge(message)

    async def publish(self, message: Outgoing, generation: int) -> bool:
        """Publish at QoS 1 and wait for the acknowledgement; False when the broker refused the message.

        Args:
            message: what was taken from its source for the connection of this `generation`, and for no other: at the
                next one its source begins again.
            generation: of the connection.

        Raises:
            ConnectionLostError: the connection is over, or ended before the acknowledgement.
        """
        if self._wire is None or not self._online.is_set() or generation != self._generation:
            raise ConnectionLostError("not connected")
        began_us = self._clock.monotonic_us()
        accepted = await self._wire.publish(message)
        if len(message.payload) <= _SHORT_BYTES:
            self._on_round_trip(self._clock.monotonic_us() - began_us)
        if generation == self._generation:
            self._note_heard(began_us)
        return accepted
