"""A day of the fleet: sums by quarters of an hour, right across DST and in odd zones."""

from datetime import date
from zoneinfo import ZoneInfo

import pytest

from csu import stored_clips, stored_coverage, stored_said
from csu.day_summary import bounds_us, day_of, summarise
from csu.errors import RequestRefusedError
from csu.registry import Registry
from csu.views import DaySummary
from edge_agent.contract.messages import Coverage
from edge_agent.contract.times import format_utc
from tests.unit.csu.watched import HOUR_US, NOW_US, UNIT, Watched, event, health, online, watched

PARIS = ZoneInfo("Europe/Paris")


def coverage(*intervals: tuple[str, str, bool], days: tuple[tuple[str, int, int], ...] = ()) -> Coverage:
    return Coverage.from_object(
        {
            "at": NOW_US,
            "cameras": [
                {
                    "camera": "main",
                    "size_bytes": 1,
                    "days": [{"day": day, "held_s": held_s, "lost_s": lost_s} for day, held_s, lost_s in days],
                    "last_24h": [{"from": start, "to": end, "held": held} for start, end, held in intervals],
                }
            ],
        }
    )


async def keep(registry: Registry, said: Coverage) -> None:
    await registry.run(stored_coverage.keep, UNIT, said)


async def held_lost(registry: Registry, day: str, zone: ZoneInfo = PARIS) -> tuple[int, int]:
    span = bounds_us(date.fromisoformat(day), zone)
    (camera,) = (await registry.run(stored_coverage.sum_up, *span))[UNIT]
    return round(camera.held_s), round(camera.lost_s)


async def summary_of(bench: Watched, day: str) -> DaySummary:
    view = await bench.fleet.view()
    return await summarise(bench.registry, view, date.fromisoformat(day), PARIS, bench.clock.wall_us())


@pytest.mark.parametrize(
    ("day", "zone", "hours"),
    [
        ("2026-03-29", "Europe/Paris", 23),
        ("2026-10-25", "Europe/Paris", 25),
        ("2026-07-14", "Europe/Paris", 24),
        ("2026-10-04", "Australia/Lord_Howe", 23.5),
        ("2018-11-04", "America/Sao_Paulo", 23),  # clocks were put forward at midnight
    ],
)
def test_a_day_is_as_long_as_the_zone_has_it(day: str, zone: str, hours: float) -> None:
    start_us, end_us = bounds_us(date.fromisoformat(day), ZoneInfo(zone))
    assert (end_us - start_us) / HOUR_US == hours
    assert day_of(start_us, ZoneInfo(zone)) == date.fromisoformat(day)
    assert day_of(start_us - 1, ZoneInfo(zone)) < date.fromisoformat(day)
    assert day_of(end_us - 1, ZoneInfo(zone)) == date.fromisoformat(day)


@pytest.mark.parametrize("day", [date.min, date.max])
def test_the_edges_of_the_calendar_are_refused(day: date) -> None:
    with pytest.raises(RequestRefusedError):
        bounds_us(day, ZoneInfo("Asia/Tokyo"))


async def test_intervals_are_cut_at_local_midnight(registry: Registry) -> None:
    await keep(registry, coverage(("2026-03-28T20:00:00Z", "2026-03-29T20:00:00Z", True)))
    assert await held_lost(registry, "2026-03-28") == (3 * 3600, 0)
    assert await held_lost(registry, "2026-03-29") == (21 * 3600, 0)
    assert await held_lost(registry, "2026-03-29", ZoneInfo("Asia/Kathmandu")) == (22 * 3600 + 15 * 60, 0)


async def test_words_on_the_same_hours_are_not_added_up(registry: Registry) -> None:
    await keep(registry, coverage(("2026-07-14T00:00:00Z", "2026-07-14T06:10:00Z", True)))
    await keep(
        registry,
        coverage(
            ("2026-07-14T02:00:00Z", "2026-07-14T10:00:00Z", True),
            ("2026-07-14T10:00:00Z", "2026-07-14T11:30:00Z", False),
        ),
    )
    assert await held_lost(registry, "2026-07-14", ZoneInfo("UTC")) == (10 * 3600, 5400)


async def test_what_is_overwritten_was_recorded_nevertheless(registry: Registry) -> None:
    await keep(registry, coverage(("2026-07-14T00:00:00Z", "2026-07-14T06:00:00Z", True)))
    await keep(registry, coverage(("2026-07-14T04:07:00Z", "2026-07-14T06:00:00Z", True)))
    assert await held_lost(registry, "2026-07-14", ZoneInfo("UTC")) == (6 * 3600, 0)


async def test_hours_that_were_never_told_get_their_share_of_the_days_sum(registry: Registry) -> None:
    # 4 h are known, all of it footage; the day's sum says 12 h held and 6 h lost: 8 h and 6 h in the other 20 h.
    known = ("2026-07-14T20:00:00Z", "2026-07-15T00:00:00Z", True)
    await keep(registry, coverage(known, days=(("2026-07-14", 12 * 3600, 6 * 3600),)))
    assert await held_lost(registry, "2026-07-14", ZoneInfo("UTC")) == (12 * 3600, 6 * 3600)
    assert await held_lost(registry, "2026-07-14") == (((8 + 2) * 3600), 6 * 3600)
    assert await held_lost(registry, "2026-07-15") == (2 * 3600, 0)


async def test_odd_coverage_costs_little_and_breaks_nothing(registry: Registry) -> None:
    absurd = ("0001-01-01T00:00:00Z", "9999-12-31T00:00:00Z", True)
    days = tuple((day, 1 << 62, 1 << 62) for day in ("x", "2026-02-30", "2026-7-1", "", "9999-12-31"))
    await keep(registry, coverage(absurd, ("2026-07-14T01:00:00Z", "2026-07-14T00:00:00Z", True), days=days))
    rows = "SELECT count(*) FROM coverage_days"
    assert await registry.run(lambda connection: connection.execute(rows).fetchone()[0]) <= stored_coverage.MAX_DAYS


async def test_the_summary_of_a_day_has_everything_of_it(registry: Registry) -> None:
    bench = await watched(registry)
    start_us, end_us = bounds_us(day_of(NOW_US, PARIS), PARIS)
    await bench.hear("status", online())
    await bench.hear("health", health())
    for at_us in (start_us - 1_000_000, start_us, end_us - 1):
        bench.clock.step_wall((at_us - bench.clock.wall_us()) / 1e6)
        await bench.hear_event(event("raised", at_us, f"n{at_us}"))
    bench.clock.step_wall((end_us - bench.clock.wall_us()) / 1e6)
    for clip_id, reason in (("c1", None), ("c2", "torn")):
        await registry.run(stored_clips.add_clip, UNIT, clip_id, "/clips", start_us + HOUR_US)
        await registry.run(stored_said.keep_verdict, UNIT, clip_id, reason, {}, None, start_us + HOUR_US)
    await bench.alarms.raise_own(UNIT, "not-heard", start_us - HOUR_US, {})
    bench.clock.step_wall((start_us + 2 * HOUR_US - bench.clock.wall_us()) / 1e6)
    await bench.alarms.clear_own(UNIT, "not-heard")
    held = coverage((format_utc(start_us), format_utc(start_us + 9 * HOUR_US), True))
    lost = coverage((format_utc(start_us + 9 * HOUR_US), format_utc(start_us + 10 * HOUR_US), False))
    await keep(registry, held)
    await keep(registry, lost)
    found = await summary_of(bench, day_of(NOW_US, PARIS).isoformat())
    assert (found.recorded_share, found.lost_s, found.units) == (0.9, 3600, 1)
    assert (found.clips_delivered, found.clips_failed) == (1, 1)
    assert found.rows == (
        {
            "unit_id": UNIT,
            "standing": found.rows[0]["standing"],
            "held_s": 9 * 3600,
            "lost_s": 3600,
            "alarms": 3,  # two of the unit's, and the clip that failed
            "clips": 1,
            "offline_s": 2 * 3600,
        },
    )


async def test_a_day_of_which_nothing_is_known_is_empty(registry: Registry) -> None:
    bench = await watched(registry)
    found = await summary_of(bench, "2031-01-01")
    assert (found.recorded_share, found.lost_s, found.alarms_raised, found.rows[0]["held_s"]) == (None, 0, 0, 0)
