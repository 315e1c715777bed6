"""The tables of history: samples that wait, what was left out, and the batches that are on their way.

    history ──(seal)──► history_batches ──(acknowledged, settled)──► gone
       │
       └──(thinned, beyond the bound)──► history_left_out, a count a kind

A batch is sealed when it is about to be sent: its text is stored and its samples are deleted in one synced
transaction, so that whatever happens the same samples are never sent under two ids.
"""

import json
import sqlite3
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edge_agent.contract.messages import History as Batch
from edge_agent.contract.messages import HistoryKind
from edge_agent.contract.model import MAX_MESSAGE_BYTES, canonical_json
from edge_agent.contract.segment_format import ClockSource
from edge_agent.contract.times import format_utc
from edge_agent.uplink.boot_clocks import BootClocks, Instant, check_source
from edge_agent.uplink.resolution import MAX_BYTES, Kept, surplus
from edge_agent.uplink.stored_queue import delete_rows

MAX_SAMPLES = 200
BATCH_BYTES = 8_000
"""Of one batch: at 256 kbit/s what a reply may have to wait for. A larger sample goes alone."""
MAX_SAMPLE_BYTES = 15_000
"""What fits a message with everything around it."""

BATCHES = "history_batches"
"""The table of sealed batches, a `StoredQueue`."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample as it was noted: by both clocks, and who vouched for the wall clock."""

    kind: HistoryKind
    boot_id: str
    monotonic_us: int
    at_us: int
    clock_source: ClockSource
    is_change: bool
    body: str


@dataclass(frozen=True, slots=True)
class Sender:
    """Who seals: the unit, its present boot, and what it knows of the clocks."""

    unit_id: str
    boot_id: str
    clocks: BootClocks


def keep(
    connection: sqlite3.Connection,
    samples: Sequence[Sample],
    left_out: dict[HistoryKind, int],
    present: tuple[str, int],
) -> None:
    """Store samples, then thin all that wait; a transaction's work.

    Args:
        connection: of the transaction.
        samples: in order.
        left_out: what was left out before it came here.
        present: boot and monotonic time, µs.
    """
    connection.executemany(
        "INSERT INTO history (kind, boot_id, monotonic_us, at_us, clock_source, is_change, body) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (one.kind, one.boot_id, one.monotonic_us, one.at_us, one.clock_source, one.is_change, one.body)
            for one in samples
        ],
    )
    for kind, count in left_out.items():
        _count(connection, kind, count)
    leaves = surplus(_kept(connection), *present)
    delete_rows(connection, "history", [sample.number for sample in leaves])
    for sample in leaves:
        _count(connection, sample.kind, 1)


def seal(connection: sqlite3.Connection, sender: Sender) -> bool:
    """Make a batch of the oldest samples of one kind; False when none wait; a transaction's work."""
    oldest = connection.execute("SELECT kind FROM history ORDER BY number LIMIT 1").fetchone()
    if oldest is None:
        return False
    (kind,) = oldest
    numbers, samples = _take(connection, kind, sender.clocks)
    row = connection.execute("SELECT count FROM history_left_out WHERE kind = ?", (kind,)).fetchone()
    batch = Batch(
        history_id=str(uuid.uuid4()),
        unit_id=sender.unit_id,
        boot_id=sender.boot_id,
        kind=kind,
        samples=tuple(samples),
        left_out=row[0] if row else 0,
    )
    connection.execute("INSERT INTO history_batches (body) VALUES (?)", (batch.to_json().decode(),))
    connection.execute("DELETE FROM history_left_out WHERE kind = ?", (kind,))
    delete_rows(connection, "history", numbers)
    return True


def _take(connection: sqlite3.Connection, kind: str, clocks: BootClocks) -> tuple[list[int], list[dict[str, Any]]]:
    """Numbers and samples of one batch; at least one."""
    sql = (
        "SELECT number, boot_id, monotonic_us, at_us, clock_source, body FROM history WHERE kind = ? "
        "ORDER BY number LIMIT ?"
    )
    numbers: list[int] = []
    samples: list[dict[str, Any]] = []
    used_bytes = 0
    for number, boot_id, monotonic_us, at_us, source, body in connection.execute(sql, (kind, MAX_SAMPLES)):
        instant = clocks.date(boot_id, monotonic_us, Instant(at_us, check_source(source)))
        sample = dated(json.loads(body), boot_id, monotonic_us, instant)
        used_bytes += len(canonical_json(sample)) + 1
        if numbers and used_bytes > BATCH_BYTES:
            break
        numbers.append(number)
        samples.append(sample)
    return numbers, samples


def dated(body: dict[str, Any], boot_id: str, monotonic_us: int, instant: Instant) -> dict[str, Any]:
    """A sample as it is sent: the body with the instant as it is believed now, and how it is known."""
    at = format_utc(instant.at_us)
    if isinstance(body.get("properties"), dict):
        body["properties"]["at"] = at
    return body | {"at": at, "boot_id": boot_id, "monotonic_us": monotonic_us, "clock_source": instant.source}


def _kept(connection: sqlite3.Connection) -> list[Kept]:
    sql = (
        "SELECT number, kind, boot_id, monotonic_us, is_change, length(CAST(body AS BLOB)) FROM history "
        "ORDER BY number"
    )
    return [
        Kept(number, kind, boot_id, monotonic_us, bool(is_change), size_bytes)
        for number, kind, boot_id, monotonic_us, is_change, size_bytes in connection.execute(sql)
    ]


def _count(connection: sqlite3.Connection, kind: str, count: int) -> None:
    connection.execute(
        "INSERT INTO history_left_out VALUES (?, ?) ON CONFLICT (kind) DO UPDATE SET count = count + excluded.count",
        (kind, count),
    )


def check_sample(row: dict[str, Any]) -> None:
    """A row of the table `history`, as it is found at the start.

    Raises:
        ValueError, TypeError, LookupError: it cannot be sent.
    """
    whole = isinstance(row["monotonic_us"], int) and isinstance(row["is_change"], int)
    if row["kind"] not in MAX_BYTES or not whole:
        raise ValueError(f"no sample of {row['kind']!r:.40}")
    instant = Instant(row["at_us"], check_source(row["clock_source"]))
    sample = dated(json.loads(row["body"]), row["boot_id"], row["monotonic_us"], instant)
    if len(canonical_json(sample)) > MAX_MESSAGE_BYTES:
        raise ValueError("too long for a message")


def check_left_out(row: dict[str, Any]) -> None:
    """A row of the table `history_left_out`, as it is found at the start.

    Raises:
        ValueError: it is no count.
    """
    if row["kind"] not in MAX_BYTES or not isinstance(row["count"], int) or row["count"] < 0:
        raise ValueError(f"{row['count']!r:.40} samples of {row['kind']!r:.40}")
