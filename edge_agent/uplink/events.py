"""Events and alarms: said once when something breaks, once when it recovers, and kept until the broker has them.

The set of raised alarms and the events that wait are in the link's database and change in one transaction: a restart
of the link raises nothing twice and forgets nothing. At most `MAX_WAITING` events wait; beyond that the oldest are
left out and counted (`events-lost`). When the database cannot be written, a few events are kept in memory.

A broker acknowledges what it holds in memory: mosquitto 2.0 writes its store after the PUBACK. So an acknowledged
event is kept for `SETTLE_S` more, and sent again, with the same `event_id`, when the connection ends before.

Every connection begins with the oldest event that is kept, and goes on in order. A *round* is one such pass; what was
read or handed out in a round that is over counts for nothing.
"""

import asyncio
import json
import logging
import sqlite3
import uuid
from bisect import insort
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from edge_agent.contract.event_names import EventName
from edge_agent.contract.messages import Alarm, Event
from edge_agent.contract.model import canonical_json
from edge_agent.contract.names import Topics
from edge_agent.errors import LedgerError
from edge_agent.uplink.database import LinkDatabase
from edge_agent.uplink.outbox import Item
from edge_agent.uplink.stamps import Stamper
from edge_agent.uplink.wire import Outgoing

logger = logging.getLogger(__name__)

MAX_WAITING = 1000
_BATCH = 32
_MAX_IN_MEMORY = 64

SETTLE_S = 5.0
_SETTLE_LOOK_S = 2.0

EventState = Literal["raised", "cleared", "occurred"]
AlarmKey = tuple[str, str | None]
"""Name and camera."""


@dataclass(frozen=True, slots=True)
class _Stored:
    """An event of the database that was handed out."""

    round: int
    number: int


@dataclass(frozen=True, slots=True)
class _Remembered:
    """An event that lives in memory only; `place` is its place in order."""

    place: int
    body: str


class Events:
    """Source of the pump (`outbox.OutboxSource`), and the book of raised alarms."""

    def __init__(self, database: LinkDatabase, stamper: Stamper, topics: Topics, wake: asyncio.Event) -> None:
        self._database = database
        self._stamper = stamper
        self._topic = topics.up("event")
        self._wake = wake
        self._raised: dict[AlarmKey, Alarm] = {}
        self._round = 0
        self._batch: deque[tuple[int, str]] = deque()
        self._read_up_to = 0
        self._memory: list[_Remembered] = []
        self._remembered = 0
        self._acknowledged: dict[int, int] = {}  # number, and the monotonic time of its acknowledgement, µs

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
        return tuple(sorted(self._raised.values(), key=lambda alarm: alarm.since_us))

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
        self._raised[key] = Alarm(name=name, camera=camera, since_us=now_us, details=details)
        logger.warning("alarm raised: %s%s %s", name, f" of {camera}" if camera else "", details)
        row = (name, camera or "", now_us, canonical_json(details).decode())
        body = self._body(name, "raised", camera, details)
        await self._keep(
            body, lambda connection: connection.execute("INSERT OR REPLACE INTO alarms VALUES (?,?,?,?)", row)
        )

    async def _clear(self, key: AlarmKey) -> None:
        name, camera = key
        alarm = self._raised.pop(key)
        lasted_s = (self._stamper.clock.wall_us() - alarm.since_us) / 1e6
        logger.info("alarm cleared: %s%s after %.0f s", name, f" of {camera}" if camera else "", lasted_s)
        body = self._body(name, "cleared", camera, {"lasted_s": round(lasted_s, 1)})
        sql = "DELETE FROM alarms WHERE name = ? AND camera = ?"
        await self._keep(body, lambda connection: connection.execute(sql, (name, camera or "")))

    def _body(self, name: str, state: EventState, camera: str | None, details: dict[str, Any]) -> str:
        """The event without its number, which it gets when it is sent."""
        event = Event(
            event_id=str(uuid.uuid4()),
            name=name,
            state=state,
            camera=camera,
            details=details,
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
        acknowledged = list(self._acknowledged)

        def work(connection: sqlite3.Connection) -> None:
            if also is not None:
                also(connection)
            connection.execute("INSERT INTO events (body) VALUES (?)", (body,))
            _drop_surplus(connection, acknowledged)

        await self._database.write(work)

    async def next(self) -> Item | None:
        """See `OutboxSource.next`."""
        if self._memory:
            event = self._memory.pop(0)
            return Item((self._outgoing(event.body),), event)
        if not self._batch:
            await self._read_batch()
        if not self._batch:
            return None
        number, body = self._batch.popleft()
        return Item((self._outgoing(body),), _Stored(self._round, number))

    async def sent(self, item: Item) -> None:
        """See `OutboxSource.sent`; `run` deletes it."""
        if isinstance(item.token, _Stored) and item.token.round == self._round:
            self._acknowledged[item.token.number] = self._stamper.clock.monotonic_us()

    def lost(self, item: Item) -> None:
        """See `OutboxSource.lost`."""
        if isinstance(item.token, _Remembered):
            self._remember(item.token)
        elif isinstance(item.token, _Stored) and item.token.round == self._round:
            self._begin_again()

    def reconnected(self) -> None:
        """Another connection begins: what the last one had acknowledged a moment ago is sent again."""
        self._acknowledged.clear()
        self._begin_again()
        self._wake.set()

    async def run(self, is_online: Callable[[], bool]) -> None:
        """Delete for ever what was acknowledged long enough ago, on a connection that is still there."""
        while True:
            await self._stamper.clock.async_sleep(_SETTLE_LOOK_S)
            if is_online():
                await self._delete_settled()

    async def _delete_settled(self) -> None:
        limit_us = self._stamper.clock.monotonic_us() - round(SETTLE_S * 1e6)
        settled = [number for number, since_us in self._acknowledged.items() if since_us <= limit_us]
        if not settled:
            return
        try:
            await self._database.write_relaxed(lambda connection: _delete(connection, settled))
        except LedgerError as error:
            logger.warning("acknowledged events cannot be deleted: %s", error)
            return
        for number in settled:
            self._acknowledged.pop(number, None)

    def _begin_again(self) -> None:
        self._round += 1
        self._batch.clear()
        self._read_up_to = 0

    async def _read_batch(self) -> None:
        rows: list[tuple[int, str]] = []
        reading = -1
        while reading != self._round:  # what was read while another round began is not that one's
            reading = self._round
            rows = await self._database.read(partial(_rows_after, number=self._read_up_to))
        if rows:
            self._read_up_to = rows[-1][0]
        self._batch.extend(rows)

    def _outgoing(self, body: str) -> Outgoing:
        event = json.loads(body) | {"seq": self._stamper.counter.take()}
        return Outgoing(self._topic, canonical_json(event))


def _rows_after(connection: sqlite3.Connection, number: int) -> list[tuple[int, str]]:
    sql = "SELECT number, body FROM events WHERE number > ? ORDER BY number LIMIT ?"
    return connection.execute(sql, (number, _BATCH)).fetchall()


def _delete(connection: sqlite3.Connection, numbers: list[int]) -> None:
    connection.executemany("DELETE FROM events WHERE number = ?", [(number,) for number in numbers])


def _is_too_many(connection: sqlite3.Connection) -> bool:
    (waiting,) = connection.execute("SELECT count(*) FROM events").fetchone()
    return int(waiting) > MAX_WAITING


def _drop_surplus(connection: sqlite3.Connection, acknowledged: list[int]) -> None:
    """Beyond the bound, let go of acknowledged ones; then leave the oldest out, counted in one `events-lost`."""
    if _is_too_many(connection):
        _delete(connection, acknowledged)
    if not _is_too_many(connection):
        return
    rows = connection.execute("SELECT number, body FROM events ORDER BY number LIMIT 2").fetchall()
    lost = sum(_lost_of(json.loads(body)) for _, body in rows)
    last_number, last_body = rows[-1]
    summary = json.loads(last_body) | {
        "name": EventName.EVENTS_LOST.value,
        "state": "occurred",
        "details": {"count": lost},
    }
    summary.pop("camera", None)
    connection.execute("DELETE FROM events WHERE number < ?", (last_number,))
    connection.execute("UPDATE events SET body = ? WHERE number = ?", (canonical_json(summary).decode(), last_number))


def _lost_of(event: dict[str, Any]) -> int:
    return int(event["details"]["count"]) if event["name"] == EventName.EVENTS_LOST else 1
