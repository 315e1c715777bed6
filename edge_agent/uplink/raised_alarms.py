"""Raised alarms in the link's database: what is wrong, and what is known of its beginning.

An alarm may be raised while nobody vouches for the wall clock, and the link may be started again before somebody
does. So its beginning is kept as the event that told it: its id, the boot, and the monotonic time, from which the
instant is made anew when the clock of that boot becomes known.
"""

import json
import sqlite3
from dataclasses import dataclass
from typing import Any

from edge_agent.contract.messages import Alarm, Event
from edge_agent.contract.model import canonical_json
from edge_agent.contract.segment_format import ClockSource
from edge_agent.uplink.boot_clocks import STEP_US, BootClocks, Instant, check_source

AlarmKey = tuple[str, str | None]
"""Name and camera."""


@dataclass(frozen=True, slots=True)
class Origin:
    """How an alarm began.

    Attributes:
        boot_id: of the boot in which it was raised.
        monotonic_us: that boot's monotonic time then.
        source: who vouched for the wall clock then.
    """

    boot_id: str
    monotonic_us: int
    source: ClockSource


@dataclass(frozen=True, slots=True)
class Raised:
    """An alarm; `origin` is None where older software raised it."""

    alarm: Alarm
    origin: Origin | None

    @classmethod
    def by(cls, event: Event, monotonic_us: int) -> "Raised":
        """The alarm that an event raises."""
        alarm = Alarm(
            name=event.name, camera=event.camera, since_us=event.at, event_id=event.event_id, details=event.details
        )
        return cls(alarm, Origin(event.boot_id, monotonic_us, event.clock_source))

    @property
    def key(self) -> AlarmKey:
        """Name and camera."""
        return self.alarm.name, self.alarm.camera

    def dated(self, clocks: BootClocks) -> "Raised":
        """With the instant that is believed now, where nobody vouched for the clock then."""
        if self.origin is None or self.origin.source != "unknown":
            return self
        said = Instant(self.alarm.since_us, "unknown")
        instant = clocks.date(self.origin.boot_id, self.origin.monotonic_us, said)
        if abs(instant.at_us - said.at_us) < STEP_US:
            return self
        return Raised(self.alarm.model_copy(update={"since_us": instant.at_us}), self.origin)


def store(connection: sqlite3.Connection, raised: Raised) -> None:
    """Keep a raised alarm, as part of a transaction."""
    alarm, origin = raised.alarm, raised.origin
    key = (alarm.name, alarm.camera or "")
    details = canonical_json(alarm.details).decode()
    connection.execute("INSERT OR REPLACE INTO alarms VALUES (?,?,?,?)", (*key, alarm.since_us, details))
    if origin is not None:
        values = (*key, alarm.since_us, alarm.event_id, origin.boot_id, origin.monotonic_us, origin.source)
        connection.execute("INSERT OR REPLACE INTO alarm_origins VALUES (?,?,?,?,?,?,?)", values)


def remove(connection: sqlite3.Connection, key: AlarmKey) -> None:
    """Forget a raised alarm, as part of a transaction."""
    for table in ("alarms", "alarm_origins"):
        sql = f"DELETE FROM {table} WHERE name = ? AND camera = ?"  # noqa: S608 -- a name of this function
        connection.execute(sql, (key[0], key[1] or ""))


def load(connection: sqlite3.Connection) -> list[Raised]:
    """Every raised alarm; an origin that older software left behind, of another alarm, is none of it."""
    sql = (
        "SELECT a.name, a.camera, a.since_us, a.details, o.event_id, o.boot_id, o.monotonic_us, o.clock_source"
        " FROM alarms a LEFT JOIN alarm_origins o USING (name, camera, since_us)"
    )
    return [_raised_of(row) for row in connection.execute(sql)]


def _raised_of(row: tuple[Any, ...]) -> Raised:
    name, camera, since_us, details, event_id, boot_id, monotonic_us, source = row
    alarm = Alarm(name=name, camera=camera or None, since_us=since_us, event_id=event_id, details=json.loads(details))
    return Raised(alarm, None if boot_id is None else Origin(boot_id, monotonic_us, check_source(source)))
