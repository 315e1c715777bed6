"""When health is told, noted, and when silence is kept."""

import asyncio
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, cast

import pytest

from edge_agent.clock import FakeClock
from edge_agent.contract.messages import CameraCoverage, CoverageInterval, Health, Position, Probe, ProbeState
from edge_agent.contract.model import MAX_MESSAGE_BYTES
from edge_agent.uplink.events import Events
from edge_agent.uplink.monitor import HISTORY_INTERVAL_S, POLL_INTERVAL_S, RENEW_AFTER_S, Monitor
from edge_agent.uplink.publisher import Publisher
from edge_agent.uplink.raised_alarms import AlarmKey
from edge_agent.uplink.telling import COVERAGE_POLICY, HEALTH_POLICY, CoverageShape, Policy, Teller, meaning_of

SECOND_US = 1_000_000
START_US = 1_790_000_000_000_000


def health(cpu: float = 0.1, storage: ProbeState = "ok", **cameras: dict[str, object]) -> Health:
    probe = Probe(state="ok")
    by_name = cameras or {"main": {"state": "ok", "recording": True}}
    return Health(
        at=0,
        camera=Probe.model_validate({"state": "ok", "cameras": by_name}),
        storage=Probe(state=storage),
        power=Probe(state="unknown"),
        network=probe,
        clock=probe,
        system=Probe.model_validate({"state": "ok", "cpu_load_share": cpu}),
    )


def test_a_change_is_told_at_once_and_nothing_twice() -> None:
    teller = Teller(Policy(interval_s=3600, burst=3, refill_s=300))
    told = [teller.is_due(word, second * SECOND_US) for second, word in enumerate("aabbba")]
    assert told == [True, False, True, False, False, True]


def test_what_flaps_is_told_at_the_pace_of_the_budget_and_rightly_in_the_end() -> None:
    teller = Teller(Policy(interval_s=3600, burst=3, refill_s=300))
    told = [second for second in range(0, 1800, 5) if teller.is_due(second // 5 % 2, second * SECOND_US)]
    assert told[:3] == [0, 5, 10]
    assert len(told) <= 3 + 1800 // 300
    assert teller.is_due(7, 2200 * SECOND_US)
    assert not teller.is_due(7, 2205 * SECOND_US)


def test_without_a_change_it_is_told_rarely() -> None:
    teller = Teller(Policy(interval_s=3600, burst=3, refill_s=300))
    told = [minute for minute in range(24 * 60) if teller.is_due("same", minute * 60 * SECOND_US)]
    assert told == list(range(0, 24 * 60, 60))


def test_a_long_body_is_told_as_much_more_rarely() -> None:
    teller = Teller(COVERAGE_POLICY)
    told = []
    for minute in range(24 * 60):
        if teller.is_due("same", minute * 60 * SECOND_US):
            told.append(minute)
            teller.note_size(MAX_MESSAGE_BYTES if minute < 12 * 60 else 700)
    assert told[:3] == [0, 160, 320]
    assert told[-2:] == [told[-1] - 60, told[-1]]


def test_the_longest_health_and_coverage_stay_within_the_month() -> None:
    month_s, packet_bytes = 30 * 86_400, MAX_MESSAGE_BYTES + 1100
    coverage_s = COVERAGE_POLICY.interval_s * MAX_MESSAGE_BYTES / COVERAGE_POLICY.short_bytes
    longest = packet_bytes * (month_s / HEALTH_POLICY.interval_s + month_s / coverage_s)
    keep_alive = 204 * month_s / 45
    assert longest + keep_alive <= 30e6


def test_figures_that_only_move_mean_the_same() -> None:
    assert meaning_of(health(cpu=0.1)) == meaning_of(health(cpu=0.9))
    assert meaning_of(health()) != meaning_of(health(storage="warning"))
    one_lost = health(main={"state": "critical", "recording": False}, rear={"state": "ok", "recording": True})
    other_lost = health(main={"state": "ok", "recording": True}, rear={"state": "critical", "recording": False})
    assert meaning_of(one_lost) != meaning_of(other_lost)
    assert meaning_of(health(main={"detail": "no answer"})) != meaning_of(health())


def coverage(*held: bool) -> CameraCoverage:
    intervals = tuple(
        CoverageInterval(start_us=START_US + number, end_us=START_US + number + 1, held=is_held)
        for number, is_held in enumerate(held)
    )
    return CameraCoverage(camera="main", oldest_us=START_US if held else None, size_bytes=1, last_24h=intervals)


def test_the_shape_of_coverage_changes_when_a_gap_begins_or_ends_and_not_when_it_grows_old() -> None:
    shape = CoverageShape()
    seen = [
        shape.of(coverage(*held))
        for held in ((), (True,), (True, False), (True, False), (True, False, True), (False, True), (True,), (True,))
    ]
    news = [now != before for before, now in pairwise(seen)]
    assert news == [True, True, False, True, False, False, False]


@dataclass
class Bench:
    """A monitor whose looks the test makes."""

    clock: FakeClock = field(default_factory=FakeClock)
    told: list[Health] = field(default_factory=list)
    noted: list[dict[str, Any]] = field(default_factory=list)
    next: Health = field(default_factory=health)
    raised: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        self.monitor = Monitor(
            {},
            lambda _sights: self,
            cast("Publisher", self),
            cast("Events", self),
            lambda: cast("Position", pytest.fail("no position is asked")),
            self.clock,
            self,
        )

    @property
    def health(self) -> Health:
        return self.next

    @property
    def alarms(self) -> dict[AlarmKey, dict[str, Any] | None]:
        return {}

    async def observe(self, seen: object) -> bool:
        return bool(seen)

    def put_health(self, body: Health) -> None:
        self.told.append(body)

    def note(self, kind: str, body: dict[str, Any]) -> None:
        assert kind == "health"
        self.noted.append(body)

    async def looks(self, seconds: float) -> None:
        for _ in range(round(seconds / POLL_INTERVAL_S)):
            await self.monitor.check()
            self.clock.advance(POLL_INTERVAL_S)


async def test_a_quiet_hour_is_noted_by_the_minute_and_told_once() -> None:
    bench = Bench()
    await bench.looks(3600)
    assert len(bench.told) == 1
    assert len(bench.noted) == 3600 / HISTORY_INTERVAL_S
    await bench.looks(10)
    assert len(bench.told) == 2


async def test_a_change_is_told_and_noted_at_the_next_look() -> None:
    bench = Bench()
    await bench.looks(20)
    bench.next = health(storage="critical")
    await bench.looks(10)
    assert [one.storage.state for one in bench.told] == ["ok", "critical"]
    assert [one["storage"]["state"] for one in bench.noted] == ["ok", "critical"]


async def test_a_connection_after_a_while_begins_with_what_is_now() -> None:
    bench = Bench()
    await bench.looks(30)
    bench.monitor.on_online()
    await bench.looks(10)
    assert len(bench.told) == 1
    bench.clock.advance(RENEW_AFTER_S)
    bench.next = health(cpu=0.7)
    bench.monitor.on_online()
    await bench.looks(10)
    assert [one.system.model_dump()["cpu_load_share"] for one in bench.told] == [0.1, 0.7]


async def test_a_probe_that_is_asked_twice_at_once_runs_once_at_a_time() -> None:
    bench = Bench()
    await asyncio.gather(*(bench.monitor.check() for _ in range(5)))
    assert len(bench.told) == 1


def test_a_whole_month_of_hourly_health_is_the_policy() -> None:
    assert 30 * 24 * 3600 / HEALTH_POLICY.interval_s == 720
