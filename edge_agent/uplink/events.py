"""Events and alarms: said once when something breaks, once when it recovers, and kept until the broker has them.

The set of raised alarms and the events that wait are in the link's database and change in one transaction: a restart
of the link raises nothing twice and forgets nothing. How many may wait is in `event_bound`; an event that was
acknowledged may be sent again, with the same `event_id` (`stored_queue`). When the database cannot be written, a few
events are kept in memory; those that it has no room for are counted in one `events-lost` too.

An event that was noted while nobody vouched for the clock gets its instant when it is sent, if the clock of its boot
is known by then.
"""

import asyncio
import json
import logging
import sqlite3
import uuid
from bisect import insort
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from edge_agent.contract.event_names import EventName
from edge_agent.contract.messages import Alarm, Event
from edge_agent.contract.model import canonical_json
from edge_agent.contract.names import Topics
from edge_agent.contract.times import format_utc, parse_utc
from edge_agent.errors import LedgerError
from edge_agent.uplink import raised_alarms
from edge_agent.uplink.boot_clocks import BootClocks, Instant
from edge_agent.uplink.database import LinkDatabase
from edge_agent.uplink.event_bound import drop_surplus, in_place_of
from edge_agent.uplink.outbox import Item
from edge_agent.uplink.raised_alarms import AlarmKey, Raised
from edge_agent.uplink.stamps import Stamper
from edge_agent.uplink.stored_queue import Row, StoredQueue
from edge_agent.uplink.wire import Outgoing

logger = logging.getLogger(__name__)

_MAX_IN_MEMORY = 64

EventState = Literal["raised", "cleared", "occurred"]


@dataclass(frozen=True, slots=True)
class _Remembered:
    """An event that lives in memory only; `place` is its place in order."""

    place: int
    body: str


class Events:
    """Source of the pump (`outbox.OutboxSource`), and the book of raised alarms."""

    def __init__(
        self,
        database: LinkDatabase,
        stamper: Stamper,
        topics: Topics,
        wake: asyncio.Event,
        clocks: BootClocks | None = None,
        step_hook: Callable[[str], None] = lambda _name: None,
    ) -> None:
        """`step_hook` is called with `events:<step>:before` and `:after` around each durable step."""
        self._database = database
        self._stamper = stamper
        self._clocks = clocks or BootClocks(database, stamper)
        self._topic = topics.up("event")
        self._wake = wake
        self._hook = step_hook
        self._raised: dict[AlarmKey, Raised] = {}
        self._queue = StoredQueue(database, "events", stamper.clock, step_hook)
        self._memory: list[_Remembered] = []
        self._remembered = 0

    async def load(self) -> None:
        """Read the raised alarms of the link's last life.

        Raises:
            LedgerError: the database cannot be read.
        """
        self._raised = {raised.key: raised for raised in await self._database.read(raised_alarms.load)}

    @property
    def raised(self) -> tuple[Alarm, ...]:
        """What is wrong now, longest first."""
        alarms = (raised.dated(self._clocks).alarm for raised in self._raised.values())
        return tuple(sorted(alarms, key=lambda alarm: alarm.since_us))

    async def observe(self, seen: Mapping[AlarmKey, dict[str, Any] | None]) -> bool:
        """Take notice of what was looked at: details where something is wrong, None where all is well.

        Alarms that were not looked at stay as they are.

        Returns:
            Whether an alarm was raised or cleared, or is known to have begun at another instant.
        """
        changed = self._date_anew()
        for key, details in seen.items():
            if details is not None and key not in self._raised:
                await self._raise(key, details)
                changed = True
            elif details is None and key in self._raised:
                await self._clear(key)
                changed = True
        return changed

    async def occurred(self, name: EventName, details: dict[str, Any], camera: str | None = None) -> None:
        """Say that something happened."""
        await self._keep(self._event(name, "occurred", camera, details), None)

    async def store(
        self, name: EventName, details: dict[str, Any], also: Callable[[sqlite3.Connection], object]
    ) -> None:
        """Say that something happened, together with another change of the database: both hold or none.

        Raises:
            LedgerError: the database refused.
        """
        await self._insert(self._event(name, "occurred", None, details).to_json().decode(), also)
        self._wake.set()

    def _date_anew(self) -> bool:
        dated = {key: raised.dated(self._clocks) for key, raised in self._raised.items()}
        changed = dated != self._raised
        self._raised = dated
        return changed

    async def _raise(self, key: AlarmKey, details: dict[str, Any]) -> None:
        name, camera = key
        event = self._event(name, "raised", camera, details)
        raised = self._raised[key] = Raised.by(event, event.monotonic_us or 0)
        logger.warning("alarm raised: %s%s %s", name, f" of {camera}" if camera else "", details)
        await self._keep(event, lambda connection: raised_alarms.store(connection, raised))

    async def _clear(self, key: AlarmKey) -> None:
        name, camera = key
        raised = self._raised.pop(key).dated(self._clocks)
        lasted_s = self._lasted_s(raised)
        logger.info("alarm cleared: %s%s after %.0f s", name, f" of {camera}" if camera else "", lasted_s)
        event = self._event(name, "cleared", camera, {"lasted_s": round(lasted_s, 1)}, raised.alarm.event_id)
        await self._keep(event, lambda connection: raised_alarms.remove(connection, key))

    def _lasted_s(self, raised: Raised) -> float:
        """For how long it is raised; by the wall clock, which may have stepped, when that was in an earlier boot."""
        clock, origin = self._stamper.clock, raised.origin
        if origin is not None and origin.boot_id == self._stamper.boot_id:
            return (clock.monotonic_us() - origin.monotonic_us) / 1e6
        return max(clock.wall_us() - raised.alarm.since_us, 0) / 1e6

    def _event(
        self,
        name: str,
        state: EventState,
        camera: str | None,
        details: dict[str, Any],
        raised_id: str | None = None,
    ) -> Event:
        """The event without its number, which it gets when it is sent."""
        return Event(
            event_id=str(uuid.uuid4()),
            name=name,
            state=state,
            camera=camera,
            details=details,
            monotonic_us=self._stamper.clock.monotonic_us(),
            raised_id=raised_id,
            **(self._stamper.fields_without_number() | {"seq": 0}),
        )

    async def _keep(self, event: Event, also: Callable[[sqlite3.Connection], object] | None) -> None:
        body = event.to_json().decode()
        try:
            await self._insert(body, also)
        except LedgerError as error:
            logger.warning("an event is kept in memory only: %s", error)
            self._remembered += 1
            self._remember(_Remembered(self._remembered, body))
        self._wake.set()

    def _remember(self, event: _Remembered) -> None:
        insort(self._memory, event, key=lambda one: one.place)
        if len(self._memory) > _MAX_IN_MEMORY:
            gone = self._memory[:2]
            lost = in_place_of([json.loads(one.body) for one in gone])
            self._memory[:2] = [_Remembered(gone[-1].place, canonical_json(lost).decode())]

    async def _insert(self, body: str, also: Callable[[sqlite3.Connection], object] | None) -> None:
        acknowledged = self._queue.acknowledged

        def work(connection: sqlite3.Connection) -> None:
            if also is not None:
                also(connection)
            connection.execute("INSERT INTO events (body) VALUES (?)", (body,))
            drop_surplus(connection, acknowledged)

        self._hook("events:stored:before")
        await self._database.write(work)
        self._hook("events:stored:after")

    async def next(self) -> Item | None:
        """See `OutboxSource.next`."""
        if self._memory:
            event = self._memory.pop(0)
            return Item((self._outgoing(event.body),), event)
        row = await self._queue.next()
        return None if row is None else Item((self._outgoing(row.body),), row)

    async def sent(self, item: Item) -> None:
        """See `OutboxSource.sent`; `run` deletes it."""
        if isinstance(item.token, Row):
            self._queue.sent(item.token)

    def lost(self, item: Item) -> None:
        """See `OutboxSource.lost`."""
        if isinstance(item.token, _Remembered):
            self._remember(item.token)
        elif isinstance(item.token, Row):
            self._queue.lost(item.token)

    def reconnected(self) -> None:
        """Another connection begins: what the last one had acknowledged a moment ago is sent again."""
        self._queue.reconnected()
        self._wake.set()

    async def run(self, is_online: Callable[[], bool]) -> None:
        """Delete for ever what was acknowledged long enough ago, on a connection that is still there."""
        while True:
            await self._queue.rest()
            if is_online():
                await self._queue.delete_settled()

    def _outgoing(self, body: str) -> Outgoing:
        event = self._dated(json.loads(body)) | {"seq": self._stamper.counter.take()}
        return Outgoing(self._topic, canonical_json(event))

    def _dated(self, event: dict[str, Any]) -> dict[str, Any]:
        """With the instant that is believed now, where nobody vouched for the clock then."""
        monotonic_us = event.get("monotonic_us")
        if event["clock_source"] != "unknown" or monotonic_us is None:
            return event
        said = Instant(parse_utc(event["at"]), "unknown")
        instant = self._clocks.date(event["boot_id"], monotonic_us, said)
        return event | {"at": format_utc(instant.at_us), "clock_source": instant.source}
