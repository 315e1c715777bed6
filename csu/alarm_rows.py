"""Rows of the table `alarms`: find, open, close, bound. What they mean is decided in `stored_alarms`.

Every change stores its notice in the same transaction.
"""

import json
import sqlite3
from dataclasses import dataclass
from typing import Any, Literal

from csu.severity import severity_of
from csu.stored_notices import add_alarm_notice
from csu.views import AlarmRecord
from edge_agent.contract.ids import make_uuid7

MAX_ALARMS = 50_000
"""Beyond it the oldest closed ones go."""
MAX_ALARMS_OF_UNIT = 5_000
"""As for one unit's: a unit that flaps must not push out what others said."""
TRIM_EVERY = 50
_MAX_DETAIL_CHARACTERS = 2_000

Origin = Literal["unit", "centre"]
Key = tuple[str, str, str]
"""Unit, name, camera (empty for none)."""


@dataclass(frozen=True, slots=True)
class Row:
    """An alarm as it is stored.

    Attributes:
        number: of the row.
        key: unit, name, camera.
        said_us: when it was raised, by the clock of who raised it; two reports of one alarm agree in it.
        raised_us: the same by a time that can be; see `times_of_centre`.
        cleared_us: None while it is open.
        is_clear_known: False when the end was inferred: a word on it may still come.
        event_id: of the event that raised it, where that is known.
    """

    number: int
    key: Key
    said_us: int
    raised_us: int
    cleared_us: int | None
    is_clear_known: bool
    event_id: str | None = None


@dataclass(frozen=True, slots=True)
class NewAlarm:
    """An alarm to be stored; `cleared_us` when it is known to be over."""

    key: Key
    origin: Origin
    said_us: int
    raised_us: int
    details: dict[str, Any]
    cleared_us: int | None = None
    is_clear_known: bool = False
    event_id: str | None = None


def rows_of_key(connection: sqlite3.Connection, key: Key) -> list[Row]:
    """The last alarms of a key, newest first."""
    sql = "SELECT * FROM alarms WHERE unit_id = ? AND name = ? AND camera = ? ORDER BY said_us DESC LIMIT 200"
    return [as_row(row) for row in connection.execute(sql, key)]


def row_of_event(connection: sqlite3.Connection, key: Key, event_id: str | None) -> Row | None:
    """The alarm of a key that this event raised; None when none is known by it."""
    if event_id is None:
        return None
    sql = "SELECT * FROM alarms WHERE unit_id = ? AND event_id = ? AND name = ? AND camera = ?"
    row = connection.execute(sql, (key[0], event_id, *key[1:])).fetchone()
    return None if row is None else as_row(row)


def open_rows(connection: sqlite3.Connection, unit_id: str, origin: Origin) -> list[Row]:
    """The open alarms of a unit, of one origin."""
    sql = "SELECT * FROM alarms WHERE unit_id = ? AND cleared_us IS NULL AND origin = ?"
    return [as_row(row) for row in connection.execute(sql, (unit_id, origin))]


def least_open_rows(connection: sqlite3.Connection, unit_id: str, bound: int) -> list[Row]:
    """Open alarms that a unit raised beyond the `bound - 1` that matter most: warnings first, the oldest first."""
    # The bound is looked at by counting, which the index does alone: rows are read when there are too many.
    where = "unit_id = ? AND cleared_us IS NULL"
    count = connection.execute(f"SELECT count(*) FROM alarms WHERE {where}", (unit_id,)).fetchone()[0]  # noqa: S608
    sql = f"SELECT * FROM alarms WHERE {where} AND origin = 'unit' ORDER BY severity = 'critical', number LIMIT ?"  # noqa: S608
    return [as_row(row) for row in connection.execute(sql, (unit_id, count + 1 - bound))] if count >= bound else []


def insert(connection: sqlite3.Connection, new: NewAlarm, now_us: int) -> AlarmRecord:
    """Store an alarm, and tell of it."""
    unit_id, name, camera = new.key
    number = connection.execute(
        "INSERT INTO alarms (alarm_id, unit_id, name, camera, origin, severity, said_us, raised_us, cleared_us,"
        " clear_known, details, event_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            make_uuid7(now_us),
            unit_id,
            name,
            camera,
            new.origin,
            severity_of(name),
            new.said_us,
            new.raised_us,
            new.cleared_us,
            new.is_clear_known,
            _details_of(new),
            new.event_id,
        ),
    ).lastrowid
    record = record_of(connection, int(number or 0))
    add_alarm_notice(connection, "alarm-raised", record, now_us)
    if number is not None and number % TRIM_EVERY == 0:
        trim(connection, unit_id)
    return record


def _details_of(new: NewAlarm) -> str:
    """As JSON, where it is not longer than what people read."""
    text = json.dumps(new.details)
    return text if len(text) <= _MAX_DETAIL_CHARACTERS else json.dumps({"left_out": True})


def close(connection: sqlite3.Connection, row: Row, cleared_us: int, is_known: bool, now_us: int) -> AlarmRecord:
    """End an alarm, or say better when it ended; people are told of the end once."""
    connection.execute(
        "UPDATE alarms SET cleared_us = ?, clear_known = ? WHERE number = ?",
        (max(cleared_us, row.raised_us), is_known, row.number),
    )
    record = record_of(connection, row.number)
    if row.cleared_us is None:
        add_alarm_notice(connection, "alarm-cleared", record, now_us)
    return record


def reopen(connection: sqlite3.Connection, row: Row, now_us: int) -> AlarmRecord:
    """It is not over after all."""
    connection.execute("UPDATE alarms SET cleared_us = NULL, clear_known = 0 WHERE number = ?", (row.number,))
    record = record_of(connection, row.number)
    add_alarm_notice(connection, "alarm-raised", record, now_us)
    return record


def date_anew(connection: sqlite3.Connection, row: Row, said_us: int, raised_us: int) -> AlarmRecord:
    """It is known better when it was raised."""
    connection.execute(
        "UPDATE alarms SET said_us = ?, raised_us = ? WHERE number = ?", (said_us, raised_us, row.number)
    )
    return record_of(connection, row.number)


def trim(connection: sqlite3.Connection, unit_id: str) -> None:
    """Keep the bounds: the oldest closed ones go first."""
    for where, bound, values in (
        ("unit_id = ? AND", MAX_ALARMS_OF_UNIT, (unit_id,)),
        ("", MAX_ALARMS, ()),
    ):
        count = connection.execute(f"SELECT count(*) FROM alarms WHERE {where} 1", values).fetchone()[0]  # noqa: S608
        if count > bound:
            connection.execute(
                f"DELETE FROM alarms WHERE number IN (SELECT number FROM alarms WHERE {where} cleared_us IS NOT NULL"  # noqa: S608
                " ORDER BY number LIMIT ?)",
                (*values, count - bound),
            )


def record_of(connection: sqlite3.Connection, number: int) -> AlarmRecord:
    """One alarm as it is handed out."""
    return as_record(connection.execute("SELECT * FROM alarms WHERE number = ?", (number,)).fetchone())


def as_record(row: sqlite3.Row) -> AlarmRecord:
    """A row as it is handed out."""
    fields = {name: row[name] for name in row.keys() if name in AlarmRecord.model_fields}  # noqa: SIM118 -- Row
    return AlarmRecord.from_object(fields | {"camera": row["camera"] or None, "details": json.loads(row["details"])})


def as_row(row: sqlite3.Row) -> Row:
    """A row as it is judged."""
    return Row(
        number=row["number"],
        key=(row["unit_id"], row["name"], row["camera"]),
        said_us=row["said_us"],
        raised_us=row["raised_us"],
        cleared_us=row["cleared_us"],
        is_clear_known=bool(row["clear_known"]),
        event_id=row["event_id"],
    )
