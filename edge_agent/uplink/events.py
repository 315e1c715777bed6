"""Events and alarms: said once when something breaks, once when it recovers, and kept until the broker has them.

The set of raised alarms and the events that wait are in the link's database and change in one transaction: a restart
of the link raises nothing twice and forgets nothing. How many may wait is in `event_bound`; an event that was
acknowledged may be sent again, with the same `event_id` (`stored_queue`). When the database cannot be written, a few
events are kept in memory.

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
from edge_agent.contract.segment_format import ClockSource
from edge_agent.contract.times import format_utc, parse_utc
from edge_agent.errors import LedgerError
from edge_agent.uplink.boot_clocks import BootClocks, Instant
from edge_agent.uplink.database import LinkDatabase
from edge_agent.uplink.event_bound import drop_surplus
from edge_agent.uplink.outbox import Item
from edge_agent.uplink.stamps import Stamper
from edge_agent.uplink.stored_queue import Row, StoredQueue
from edge_agent.uplink.wire import Outgoing

logger = logging.getLogger(__name__)

_MAX_IN_MEMORY = 64

EventState = Literal["raised", "cleared", "occurred"]
AlarmKey = tuple[str, str | None]
"""Name and camera."""


@dataclass(frozen=True, slots=True)
class _Remembered:
    """An event that lives in memory only; `place` is its place in order."""

    place: int
    body: str


@dataclass(frozen=True, slots=True)
class _Noted:
    """When something was noted by this boot's monotonic clock, and who vouched for the wall clock then."""

    monotonic_us: int
    source: ClockSource


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
        self._raised: dict[AlarmKey, Alarm] = {}
        self._raised_at: dict[AlarmKey, _Noted] = {}  # of those that were raised in this life
        self._queue = StoredQueue(database, "events", stamper.clock, step_hook)
        self._memory: list[_Remembered] = []
        self._remembered = 0

    async def load(self) -> None:
        """Read the raised alarms of the link's last life.

        Raises:
            LedgerError: the database cannot be read.
        """
        rows = await self._database.read(
            lambda connection: connection.execute("SELECT name, camera, since_us, details FROM alarms").fetchall()
        )
        for name, camera, since_us, details in rows:
            alarm = Alarm(name=name, camera=camera or None, since_us=since_us, details=json.loads(details))
            self._raised[alarm.name, alarm.camera] = alarm

    @property
    def raised(self) -> tuple[Alarm, ...]:
        """What is wrong now, longest first."""
        alarms = (self._redated(key, alarm) for key, alarm in self._raised.items())
        return tuple(sorted(alarms, key=lambda alarm: alarm.since_us))

    def _redated(self, key: AlarmKey, alarm: Alarm) -> Alarm:
        """With the instant that is believed now, where nobody vouched for the clock then."""
        noted = self._raised_at.get(key)
        if noted is None or noted.source != "unknown":
            return alarm
        said = Instant(alarm.since_us, noted.source)
        instant = self._clocks.date(self._stamper.boot_id, noted.monotonic_us, said)
        return alarm.model_copy(update={"since_us": instant.at_us})

    async def observe(self, seen: Mapping[AlarmKey, dict[str, Any] | None]) -> bool:
        """Take notice of what was looked at: details where something is wrong, None where all is well.

        Alarms that were not looked at stay as they are.

        Returns:
            Whether an alarm was raised or cleared.
        """
        changed = False
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
        body = self._body(name, "occurred", camera, details)
        await self._keep(body, None)

    async def store(
        self, name: EventName, details: dict[str, Any], also: Callable[[sqlite3.Connection], object]
    ) -> None:
        """Say that something happened, together with another change of the database: both hold or none.

        Raises:
            LedgerError: the database refused.
        """
        await self._insert(self._body(name, "occurred", None, details), also)
        self._wake.set()

    async def _raise(self, key: AlarmKey, details: dict[str, Any]) -> None:
        name, camera = key
        now_us = self._stamper.clock.wall_us()
        self._raised_at[key] = _Noted(self._stamper.clock.monotonic_us(), self._stamper.belief.source)
        self._raised[key] = Alarm(name=name, camera=camera, since_us=now_us, details=details)
        logger.warning("alarm raised: %s%s %s", name, f" of {camera}" if camera else "", details)
        row = (name, camera or "", now_us, canonical_json(details).decode())
        body = self._body(name, "raised", camera, details)
        await self._keep(
            body, lambda connection: connection.execute("INSERT OR REPLACE INTO alarms VALUES (?,?,?,?)", row)
        )

    async def _clear(self, key: AlarmKey) -> None:
        name, camera = key
        lasted_s = self._lasted_s(key)
        del self._raised[key]
        self._raised_at.pop(key, None)
        logger.info("alarm cleared: %s%s after %.0f s", name, f" of {camera}" if camera else "", lasted_s)
        body = self._body(name, "cleared", camera, {"lasted_s": round(lasted_s, 1)})
        sql = "DELETE FROM alarms WHERE name = ? AND camera = ?"
        await self._keep(body, lambda connection: connection.execute(sql, (name, camera or "")))

    def _lasted_s(self, key: AlarmKey) -> float:
        """For how long it is raised; by the wall clock, which may have stepped, when that was in an earlier life."""
        clock, noted = self._stamper.clock, self._raised_at.get(key)
        if noted is not None:
            return (clock.monotonic_us() - noted.monotonic_us) / 1e6
        return max(clock.wall_us() - self._raised[key].since_us, 0) / 1e6

    def _body(self, name: str, state: EventState, camera: str | None, details: dict[str, Any]) -> str:
        """The event without its number, which it gets when it is sent."""
        event = Event(
            event_id=str(uuid.uuid4()),
            name=name,
            state=state,
            camera=camera,
            details=details,
            monotonic_us=self._stamper.clock.monotonic_us(),
            **(self._stamper.fields_without_number() | {"seq": 0}),
        )
        return event.to_json().decode()

    async def _keep(self, body: str, also: Callable[[sqlite3.Connection], object] | None) -> None:
        try:
            await self._insert(body, also)
        except LedgerError as error:
            logger.warning("an event is kept in memory only: %s", error)
            self._remembered += 1
            self._remember(_Remembered(self._remembered, body))
        self._wake.set()

    def _remember(self, event: _Remembered) -> None:
        insort(self._memory, event, key=lambda one: one.place)
        del self._memory[:-_MAX_IN_MEMORY]

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
