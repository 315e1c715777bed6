"""Delivered clips in the registry: verdicts, and receipts until the unit's request has ended.

A clip is known by its unit and its id: what one unit delivers says nothing of another's clip of the same id.
"""

import json
import sqlite3
from dataclasses import dataclass
from typing import Any

from csu.errors import RequestRefusedError
from csu.paging import Key
from csu.records import FINAL_STATES, ClipRecord


@dataclass(frozen=True, slots=True)
class DueReceipt:
    """A receipt whose time to be published has come."""

    unit_id: str
    clip_id: str
    receipt: str
    sent: int


def add_clip(connection: sqlite3.Connection, unit_id: str, clip_id: str, folder: str, now_us: int) -> bool:
    """Remember a complete delivery as not verified yet; False when it is known (ingest tells again after a kill)."""
    added = connection.execute(
        "INSERT OR IGNORE INTO clips (unit_id, clip_id, folder, completed_us, verdict)"
        " VALUES (?, ?, ?, ?, 'pending')",
        (unit_id, clip_id, folder, now_us),
    )
    return added.rowcount == 1


def pending_clips(connection: sqlite3.Connection) -> list[ClipRecord]:
    """Clips that wait for their verdict, in the order of their arrival."""
    rows = connection.execute("SELECT * FROM clips WHERE verdict = 'pending' ORDER BY completed_us")
    return [_record_of(row) for row in rows]


def save_verdict(
    connection: sqlite3.Connection,
    unit_id: str,
    clip_id: str,
    reason: str | None,
    report: dict[str, Any],
    receipt: str | None,
    now_us: int,
) -> ClipRecord:
    """Keep the verdict (`verified` when there is no reason against it) and its receipt, due at once.

    A receipt names the manifest's digest; without the manifest there is none.
    """
    due_us = None if receipt is None else now_us
    connection.execute(
        "UPDATE clips SET verdict = ?, reason = ?, report = ?, receipt = ?, next_receipt_us = ?"
        " WHERE unit_id = ? AND clip_id = ?",
        ("verified" if reason is None else "failed", reason, json.dumps(report), receipt, due_us, unit_id, clip_id),
    )
    return load_clip(connection, unit_id, clip_id)


def load_clip(connection: sqlite3.Connection, unit_id: str, clip_id: str) -> ClipRecord:
    """One clip.

    Raises:
        RequestRefusedError: the unit delivered nothing under this id.
    """
    row = connection.execute("SELECT * FROM clips WHERE unit_id = ? AND clip_id = ?", (unit_id, clip_id)).fetchone()
    if row is None:
        raise RequestRefusedError(
            "unknown-clip", f"no clip {clip_id!r:.60} of {unit_id!r:.60} was delivered here", 404
        )
    return _record_of(row)


def load_clips(
    connection: sqlite3.Connection, unit_id: str | None, limit: int, before: Key | None = None
) -> list[ClipRecord]:
    """The last clips, newest first, of one unit or of all; those after the row of key `before`."""
    where, values = ["1"], list[int | str]()
    if unit_id is not None:
        where.append("unit_id = ?")
        values.append(unit_id)
    if before is not None:
        where.append("(completed_us, unit_id, clip_id) < (?, ?, ?)")
        values.extend(before)
    order = "ORDER BY completed_us DESC, unit_id DESC, clip_id DESC LIMIT ?"
    query = f"SELECT * FROM clips WHERE {' AND '.join(where)} {order}"  # noqa: S608 -- of this function's own words
    return [_record_of(row) for row in connection.execute(query, (*values, limit))]


def key_of(clip: ClipRecord) -> Key:
    """Where a clip stands in `load_clips`."""
    return clip.completed_us, clip.unit_id, clip.clip_id


def due_receipts(connection: sqlite3.Connection, now_us: int, limit: int = 50) -> list[DueReceipt]:
    """Receipts to publish now; those of units that are shut out wait until they are let in again."""
    rows = connection.execute(
        "SELECT unit_id, clip_id, receipt, receipts_sent FROM clips WHERE next_receipt_us <= ?"
        " AND unit_id IN (SELECT unit_id FROM units) ORDER BY next_receipt_us LIMIT ?",
        (now_us, limit),
    )
    return [DueReceipt(*row) for row in rows]


def next_receipt_us(connection: sqlite3.Connection) -> int | None:
    """When the next receipt is due; None when none is."""
    row = connection.execute(
        "SELECT min(next_receipt_us) FROM clips WHERE next_receipt_us IS NOT NULL"
        " AND unit_id IN (SELECT unit_id FROM units)"
    ).fetchone()
    return None if row[0] is None else int(row[0])


def mark_receipt_sent(connection: sqlite3.Connection, unit_id: str, clip_id: str, next_us: int | None) -> None:
    """It was published; None ends the sending."""
    connection.execute(
        "UPDATE clips SET receipts_sent = receipts_sent + 1, next_receipt_us = ? WHERE unit_id = ? AND clip_id = ?",
        (next_us, unit_id, clip_id),
    )


def postpone_receipt(connection: sqlite3.Connection, unit_id: str, clip_id: str, next_us: int) -> None:
    """It could not be published; try again then."""
    connection.execute(
        "UPDATE clips SET next_receipt_us = ? WHERE unit_id = ? AND clip_id = ?", (next_us, unit_id, clip_id)
    )


def end_receipts(connection: sqlite3.Connection, unit_id: str, clip_id: str) -> None:
    """The unit's request has ended; no receipt is sent any more."""
    connection.execute(
        "UPDATE clips SET next_receipt_us = NULL WHERE unit_id = ? AND clip_id = ?", (unit_id, clip_id)
    )


def is_request_open(connection: sqlite3.Connection, unit_id: str, clip_id: str) -> bool | None:
    """Whether the unit still waits for the receipt; None when that is not known.

    It is not of a clip that was not asked of this unit from here, nor of one whose unit never said how its request
    ended.
    """
    row = connection.execute(
        "SELECT state FROM commands WHERE command_id = ? AND unit_id = ?", (clip_id, unit_id)
    ).fetchone()
    if row is None or row["state"] == "expired":
        return None
    return row["state"] not in FINAL_STATES


def hasten_receipts(connection: sqlite3.Connection, unit_id: str, now_us: int) -> int:
    """The unit came back: receipts that it may have missed are due at once; the number of receipts."""
    return connection.execute(
        "UPDATE clips SET next_receipt_us = ? WHERE unit_id = ? AND next_receipt_us > ?", (now_us, unit_id, now_us)
    ).rowcount


def hasten_all_receipts(connection: sqlite3.Connection, now_us: int, after_us: int) -> None:
    """The clock was wrong: receipts that are due only after `after_us` are due now."""
    connection.execute("UPDATE clips SET next_receipt_us = ? WHERE next_receipt_us > ?", (now_us, after_us))


def _record_of(row: sqlite3.Row) -> ClipRecord:
    fields = {name: row[name] for name in row.keys() if name in ClipRecord.model_fields}  # noqa: SIM118 -- Row
    fields["report"] = None if row["report"] is None else json.loads(row["report"])
    return ClipRecord.from_object(fields)
