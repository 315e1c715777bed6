"""What is waiting to be published, by kind, and the pump that publishes it.

Nothing waits in paho: each kind keeps its own (the ledger its replies, the database its events, memory the last body
of each retained topic), hands one item out at a time, and gets it back when the connection ended before the broker's
acknowledgement.
"""

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from typing import Protocol

from edge_agent.contract.names import Topics
from edge_agent.errors import ConnectionLostError, LedgerError
from edge_agent.uplink.session import Session
from edge_agent.uplink.wire import Outgoing

logger = logging.getLogger(__name__)

WINDOW = 16
"""Items that are published and not acknowledged yet; below mosquitto's default of 20."""

READ_AGAIN_S = 5.0
"""A database that could not say what waits is asked again after this, should nothing else be said before."""


@dataclass(frozen=True, slots=True)
class Item:
    """Messages that belong together, and what their source knows them by."""

    messages: tuple[Outgoing, ...]
    token: object


class OutboxSource(Protocol):
    """One kind of things to publish."""

    async def next(self) -> Item | None:
        """The next item; None when nothing waits.

        Raises:
            LedgerError: the database cannot be read.
        """
        ...

    async def sent(self, item: Item) -> None:
        """The broker has answered for all messages of the item; it is not sent again.

        Raises:
            LedgerError: the database refused; the item may be sent once more later.
        """
        ...

    def lost(self, item: Item) -> None:
        """The connection ended first; the item is to be sent again."""
        ...


class Pump:
    """Publishes what the sources have, first sources first, within a window."""

    def __init__(self, session: Session, sources: tuple[OutboxSource, ...], wake: asyncio.Event) -> None:
        """Sources set `wake` when they have something."""
        self._session = session
        self._sources = sources
        self._wake = wake
        self._window = asyncio.Semaphore(WINDOW)
        self._refused: set[str] = set()
        self._unread = ""

    async def run(self) -> None:
        """Publish for ever; ends by cancellation."""
        async with asyncio.TaskGroup() as group:
            while True:
                await self._window.acquire()
                await self._session.wait_online()
                generation = self._session.generation
                found = await self._next()
                if found is None:
                    self._window.release()
                    await self._rest()
                    continue
                source, item = found
                group.create_task(self._send(source, item, generation))
                # One turn of the loop, so that messages are handed to the connection in this order.
                await asyncio.sleep(0)  # noqa: TID251 -- no time passes

    async def _next(self) -> tuple[OutboxSource, Item] | None:
        self._wake.clear()
        unread = ""
        for source in self._sources:
            try:
                item = await source.next()
            except LedgerError as error:
                unread = str(error)
                continue
            if item is not None:
                return source, item
        self._note_unread(unread)
        return None

    def _note_unread(self, problem: str) -> None:
        if bool(problem) != bool(self._unread):
            logger.warning("what waits to be published: %s", problem or "can be read again")
        self._unread = problem

    async def _rest(self) -> None:
        """Until a source has something, or the database is to be asked again."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(READ_AGAIN_S if self._unread else None):
                await self._wake.wait()

    async def _send(self, source: OutboxSource, item: Item, generation: int) -> None:
        try:
            publications = [self._session.publish(message, generation) for message in item.messages]
            answers = await asyncio.gather(*publications)
            self._note_refusals(item, answers)
            await source.sent(item)
        except ConnectionLostError:
            source.lost(item)
        except LedgerError as error:
            logger.warning("cannot mark what was published: %s", error)
        finally:
            self._window.release()
            self._wake.set()

    def _note_refusals(self, item: Item, answers: list[bool]) -> None:
        for message, accepted in zip(item.messages, answers, strict=True):
            if accepted:
                self._refused.discard(message.topic)
            elif message.topic not in self._refused:
                self._refused.add(message.topic)
                logger.error("the broker refuses %s: correct its access rules for this unit", message.topic)


class RetainedTopics:
    """The last body of each retained topic."""

    def __init__(self, wake: asyncio.Event) -> None:
        self._wake = wake
        self._bodies: dict[str, bytes] = {}
        self._waiting: dict[str, None] = {}

    def put(self, topic: str, body: bytes) -> None:
        """Publish a body unless it is the topic's last one."""
        if self._bodies.get(topic) != body:
            self._bodies[topic] = body
            self._waiting[topic] = None
            self._wake.set()

    def renew(self) -> None:
        """Publish all again: the broker does not know us."""
        self._waiting = dict.fromkeys(self._bodies)
        self._wake.set()

    def only(self, topic: str) -> "OneTopic":
        """One of the topics as a source of its own, so that it can come before other sources."""
        return OneTopic(self, topic)

    async def next(self) -> Item | None:
        """See `OutboxSource.next`."""
        return self.take(next(iter(self._waiting))) if self._waiting else None

    def take(self, topic: str) -> Item | None:
        """The body of one topic if it waits."""
        if topic not in self._waiting:
            return None
        del self._waiting[topic]
        return Item((Outgoing(topic, self._bodies[topic], retain=True),), topic)

    async def sent(self, item: Item) -> None:
        """See `OutboxSource.sent`."""

    def lost(self, item: Item) -> None:
        """See `OutboxSource.lost`."""
        self._waiting.update(dict.fromkeys(message.topic for message in item.messages))


def in_order(
    topics: Topics, retained: RetainedTopics, replies: OutboxSource, events: OutboxSource, history: OutboxSource
) -> tuple[OutboxSource, ...]:
    """What goes first when much waits: that we are there, answers, what is wrong, how we are, how we were."""
    status, alarms = retained.only(topics.up("status")), retained.only(topics.up("alarms"))
    return status, replies, alarms, events, retained, history


class OneTopic:
    """One retained topic (`OutboxSource`); see `RetainedTopics.only`."""

    def __init__(self, topics: RetainedTopics, topic: str) -> None:
        self._topics = topics
        self._topic = topic

    async def next(self) -> Item | None:
        """See `OutboxSource.next`."""
        return self._topics.take(self._topic)

    async def sent(self, item: Item) -> None:
        """See `OutboxSource.sent`."""
        await self._topics.sent(item)

    def lost(self, item: Item) -> None:
        """See `OutboxSource.lost`."""
        self._topics.lost(item)
