"""Seconds that each camera held and lost, by quarters of an hour, so that a day of any time zone can be summed up.

`up/coverage` tells the last 24 h as intervals and older days as sums by UTC day. The intervals are cut at quarters of
an hour, which every time zone's days begin at, and kept; a quarter for which no intervals were ever heard gets its
share of what its UTC day's sum has beyond the quarters that are known.

Coverage tells what the ring holds, of which the oldest is overwritten by and by: of two words on a quarter the one
with more footage counts.
"""

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from edge_agent.contract.messages import CameraCoverage, Coverage, CoverageInterval, DayCoverage
from edge_agent.contract.times import format_utc

QUARTER_US = 900_000_000
QUARTERS = 96
DAY_US = QUARTERS * QUARTER_US
MAX_DAYS = 40
"""Days that are kept of a camera; those with the oldest dates go."""
_MAX_SPAN_US = 3 * DAY_US
"""An interval of `last_24h` that claims more is cut."""

Seconds = tuple[float, float]
"""Held and lost."""


@dataclass(frozen=True, slots=True)
class HeldLost:
    """Seconds of one camera in an interval."""

    camera: str
    held_s: float
    lost_s: float


def keep(connection: sqlite3.Connection, unit_id: str, coverage: Coverage) -> None:
    """Take over what a unit says that it holds."""
    for camera in coverage.cameras:
        _keep_camera(connection, unit_id, camera)


def _keep_camera(connection: sqlite3.Connection, unit_id: str, camera: CameraCoverage) -> None:
    sums = {day.day: day for day in camera.days[-MAX_DAYS:] if _is_day(day)}
    quarters = _quarters_of(camera.last_24h)
    for day in sorted({*sums, *quarters}):
        row = connection.execute(
            "SELECT held_s, lost_s, quarters FROM coverage_days WHERE day = ? AND unit_id = ? AND camera = ?",
            (day, unit_id, camera.camera),
        ).fetchone()
        known = _read_quarters(row["quarters"]) if row else {}
        for number, seconds in quarters.get(day, {}).items():
            known[number] = max(known.get(number, (0.0, 0.0)), seconds)
        before = (row["held_s"], row["lost_s"]) if row and row["held_s"] is not None else None
        told = (sums[day].held_s, sums[day].lost_s) if day in sums else None
        held_s, lost_s = max((one for one in (before, told) if one is not None), default=(None, None))
        connection.execute(
            "INSERT OR REPLACE INTO coverage_days VALUES (?, ?, ?, ?, ?, ?)",
            (unit_id, camera.camera, day, held_s, lost_s, json.dumps(known)),
        )
    connection.execute(
        "DELETE FROM coverage_days WHERE unit_id = ?1 AND camera = ?2 AND day IN (SELECT day FROM coverage_days"
        " WHERE unit_id = ?1 AND camera = ?2 ORDER BY day DESC LIMIT -1 OFFSET ?3)",
        (unit_id, camera.camera, MAX_DAYS),
    )


def _is_day(day: DayCoverage) -> bool:
    try:
        return datetime.strptime(day.day, "%Y-%m-%d").replace(tzinfo=UTC).strftime("%Y-%m-%d") == day.day
    except ValueError:
        return False


def _quarters_of(intervals: Iterable[CoverageInterval]) -> Mapping[str, Mapping[int, Seconds]]:
    """Seconds held and lost by UTC day and quarter."""
    found: dict[str, dict[int, Seconds]] = defaultdict(dict)
    for interval in intervals:
        at_us, end_us = interval.start_us, min(interval.end_us, interval.start_us + _MAX_SPAN_US)
        while at_us < end_us:
            next_us = min(end_us, (at_us // QUARTER_US + 1) * QUARTER_US)
            seconds = (next_us - at_us) / 1e6
            day, number = format_utc(at_us)[:10], at_us % DAY_US // QUARTER_US
            held_s, lost_s = found[day].get(number, (0.0, 0.0))
            found[day][number] = (held_s + seconds, lost_s) if interval.held else (held_s, lost_s + seconds)
            at_us = next_us
    return found


def _read_quarters(text: str) -> dict[int, Seconds]:
    return {int(number): (held_s, lost_s) for number, (held_s, lost_s) in json.loads(text).items()}


def sum_up(connection: sqlite3.Connection, start_us: int, end_us: int) -> dict[str, list[HeldLost]]:
    """What the cameras of each unit held and lost in an interval that begins and ends with a quarter of an hour."""
    days = _days_of(start_us, end_us)
    sums: dict[tuple[str, str], Seconds] = {}
    for day, wanted in days.items():
        for row in connection.execute("SELECT * FROM coverage_days WHERE day = ?", (day,)):
            told = None if row["held_s"] is None else (row["held_s"], row["lost_s"])
            held_s, lost_s = _share_of(_read_quarters(row["quarters"]), told, wanted)
            key = (row["unit_id"], row["camera"])
            before = sums.get(key, (0.0, 0.0))
            sums[key] = (before[0] + held_s, before[1] + lost_s)
    found: dict[str, list[HeldLost]] = defaultdict(list)
    for (unit_id, camera), (held_s, lost_s) in sums.items():
        found[unit_id].append(HeldLost(camera, held_s, lost_s))
    return found


def _days_of(start_us: int, end_us: int) -> dict[str, range]:
    """The UTC days of an interval, and which quarters of each."""
    days: dict[str, range] = {}
    for day_us in range(start_us // DAY_US * DAY_US, end_us, DAY_US):
        first = max(0, (start_us - day_us) // QUARTER_US)
        last = min(QUARTERS, -(-(end_us - day_us) // QUARTER_US))
        days[format_utc(day_us)[:10]] = range(first, last)
    return days


def _share_of(known: Mapping[int, Seconds], told: Seconds | None, wanted: range) -> Seconds:
    """Seconds of some quarters of a day: those that are known, and of the rest their share of the day's sum."""
    held_s = sum(known[number][0] for number in wanted if number in known)
    lost_s = sum(known[number][1] for number in wanted if number in known)
    unknown = QUARTERS - len(known)
    if told is None or not unknown:
        return held_s, lost_s
    share = sum(number not in known for number in wanted) / unknown
    rest_held_s = max(0.0, told[0] - sum(held for held, _ in known.values()))
    rest_lost_s = max(0.0, told[1] - sum(lost for _, lost in known.values()))
    return held_s + share * rest_held_s, lost_s + share * rest_lost_s
