"""What people are to be told, kept in the transaction of what happened: a kill in between loses neither.

Each channel reads the notices in order and remembers how far it is. What it is about to send is a *batch* with an id
that is stored before the first attempt: a repetition, also one after a kill, is the same batch under the same id. A
channel that is new begins with what happens from then on. At most `MAX_NOTICES` are kept, and `MAX_OF_UNIT` of each
unit, so that one that raises alarms without end neither pushes out nor holds up what others have to tell; what a
channel missed of older ones is counted.
"""

import json
import sqlite3
from dataclasses import dataclass
from typing import Any, Literal

from csu.views import AlarmRecord, Severity
from edge_agent.contract.ids import make_uuid7

NoticeKind = Literal["alarm-raised", "alarm-cleared", "summary"]

MAX_NOTICES = 10_000
MAX_OF_UNIT = 200
_TRIM_EVERY = 100
_BEING_SENT = "SELECT 1 FROM notify_channels WHERE number > done_number AND number <= batch_end"


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing to be told.

    Attributes:
        number: its place in order.
        notice_id: a UUID, the same however often it is told.
        kind: what it is about.
        severity: of the alarm; None for a summary.
        body: `AlarmRecord` or `DaySummary` as JSON types.
        made_us: when it was stored.
    """

    number: int
    notice_id: str
    kind: NoticeKind
    severity: Severity | None
    body: dict[str, Any]
    made_us: int


@dataclass(frozen=True, slots=True)
class ChannelPlace:
    """How far a channel is.

    Attributes:
        done_number: up to this notice everything was told, or was not this channel's.
        batch_id: of what is being sent; None between batches.
        batch_end: last notice of that batch.
        left_out: notices that were gone before this channel read them, not told of yet.
    """

    done_number: int
    batch_id: str | None = None
    batch_end: int | None = None
    left_out: int = 0


def add_alarm_notice(connection: sqlite3.Connection, kind: NoticeKind, alarm: AlarmRecord, now_us: int) -> None:
    """Tell of an alarm."""
    _add(connection, kind, alarm.severity, alarm.to_object(), now_us)


def add_summary(connection: sqlite3.Connection, day: str, body: dict[str, Any], now_us: int) -> bool:
    """Tell of a day; False when it was told already, or is being told."""
    if connection.execute("INSERT OR IGNORE INTO summary_days (day) VALUES (?)", (day,)).rowcount == 0:
        return False
    connection.execute("DELETE FROM summary_days WHERE number <= (SELECT max(number) FROM summary_days) - 400")
    _add(connection, "summary", None, body, now_us)
    return True


def is_summary_made(connection: sqlite3.Connection, day: str) -> bool:
    """Whether the summary of a day was handed to the channels."""
    return connection.execute("SELECT 1 FROM summary_days WHERE day = ?", (day,)).fetchone() is not None


def _add(
    connection: sqlite3.Connection, kind: NoticeKind, severity: Severity | None, body: dict[str, Any], now_us: int
) -> None:
    number = connection.execute(
        "INSERT INTO notices (notice_id, kind, severity, body, made_us) VALUES (?, ?, ?, ?, ?)",
        (make_uuid7(now_us), kind, severity, json.dumps(body), now_us),
    ).lastrowid
    _make_room(connection, body.get("unit_id"))
    if number is not None and number % _TRIM_EVERY == 0:
        excess = int(connection.execute("SELECT count(*) FROM notices").fetchone()[0]) - MAX_NOTICES
        _drop(connection, "SELECT number FROM notices ORDER BY number LIMIT ?", (max(0, excess),))


def _make_room(connection: sqlite3.Connection, unit_id: str | None) -> None:
    """Of a unit the newest notices stay, and what is being sent."""
    of_unit = "FROM notices WHERE json_extract(body, '$.unit_id') = ?"
    excess = int(connection.execute(f"SELECT count(*) {of_unit}", (unit_id,)).fetchone()[0]) - MAX_OF_UNIT
    if excess > 0:
        oldest = f"SELECT number {of_unit} AND NOT EXISTS ({_BEING_SENT}) ORDER BY number LIMIT ?"
        _drop(connection, oldest, (unit_id, excess))


def _drop(connection: sqlite3.Connection, chosen: str, values: tuple[object, ...]) -> None:
    """Forget notices, and count them for each channel that has not come to them; of its batch `skip_lost` counts."""
    numbers = [row[0] for row in connection.execute(chosen, values)]
    ahead = "UPDATE notify_channels SET left_out = left_out + 1 WHERE max(done_number, coalesce(batch_end, 0)) < ?"
    connection.executemany(ahead, [(number,) for number in numbers])
    connection.executemany("DELETE FROM notices WHERE number = ?", [(number,) for number in numbers])


def open_channel(connection: sqlite3.Connection, channel: str) -> ChannelPlace:
    """Where a channel is; a new one is put behind all that there is."""
    connection.execute(
        "INSERT OR IGNORE INTO notify_channels (channel, done_number)"
        " VALUES (?, (SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'notices'))",
        (channel,),
    )
    return _place_of(connection, channel)


def forget_channels(connection: sqlite3.Connection, channels: tuple[str, ...]) -> None:
    """Forget all channels but these: what happens while one is not configured is not told later."""
    marks = ",".join("?" * len(channels))
    connection.execute(f"DELETE FROM notify_channels WHERE channel NOT IN ({marks})", channels)  # noqa: S608 -- marks


def notices_after(connection: sqlite3.Connection, number: int, limit: int) -> list[Notice]:
    """Notices behind a number, in order."""
    rows = connection.execute("SELECT * FROM notices WHERE number > ? ORDER BY number LIMIT ?", (number, limit))
    return [_notice_of(row) for row in rows]


def skip_lost(connection: sqlite3.Connection, channel: str) -> ChannelPlace:
    """Step over notices that are gone, and count those of a batch; one that is gone whole is none any more."""
    place = _place_of(connection, channel)
    first = connection.execute("SELECT min(number) FROM notices").fetchone()[0]
    if first is None or place.done_number >= first - 1:
        return place
    lost = max(0, min(first - 1, place.batch_end or 0) - place.done_number)
    connection.execute(
        "UPDATE notify_channels SET left_out = left_out + ?, done_number = ? WHERE channel = ?",
        (lost, first - 1, channel),
    )
    connection.execute(
        "UPDATE notify_channels SET batch_id = NULL, batch_end = NULL WHERE channel = ? AND batch_end < ?",
        (channel, first),
    )
    return _place_of(connection, channel)


def begin_batch(connection: sqlite3.Connection, channel: str, batch_id: str, end: int) -> None:
    """What is sent from now on under this id, up to this notice."""
    connection.execute(
        "UPDATE notify_channels SET batch_id = ?, batch_end = ? WHERE channel = ?", (batch_id, end, channel)
    )


def end_batch(connection: sqlite3.Connection, channel: str, end: int, left_out: int = 0) -> None:
    """Everything up to this notice was told, or is not this channel's.

    Args:
        connection: the registry's.
        channel: its name.
        end: the notice.
        left_out: missing ones that were told of; less than 0 where more are missing now.
    """
    connection.execute(
        "UPDATE notify_channels SET done_number = ?, left_out = left_out - ?, batch_id = NULL, batch_end = NULL"
        " WHERE channel = ?",
        (end, left_out, channel),
    )


def _place_of(connection: sqlite3.Connection, channel: str) -> ChannelPlace:
    row = connection.execute(
        "SELECT done_number, batch_id, batch_end, left_out FROM notify_channels WHERE channel = ?", (channel,)
    ).fetchone()
    return ChannelPlace(*row)


def _notice_of(row: sqlite3.Row) -> Notice:
    return Notice(
        number=row["number"],
        notice_id=row["notice_id"],
        kind=row["kind"],
        severity=row["severity"],
        body=json.loads(row["body"]),
        made_us=row["made_us"],
    )
