"""Sums of a day out of the registry."""

import sqlite3
from dataclasses import dataclass

from csu import stored_coverage
from csu.severity import NOT_HEARD
from csu.stored_coverage import HeldLost


@dataclass(frozen=True, slots=True)
class DaySums:
    """What happened in an interval, by unit.

    Attributes:
        coverage: seconds held and lost by camera.
        alarms: alarms that were raised.
        delivered: clips that arrived and hold.
        failed: clips that arrived and do not, and requests that failed or found no answer in time.
        offline_s: seconds for which the unit was not heard though it had been.
        alarms_open: of all units, now.
        alarms_unacknowledged: of all units, now.
    """

    coverage: dict[str, list[HeldLost]]
    alarms: dict[str, int]
    delivered: dict[str, int]
    failed: dict[str, int]
    offline_s: dict[str, int]
    alarms_open: int
    alarms_unacknowledged: int


def load(connection: sqlite3.Connection, start_us: int, end_us: int, now_us: int) -> DaySums:
    """Sums from `start_us` to before `end_us`."""
    span = (start_us, end_us)
    return DaySums(
        coverage=stored_coverage.sum_up(connection, start_us, end_us),
        alarms=_counts(
            connection,
            "SELECT unit_id, count(*) FROM alarms WHERE raised_us >= ? AND raised_us < ? GROUP BY unit_id",
            span,
        ),
        delivered=_counts(connection, _clips_sql("verified"), span),
        failed=_failed(connection, span),
        offline_s=_offline(connection, start_us, end_us, now_us),
        alarms_open=_one(connection, "SELECT count(*) FROM alarms WHERE cleared_us IS NULL"),
        alarms_unacknowledged=_one(connection, "SELECT count(*) FROM alarms WHERE acknowledged_us IS NULL"),
    )


def _clips_sql(verdict: str) -> str:
    return (
        "SELECT unit_id, count(*) FROM clips WHERE completed_us >= ? AND completed_us < ?"  # noqa: S608 -- our words
        f" AND verdict = '{verdict}' GROUP BY unit_id"
    )


def _failed(connection: sqlite3.Connection, span: tuple[int, int]) -> dict[str, int]:
    counts = _counts(connection, _clips_sql("failed"), span)
    ended = _counts(
        connection,
        "SELECT unit_id, count(*) FROM commands WHERE cmd = 'clip.request' AND state IN ('failed', 'expired')"
        " AND CASE state WHEN 'failed' THEN replied_us ELSE expires_us END >= ?"
        " AND CASE state WHEN 'failed' THEN replied_us ELSE expires_us END < ?"
        " AND NOT EXISTS (SELECT 1 FROM clips WHERE clips.unit_id = commands.unit_id AND clip_id = command_id)"
        " GROUP BY unit_id",
        span,
    )
    return {unit_id: counts.get(unit_id, 0) + ended.get(unit_id, 0) for unit_id in {*counts, *ended}}


def _offline(connection: sqlite3.Connection, start_us: int, end_us: int, now_us: int) -> dict[str, int]:
    sql = (
        "SELECT unit_id, sum(min(coalesce(cleared_us, ?1), ?1, ?3) - max(raised_us, ?2)) / 1000000 FROM alarms"
        " WHERE name = ?4 AND origin = 'centre' AND raised_us < min(?1, ?3) AND coalesce(cleared_us, ?1) > ?2"
        " GROUP BY unit_id"
    )
    return {row[0]: max(0, row[1]) for row in connection.execute(sql, (now_us, start_us, end_us, NOT_HEARD))}


def _counts(connection: sqlite3.Connection, sql: str, span: tuple[int, int]) -> dict[str, int]:
    return {row[0]: row[1] for row in connection.execute(sql, span)}


def _one(connection: sqlite3.Connection, sql: str) -> int:
    return int(connection.execute(sql).fetchone()[0])
