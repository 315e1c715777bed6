"""What the centre looks after by itself, also when its clock jumps."""

from datetime import time
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

import pytest

from csu import stored_notices
from csu.registry import Registry
from csu.severity import CENTRE
from csu.upkeep import BROKER_LOST_AFTER_US, Upkeep
from csu.views import DaySummary
from edge_agent.contract.times import parse_utc
from tests.unit.csu.watched import Watched, watched

PARIS = ZoneInfo("Europe/Paris")
SUMMARY = {
    "zone": "Europe/Paris",
    "units": 0,
    "standing_now": {},
    "lost_s": 0,
    "alarms_raised": 0,
    "alarms_open": 0,
    "alarms_unacknowledged": 0,
    "clips_delivered": 0,
    "clips_failed": 0,
    "not_recording": [],
    "not_heard": [],
}


class Usage(NamedTuple):
    """As `shutil.disk_usage` has it."""

    total: int
    used: int
    free: int


class Kept:
    """An upkeep that is asked to look, and the days that it told."""

    def __init__(self, bench: Watched, directory: Path) -> None:
        self.bench = bench
        self.woken = 0
        self.upkeep = Upkeep(
            bench.registry, bench.alarms, bench.fleet.hearing, directory, PARIS, bench.clock, self._summarise
        )
        self.upkeep.summary_at = time(7, 0)
        self.upkeep.on_notice = self._wake

    def _wake(self) -> None:
        self.woken += 1

    async def _summarise(self, day: str | None) -> DaySummary:
        return DaySummary.from_object(SUMMARY | {"day": day})

    async def at(self, instant: str) -> None:
        """Set the wall clock, and look."""
        self.bench.clock.step_wall((parse_utc(instant) - self.bench.clock.wall_us()) / 1e6)
        await self.upkeep.tell_summary()

    async def days(self) -> list[str]:
        notices = await self.bench.registry.run(stored_notices.notices_after, 0, 1000)
        return [notice.body["day"] for notice in notices if notice.kind == "summary"]

    def own(self) -> list[str]:
        return [alarm.name for alarm in self.bench.alarms.open_of(CENTRE)]


@pytest.fixture
async def kept(registry: Registry, tmp_path: Path) -> Kept:
    return Kept(await watched(registry), tmp_path)


async def test_a_day_is_told_once_from_its_hour_on(kept: Kept) -> None:
    await kept.at("2026-11-22T05:59:00Z")
    assert await kept.days() == []
    for instant in ("2026-11-22T06:00:10Z", "2026-11-22T06:00:30Z", "2026-11-22T22:00:00Z"):
        await kept.at(instant)
    assert (await kept.days(), kept.woken) == (["2026-11-21"], 1)
    await kept.at("2026-11-23T09:30:00Z")
    assert await kept.days() == ["2026-11-21", "2026-11-22"], "late, after the centre was away at its hour"


async def test_clock_jumps_repeat_no_day_and_lose_none(kept: Kept) -> None:
    await kept.at("2026-11-22T07:00:00Z")
    await kept.at("2036-11-22T07:00:00Z")
    await kept.at("2026-11-22T08:00:00Z")
    await kept.at("2026-11-21T08:00:00Z")
    await kept.at("2026-11-22T08:00:00Z")
    await kept.at("2026-11-23T07:00:00Z")
    assert await kept.days() == ["2026-11-21", "2036-11-21", "2026-11-20", "2026-11-22"]


async def test_the_hour_is_local_across_dst(kept: Kept) -> None:
    await kept.at("2026-03-28T06:30:00Z")
    await kept.at("2026-03-29T04:45:00Z")
    assert await kept.days() == ["2026-03-27"]
    await kept.at("2026-03-29T05:15:00Z")
    assert await kept.days() == ["2026-03-27", "2026-03-28"]


async def test_a_centre_without_a_broker_is_alarmed_of(kept: Kept) -> None:
    await kept.upkeep.look_at_broker()
    assert kept.own() == []
    kept.bench.fleet.link(False)
    await kept.upkeep.look_at_broker()
    kept.bench.clock.advance(BROKER_LOST_AFTER_US / 1e6 - 1)
    await kept.upkeep.look_at_broker()
    assert kept.own() == []
    kept.bench.clock.advance(1)
    await kept.upkeep.look_at_broker()
    assert kept.own() == ["broker-lost"]
    kept.bench.fleet.link(True)
    await kept.upkeep.look_at_broker()
    assert kept.own() == []


async def test_a_disk_that_fills_is_alarmed_of_with_room_to_flap(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for free in (50, 29, 31, 35, 37):
        monkeypatch.setattr("shutil.disk_usage", lambda _path, free=free: Usage(10**12, 0, free * 10**9))
        await kept.upkeep.look_at_disk()
        found.append(kept.own())
    assert found == [[], ["disk-low"], ["disk-low"], ["disk-low"], []]
