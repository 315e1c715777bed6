"""What units said of their health and place, by time: live bodies, and what they noted while nobody heard them.

A sample lies where its own `at` puts it, so that a line has no holes however late it comes; one that comes twice is
kept once. A time that no line can hold (none, before 2020, over a day ahead) is not guessed: the sample is counted as
left out. Ages are reckoned from a unit's own newest sample, never from the centre's clock: a centre that wakes with a
wrong clock deletes nothing.
"""

import json
import sqlite3
from dataclasses import dataclass
from typing import Any

from csu.stored_alarms import EARLIEST_US
from edge_agent.contract.errors import ContractError
from edge_agent.contract.messages import History, HistoryKind
from edge_agent.contract.times import format_utc, parse_utc

MAX_AGE_US = 35 * 86_400_000_000
"""Older than so much before the unit's newest, a sample goes."""
MAX_SAMPLES = 20_000
"""Of a unit and kind; the oldest go."""
MAX_BATCHES = 2_000
"""Of a unit and kind that are remembered, so that one which comes twice counts once."""
_AHEAD_US = 86_400_000_000
_TRIM_BATCH = 2_000
_TRIM_EVERY = 64
"""Changes of the registry, roughly: in between, the bound is overstepped by as many samples."""


@dataclass(frozen=True, slots=True)
class StoredSamples:
    """Part of a unit's line, oldest first, and how many samples of it are missing."""

    samples: tuple[dict[str, Any], ...]
    left_out: int


def note(
    connection: sqlite3.Connection, unit_id: str, kind: HistoryKind, body: dict[str, Any], at_us: int, now_us: int
) -> bool:
    """Keep a live body; False when it is there already, or its time cannot be."""
    if not EARLIEST_US <= at_us <= now_us + _AHEAD_US:
        return False
    if connection.total_changes % _TRIM_EVERY == 0:  # a unit that speaks without pause
        trim(connection, unit_id, kind)
    return _insert(connection, unit_id, kind, body, at_us)


def save(connection: sqlite3.Connection, history: History, now_us: int) -> bool:
    """Keep a batch of `up/history`; False when it came before."""
    unit_id, kind = history.unit_id, history.kind
    times_us = [_time_of(sample, now_us) for sample in history.samples]
    placed_us = [at_us for at_us in times_us if at_us is not None]
    left_out = history.left_out + len(times_us) - len(placed_us)
    added = connection.execute(
        "INSERT OR IGNORE INTO history_batches VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            unit_id,
            history.history_id,
            kind,
            min(placed_us, default=now_us),
            max(placed_us, default=now_us),
            min(left_out, (1 << 63) - 1),
            now_us,
        ),
    )
    if added.rowcount == 0:
        return False
    for sample, at_us in zip(history.samples, times_us, strict=True):
        if at_us is not None:
            _insert(connection, unit_id, kind, sample, at_us)
    trim(connection, unit_id, kind)
    return True


def _insert(connection: sqlite3.Connection, unit_id: str, kind: str, body: dict[str, Any], at_us: int) -> bool:
    added = connection.execute(
        "INSERT OR IGNORE INTO history VALUES (?, ?, ?, ?)", (unit_id, kind, at_us, json.dumps(body))
    )
    return added.rowcount == 1


def _time_of(sample: dict[str, Any], now_us: int) -> int | None:
    """When a sample was taken; None for what no line can hold."""
    try:
        at_us = parse_utc(str(sample.get("at")))
    except ContractError:
        return None
    return at_us if EARLIEST_US <= at_us <= now_us + _AHEAD_US else None


def load(
    connection: sqlite3.Connection, unit_id: str, kind: HistoryKind, from_us: int, to_us: int, limit: int
) -> StoredSamples:
    """A unit's line from `from_us` to before `to_us`, oldest first; more than `limit` are thinned out evenly.

    `left_out` counts those, and what the unit itself left out of batches that touch the interval.
    """
    where = (unit_id, kind, from_us, to_us)
    count = connection.execute(
        "SELECT count(*) FROM history WHERE unit_id = ? AND kind = ? AND at_us >= ? AND at_us < ?", where
    ).fetchone()[0]
    step = max(1, -(-count // max(1, limit)))
    rows = connection.execute(
        "SELECT at_us, body FROM (SELECT at_us, body, row_number() OVER (ORDER BY at_us DESC) AS place FROM history"
        " WHERE unit_id = ? AND kind = ? AND at_us >= ? AND at_us < ?) WHERE (place - 1) % ? = 0 ORDER BY at_us",
        (*where, step),
    ).fetchall()
    lost = connection.execute(
        "SELECT total(left_out) FROM history_batches"
        " WHERE unit_id = ? AND kind = ? AND last_us >= ? AND first_us < ?",
        where,
    ).fetchone()[0]
    samples = tuple(json.loads(row["body"]) | {"at": format_utc(row["at_us"])} for row in rows)
    return StoredSamples(samples, count - len(samples) + int(lost))


def trim(connection: sqlite3.Connection, unit_id: str, kind: str) -> bool:
    """Keep the bounds of a unit's line; whether more is left to be deleted than one step does."""
    newest = connection.execute(
        "SELECT max(at_us) FROM history WHERE unit_id = ? AND kind = ?", (unit_id, kind)
    ).fetchone()[0]
    if newest is None:
        return False
    oldest = connection.execute(
        "SELECT at_us FROM history WHERE unit_id = ? AND kind = ? ORDER BY at_us DESC LIMIT 1 OFFSET ?",
        (unit_id, kind, MAX_SAMPLES - 1),
    ).fetchone()
    limit_us = max(newest - MAX_AGE_US, oldest[0] if oldest else 0)
    deleted = connection.execute(
        "DELETE FROM history WHERE unit_id = ?1 AND kind = ?2 AND at_us < ?3 AND at_us IN (SELECT at_us FROM history"
        " WHERE unit_id = ?1 AND kind = ?2 AND at_us < ?3 ORDER BY at_us LIMIT ?4)",
        (unit_id, kind, limit_us, _TRIM_BATCH),
    )
    connection.execute(
        "DELETE FROM history_batches WHERE unit_id = ?1 AND history_id IN (SELECT history_id FROM history_batches"
        " WHERE unit_id = ?1 AND kind = ?2 ORDER BY heard_us DESC LIMIT -1 OFFSET ?3)",
        (unit_id, kind, MAX_BATCHES),
    )
    return deleted.rowcount == _TRIM_BATCH


def lines(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    """Unit and kind of every line that there is, also of units that were shut out."""
    # One step down the primary key a line, not one a sample.
    found: list[tuple[str, str]] = []
    line: tuple[str, str] | None = ("", "")
    while line is not None:
        row = connection.execute(
            "SELECT unit_id, kind FROM history WHERE (unit_id, kind) > (?, ?) ORDER BY unit_id, kind LIMIT 1", line
        ).fetchone()
        line = None if row is None else (row["unit_id"], row["kind"])
        found += [] if line is None else [line]
    return found
