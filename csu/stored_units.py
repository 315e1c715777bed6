"""Units in the registry: enrolment, the last state of each topic, events."""

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from csu.errors import RequestRefusedError
from csu.records import HeardState, StateTopic, UnitRecord

MAX_EVENTS = 50_000
"""Older events are dropped."""


def add_unit(connection: sqlite3.Connection, unit_id: str, now_us: int) -> None:
    """Remember a unit; one that is known keeps the time of its first enrolment."""
    connection.execute("INSERT OR IGNORE INTO units (unit_id, enrolled_us) VALUES (?, ?)", (unit_id, now_us))


def remove_unit(connection: sqlite3.Connection, unit_id: str) -> None:
    """Forget a unit and its states; its events, commands and clips stay as the record of what was done.

    Raises:
        RequestRefusedError: it is not known.
    """
    if connection.execute("DELETE FROM units WHERE unit_id = ?", (unit_id,)).rowcount == 0:
        raise RequestRefusedError("unknown-unit", f"no unit {unit_id!r:.60} is enrolled here", 404)
    connection.execute("DELETE FROM states WHERE unit_id = ?", (unit_id,))
    connection.execute(
        "UPDATE commands SET next_send_us = NULL, version = version + 1, state = 'expired'"
        " WHERE unit_id = ? AND state IN ('waiting', 'accepted', 'running')",
        (unit_id,),
    )
    connection.execute("UPDATE commands SET next_send_us = NULL WHERE unit_id = ?", (unit_id,))


@dataclass(frozen=True, slots=True)
class KeptState:
    """What became of a body: whether it differs from the one before, and when this one was heard first or live."""

    is_new: bool
    heard_us: int


def save_state(
    connection: sqlite3.Connection, unit_id: str, topic: StateTopic, body: dict[str, Any], now_us: int
) -> bool:
    """Keep the last body of a retained topic; whether it differs from the one before."""
    return keep_state(connection, unit_id, topic, body, now_us).is_new


def keep_state(
    connection: sqlite3.Connection,
    unit_id: str,
    topic: StateTopic,
    body: dict[str, Any],
    heard_us: int,
    is_retained: bool = False,
) -> KeptState:
    """Keep the last body of a retained topic; one that the broker merely repeats grows no younger by it.

    Args:
        connection: the registry's.
        unit_id: whose it is.
        topic: its last word, such as `status`.
        body: what was said.
        heard_us: when it was; of one that the broker repeats, no later than it says itself.
        is_retained: the broker repeats it.
    """
    text = json.dumps(body, sort_keys=True)
    before = connection.execute(
        "SELECT body, heard_us FROM states WHERE unit_id = ? AND topic = ?", (unit_id, topic)
    ).fetchone()
    if is_retained and before is not None and before["body"] == text:
        return KeptState(False, before["heard_us"])  # nothing is written: a fleet's repetition takes a second
    connection.execute(
        "INSERT INTO states (unit_id, topic, body, heard_us) VALUES (?, ?, ?, ?)"
        " ON CONFLICT DO UPDATE SET body = excluded.body, heard_us = excluded.heard_us",
        (unit_id, topic, text, heard_us),
    )
    return KeptState(before is None or before["body"] != text, heard_us)


def load_state(connection: sqlite3.Connection, unit_id: str, topic: StateTopic) -> dict[str, Any] | None:
    """The last body of a retained topic; None when there is none."""
    row = connection.execute("SELECT body FROM states WHERE unit_id = ? AND topic = ?", (unit_id, topic)).fetchone()
    return None if row is None else json.loads(row["body"])


def open_commands(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    """Unit and id of each command that has not ended."""
    rows = connection.execute(
        "SELECT unit_id, command_id FROM commands WHERE state IN ('waiting', 'accepted', 'running')"
    )
    return [(row["unit_id"], row["command_id"]) for row in rows]


def save_event(
    connection: sqlite3.Connection, unit_id: str, event_id: str, body: dict[str, Any], now_us: int
) -> bool:
    """Keep an event; False when it is known already (brokers deliver twice)."""
    known = "SELECT 1 FROM events WHERE unit_id = ? AND event_id = ?"
    if connection.execute(known, (unit_id, event_id)).fetchone() is not None:
        return False
    # INSERT OR IGNORE would use a number up for each copy, and the bound counts numbers.
    connection.execute(
        "INSERT INTO events (unit_id, event_id, body, heard_us) VALUES (?, ?, ?, ?)",
        (unit_id, event_id, json.dumps(body, sort_keys=True), now_us),
    )
    connection.execute(
        "DELETE FROM events WHERE number <= (SELECT max(number) FROM events) - ?",
        (MAX_EVENTS,),
    )
    return True


def recent_events(connection: sqlite3.Connection, unit_id: str | None, limit: int) -> list[dict[str, Any]]:
    """The last events, oldest first, of one unit or of all."""
    if unit_id is None:
        rows = connection.execute("SELECT body FROM events ORDER BY number DESC LIMIT ?", (limit,)).fetchall()
    else:
        query = "SELECT body FROM events WHERE unit_id = ? ORDER BY number DESC LIMIT ?"
        rows = connection.execute(query, (unit_id, limit)).fetchall()
    return [json.loads(row["body"]) for row in reversed(rows)]


def count_ignored(connection: sqlite3.Connection, counts: Mapping[str, int]) -> None:
    """Bodies under units' topics could not be read."""
    sql = "UPDATE units SET ignored = ignored + ? WHERE unit_id = ?"
    connection.executemany(sql, [(count, unit_id) for unit_id, count in counts.items()])


def load_unit(connection: sqlite3.Connection, unit_id: str) -> UnitRecord:
    """One unit.

    Raises:
        RequestRefusedError: it is not known.
    """
    row = connection.execute("SELECT * FROM units WHERE unit_id = ?", (unit_id,)).fetchone()
    if row is None:
        raise RequestRefusedError("unknown-unit", f"no unit {unit_id!r:.60} is enrolled here", 404)
    return _unit_of(connection, row)


def load_units(connection: sqlite3.Connection) -> list[UnitRecord]:
    """All units, by name."""
    rows = connection.execute("SELECT * FROM units ORDER BY unit_id").fetchall()
    return [_unit_of(connection, row) for row in rows]


def is_online(connection: sqlite3.Connection, unit_id: str) -> bool:
    """Whether the unit's last status said that it is online."""
    row = connection.execute("SELECT body FROM states WHERE unit_id = ? AND topic = 'status'", (unit_id,)).fetchone()
    return row is not None and json.loads(row["body"]).get("state") == "online"


def _unit_of(connection: sqlite3.Connection, row: sqlite3.Row) -> UnitRecord:
    heard = connection.execute("SELECT topic, body, heard_us FROM states WHERE unit_id = ?", (row["unit_id"],))
    states = {
        state["topic"]: HeardState(heard_us=state["heard_us"], body=json.loads(state["body"])) for state in heard
    }
    return UnitRecord(unit_id=row["unit_id"], enrolled_us=row["enrolled_us"], states=states, ignored=row["ignored"])
