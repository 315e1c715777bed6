"""Alarms in the registry: what units raise and clear, by events and by the list of what is raised now.

`up/event` and `up/alarms` say the same twice, in any order, late, or one of them not at all. Rules:

- One alarm is known by the id of the event that raised it, where both reports name one; else by unit, name, camera
  and the time of its raising (to `SAME_US`): however often it is reported, it is one record, and one raised anew is
  another.
- A unit that learns the time tells the same alarm with another time: the record is dated anew.
- The list is the truth about now: what it lacks is over, what it has is open, also when the event was lost.
- An event that is older than what is known belongs to the past: its record is over, at the latest when the next one
  of its kind began or the list no longer had it. Its own `cleared` event, when that comes, tells it exactly.
- Times are the unit's; one that cannot be (before 2020, or in the future) is replaced by when the centre heard it.
"""

import sqlite3
from dataclasses import dataclass, field
from typing import Any

from csu import alarm_rows
from csu.alarm_rows import Key, NewAlarm, Origin, Row
from csu.errors import RequestRefusedError
from csu.paging import Key as PagingKey
from csu.severity import CLIP_FAILED, OCCURRENCES
from csu.views import AlarmRecord
from edge_agent.contract.messages import Alarm, Alarms, Event

SAME_US = 1_000_000
"""Event and list each take the time for themselves."""
EARLIEST_US = 1_577_836_800_000_000
"""2020-01-01: no clock that anybody set says less."""
AHEAD_US = 60_000_000
"""So far ahead of the centre's clock may a unit's be."""
MAX_NAME_CHARACTERS = 64
MAX_OPEN_OF_UNIT = 500
"""More than a list of `up/alarms` holds. For one more the oldest is taken to be over, warnings first."""
MAX_LASTED_S = 10 * 365 * 86_400
ORIGINS: tuple[Origin, ...] = ("unit", "centre")


@dataclass(slots=True)
class AlarmChanges:
    """What a message changed, for memory and watchers.

    Attributes:
        unit_id: whose.
        records: alarms as they are now.
        unacknowledged: how many of the unit's alarms nobody has acknowledged, closed ones too.
    """

    unit_id: str
    records: list[AlarmRecord] = field(default_factory=list)
    unacknowledged: int = 0


def times_of_centre(said_us: int, now_us: int) -> int:
    """A unit's time where it can be, else the centre's."""
    return said_us if EARLIEST_US <= said_us <= now_us + AHEAD_US else now_us


def hear_event(connection: sqlite3.Connection, event: Event, listed: Alarms | None, now_us: int) -> AlarmChanges:
    """Take an event that is new.

    Args:
        connection: the registry's.
        event: of `up/event`.
        listed: the unit's last `up/alarms`.
        now_us: the present.
    """
    key = (event.unit_id, event.name[:MAX_NAME_CHARACTERS], event.camera or "")
    if event.name in OCCURRENCES or event.state == "occurred":
        return AlarmChanges(event.unit_id)
    if event.state == "raised":
        return _changes(connection, event.unit_id, _raise(connection, key, event, listed, now_us))
    return _changes(connection, event.unit_id, _clear(connection, key, event, now_us))


def _raise(
    connection: sqlite3.Connection, key: Key, event: Event, listed: Alarms | None, now_us: int
) -> list[AlarmRecord]:
    known = alarm_rows.row_of_event(connection, key, event.event_id)
    if known is not None:
        return [] if event.clock_source == "unknown" else _date_anew(connection, known, event.at, now_us)
    rows = alarm_rows.rows_of_key(connection, key)
    if any(_is_same(row, event.at, event.event_id) for row in rows):
        return []
    raised_us = times_of_centre(event.at, now_us)
    for row in rows:
        # The list came while the unit's clock was not known; the event is dated by what it learned since.
        if row.cleared_us is None and row.said_us < EARLIEST_US <= event.at:
            return [alarm_rows.date_anew(connection, row, event.at, raised_us)]
    over_us = _over_us(rows, key, event.at, listed, now_us)
    if over_us is not None:
        over_us = max(over_us, raised_us)
    changed: list[AlarmRecord] = []
    if over_us is None:
        changed = _close_open(connection, rows, raised_us, now_us) + _make_room(connection, event.unit_id, now_us)
    new = NewAlarm(key, "unit", event.at, raised_us, event.details, over_us, event_id=event.event_id)
    return [*changed, alarm_rows.insert(connection, new, now_us)]


def _name_of(alarm: Alarm) -> tuple[str, str]:
    return alarm.name[:MAX_NAME_CHARACTERS], alarm.camera or ""


def _over_us(rows: list[Row], key: Key, said_us: int, listed: Alarms | None, now_us: int) -> int | None:
    """When an alarm that is told of late was over at the latest; None when it is still open for all that is known."""
    later_us = [row.raised_us for row in rows if row.said_us > said_us]
    if later_us:
        return min(later_us)
    if listed is None or listed.at < said_us:
        return None
    since_us = {_name_of(alarm): alarm.since_us for alarm in listed.alarms}.get(key[1:])
    if since_us is None:
        return times_of_centre(listed.at, now_us)
    return times_of_centre(since_us, now_us) if since_us > said_us + SAME_US else None


def _close_open(connection: sqlite3.Connection, rows: list[Row], at_us: int, now_us: int) -> list[AlarmRecord]:
    """An alarm is raised once: one of its kind that is open still was cleared, and nobody heard it."""
    return [alarm_rows.close(connection, row, at_us, False, now_us) for row in rows if row.cleared_us is None]


def _make_room(connection: sqlite3.Connection, unit_id: str, now_us: int) -> list[AlarmRecord]:
    """A unit that makes up names must not fill memory, nor push its true alarms out."""
    rows = alarm_rows.least_open_rows(connection, unit_id, MAX_OPEN_OF_UNIT)
    return [alarm_rows.close(connection, row, now_us, False, now_us) for row in rows]


def _clear(connection: sqlite3.Connection, key: Key, event: Event, now_us: int) -> list[AlarmRecord]:
    cleared_us = times_of_centre(event.at, now_us)
    known = alarm_rows.row_of_event(connection, key, event.raised_id)
    if known is not None:
        return _end(connection, known, event, now_us)
    before = [row for row in alarm_rows.rows_of_key(connection, key) if row.said_us <= event.at + SAME_US]
    rows = [row for row in before if row.event_id is None or event.raised_id is None]
    if rows and (rows[0].cleared_us is None or not rows[0].is_clear_known):
        return [alarm_rows.close(connection, rows[0], cleared_us, True, now_us)]
    if rows and rows[0].cleared_us is not None and rows[0].cleared_us >= cleared_us - SAME_US:
        return []
    # Its raising was lost: what remains is how long it lasted.
    said_us = event.at - _lasted_us(event)
    raised_us = min(cleared_us, times_of_centre(said_us, now_us))
    new = NewAlarm(key, "unit", said_us, raised_us, event.details, cleared_us, True, event.raised_id)
    return [alarm_rows.insert(connection, new, now_us)]


def _end(connection: sqlite3.Connection, row: Row, event: Event, now_us: int) -> list[AlarmRecord]:
    """The end of an alarm that the event names; how long it lasted tells better when it began."""
    if row.cleared_us is not None and row.is_clear_known:
        return []
    lasted_us = _lasted_us(event)
    if event.clock_source != "unknown" and lasted_us:
        _date_anew(connection, row, event.at - lasted_us, now_us)
        row = alarm_rows.row_of_event(connection, row.key, row.event_id) or row
    return [alarm_rows.close(connection, row, times_of_centre(event.at, now_us), True, now_us)]


def _date_anew(connection: sqlite3.Connection, row: Row, said_us: int, now_us: int) -> list[AlarmRecord]:
    """The unit knows better now when it was; nothing where that is the same."""
    if abs(row.said_us - said_us) <= SAME_US:
        return []
    return [alarm_rows.date_anew(connection, row, said_us, times_of_centre(said_us, now_us))]


def _lasted_us(event: Event) -> int:
    lasted_s = event.details.get("lasted_s")
    if isinstance(lasted_s, bool) or not isinstance(lasted_s, int | float) or not 0 <= lasted_s < MAX_LASTED_S:
        return 0
    return round(lasted_s * 1e6)


def hear_list(connection: sqlite3.Connection, unit_id: str, listed: Alarms, now_us: int) -> AlarmChanges:
    """Take the unit's word on what is raised now."""
    wanted = {(unit_id, *_name_of(alarm)): alarm for alarm in listed.alarms}
    at_us = times_of_centre(listed.at, now_us)
    records: list[AlarmRecord] = []
    for row in alarm_rows.open_rows(connection, unit_id, "unit"):
        alarm = wanted.get(row.key)
        if alarm is not None and _is_listed(row, alarm):
            del wanted[row.key]
            if row.event_id is not None and row.event_id == alarm.event_id:
                records += _date_anew(connection, row, alarm.since_us, now_us)
        else:
            over_us = at_us if alarm is None else times_of_centre(alarm.since_us, now_us)
            records.append(alarm_rows.close(connection, row, over_us, False, now_us))
    for key, alarm in wanted.items():
        records += _open_listed(connection, key, alarm, at_us, now_us)
    return _changes(connection, unit_id, records)


def _open_listed(
    connection: sqlite3.Connection, key: Key, alarm: Alarm, at_us: int, now_us: int
) -> list[AlarmRecord]:
    known = alarm_rows.row_of_event(connection, key, alarm.event_id)
    if (
        known is not None
    ):  # raised anew it would have another id: a list that has what is known to be over is an old one
        return [] if known.is_clear_known else [alarm_rows.reopen(connection, known, now_us)]
    for row in alarm_rows.rows_of_key(connection, key):
        if _is_same(row, alarm.since_us, alarm.event_id):
            is_older = row.is_clear_known and row.cleared_us is not None and at_us <= row.cleared_us
            return [] if is_older else [alarm_rows.reopen(connection, row, now_us)]
    raised_us = times_of_centre(alarm.since_us, now_us)
    new = NewAlarm(key, "unit", alarm.since_us, raised_us, alarm.details, event_id=alarm.event_id)
    return [*_make_room(connection, key[0], now_us), alarm_rows.insert(connection, new, now_us)]


def raise_own(
    connection: sqlite3.Connection, key: Key, raised_us: int, details: dict[str, Any], now_us: int
) -> AlarmChanges:
    """The centre's own alarm; nothing changes when it is open."""
    is_open = any(row.cleared_us is None for row in alarm_rows.rows_of_key(connection, key))
    new = NewAlarm(key, "centre", raised_us, raised_us, details)
    return _changes(connection, key[0], [] if is_open else [alarm_rows.insert(connection, new, now_us)])


def clear_own(connection: sqlite3.Connection, key: Key, now_us: int) -> AlarmChanges:
    """The centre's own alarm is over; nothing changes when it is not open."""
    rows = [row for row in alarm_rows.rows_of_key(connection, key) if row.cleared_us is None]
    return _changes(connection, key[0], [alarm_rows.close(connection, row, now_us, True, now_us) for row in rows])


def fail_clip(connection: sqlite3.Connection, unit_id: str, clip_id: str, reason: str, now_us: int) -> AlarmChanges:
    """A clip got its verdict, and it is bad: an alarm of its own, whatever else is open."""
    new = NewAlarm((unit_id, CLIP_FAILED, ""), "centre", now_us, now_us, {"clip_id": clip_id, "reason": reason[:300]})
    return _changes(connection, unit_id, [alarm_rows.insert(connection, new, now_us)])


def close_all(connection: sqlite3.Connection, unit_id: str, now_us: int) -> AlarmChanges:
    """The unit is shut out: nothing of it is open any more."""
    rows = [row for origin in ORIGINS for row in alarm_rows.open_rows(connection, unit_id, origin)]
    return _changes(connection, unit_id, [alarm_rows.close(connection, row, now_us, False, now_us) for row in rows])


def acknowledge(
    connection: sqlite3.Connection, alarm_id: str, operator: str, note: str | None, now_us: int
) -> AlarmChanges:
    """Keep who took notice; again by the same changes nothing. An alarm that nothing else ends ends with it.

    Raises:
        RequestRefusedError: no such alarm, or another did it before.
    """
    row = connection.execute("SELECT * FROM alarms WHERE alarm_id = ?", (alarm_id,)).fetchone()
    if row is None:
        raise RequestRefusedError("unknown-alarm", f"no alarm {alarm_id!r:.60} is known here", 404)
    before = alarm_rows.as_record(row)
    if before.acknowledged_by not in {None, operator}:
        words = f"{before.acknowledged_by} acknowledged alarm {alarm_id} before"
        raise RequestRefusedError("acknowledged-already", words, 409)
    if before.acknowledged_by is None:
        connection.execute(
            "UPDATE alarms SET acknowledged_us = ?, acknowledged_by = ?, note = ? WHERE alarm_id = ?",
            (now_us, operator, note, alarm_id),
        )
        if before.name == CLIP_FAILED and before.cleared_us is None:
            ended = alarm_rows.close(connection, alarm_rows.as_row(row), now_us, True, now_us)
            return _changes(connection, before.unit_id, [ended])
    return _changes(connection, before.unit_id, [alarm_rows.record_of(connection, row["number"])])


def load_alarms(
    connection: sqlite3.Connection, unit_id: str | None, is_open: bool | None, limit: int, before: PagingKey | None
) -> list[AlarmRecord]:
    """Alarms newest first, of one unit or of all; `is_open` None takes both, `before` is the last one of a page."""
    conditions: list[str] = ["1"]
    values: list[int | str] = []
    if unit_id is not None:
        conditions.append("unit_id = ?")
        values.append(unit_id)
    if is_open is not None:
        conditions.append("cleared_us IS NULL" if is_open else "cleared_us IS NOT NULL")
    if before is not None:
        conditions.append("(raised_us, alarm_id) < (?, ?)")
        values += before
    where = " AND ".join(conditions)
    sql = f"SELECT * FROM alarms WHERE {where} ORDER BY raised_us DESC, alarm_id DESC LIMIT ?"  # noqa: S608 -- fixed words
    return [alarm_rows.as_record(row) for row in connection.execute(sql, (*values, limit))]


def load_open(connection: sqlite3.Connection) -> list[AlarmRecord]:
    """All open alarms."""
    return [alarm_rows.as_record(row) for row in connection.execute("SELECT * FROM alarms WHERE cleared_us IS NULL")]


def count_unacknowledged(connection: sqlite3.Connection) -> dict[str, int]:
    """How many alarms of each unit nobody has acknowledged, closed ones too."""
    return dict(
        connection.execute(
            "SELECT unit_id, count(*) FROM alarms WHERE acknowledged_us IS NULL GROUP BY unit_id"
        ).fetchall()
    )


def _is_same(row: Row, said_us: int, event_id: str | None) -> bool:
    """Whether a report is of this record, by its time; never where both name an event, and not the same one."""
    return abs(row.said_us - said_us) <= SAME_US and (None in {row.event_id, event_id} or row.event_id == event_id)


def _is_listed(row: Row, alarm: Alarm) -> bool:
    """Whether a list has this open alarm; by time, one that began before it is told of late."""
    if row.event_id is not None and alarm.event_id is not None:
        return row.event_id == alarm.event_id
    return alarm.since_us <= row.said_us + SAME_US


def _changes(connection: sqlite3.Connection, unit_id: str, records: list[AlarmRecord]) -> AlarmChanges:
    sql = "SELECT count(*) FROM alarms WHERE unit_id = ? AND acknowledged_us IS NULL"
    return AlarmChanges(unit_id, records, int(connection.execute(sql, (unit_id,)).fetchone()[0]))
