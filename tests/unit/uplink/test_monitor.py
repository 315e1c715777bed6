"""When coverage is told."""

import asyncio
from typing import cast

import pytest

from edge_agent.clock import FakeClock
from edge_agent.contract.messages import CameraCoverage, CoverageInterval
from edge_agent.errors import RingUnavailableError
from edge_agent.uplink.events import Events
from edge_agent.uplink.monitor import COVERAGE_POLL_S, Monitor
from edge_agent.uplink.ports import RingPort
from edge_agent.uplink.publisher import Publisher
from edge_agent.uplink.telling import COVERAGE_POLICY

START_US = 1_790_000_000_000_000


class EndOfScriptError(Exception):
    """The ring has no more answers."""


class ScriptedRing:
    """Answers coverage from a list; None stands for a recorder that does not answer."""

    def __init__(self, answers: list[CameraCoverage | None]) -> None:
        self._answers = answers

    async def coverage(self, max_intervals: int = 60) -> CameraCoverage:
        del max_intervals
        if not self._answers:
            raise EndOfScriptError
        answer = self._answers.pop(0)
        if answer is None:
            raise RingUnavailableError("gone")
        return answer


class Published:
    """Keeps what would be published."""

    def __init__(self) -> None:
        self.coverages: list[tuple[CameraCoverage, ...]] = []

    def put_coverage(self, cameras: tuple[CameraCoverage, ...]) -> int:
        self.coverages.append(cameras)
        return 500


def coverage(*, minutes: int, gap_start_us: int | None = None) -> CameraCoverage:
    held = CoverageInterval(start_us=START_US, end_us=START_US + minutes * 60_000_000, held=True)
    gap = None if gap_start_us is None else CoverageInterval(start_us=gap_start_us, end_us=START_US, held=False)
    return CameraCoverage(
        camera="main",
        oldest_us=START_US if minutes else None,
        newest_us=held.end_us if minutes else None,
        size_bytes=minutes * 30_000_000,
        last_24h=tuple(interval for interval in (gap, held if minutes else None) if interval),
    )


async def told(answers: list[CameraCoverage | None]) -> list[tuple[CameraCoverage, ...]]:
    published, clock = Published(), FakeClock()
    ring = cast("RingPort", ScriptedRing(answers))
    monitor = Monitor(
        {"main": ring},
        lambda _sights: pytest.fail("no probe is asked"),
        cast("Publisher", published),
        cast("Events", None),
        lambda: pytest.fail("no position is asked"),
        clock,
    )
    with pytest.raises(EndOfScriptError):
        await asyncio.wait_for(monitor.run_coverage(), 10)
    return published.coverages


async def test_the_first_footage_is_told_at_once() -> None:
    empty, first = coverage(minutes=0), coverage(minutes=1)
    assert await told([empty, empty, first, coverage(minutes=2)]) == [(empty,), (first,)]


async def test_a_new_gap_is_told_and_the_moving_edge_of_the_day_is_not() -> None:
    before, gap = coverage(minutes=1), coverage(minutes=1, gap_start_us=START_US - 90_000_000)
    cut = [coverage(minutes=1, gap_start_us=START_US - seconds * 1_000_000) for seconds in (80, 70, 60)]
    assert await told([before, gap, *cut]) == [(before,), (gap,)]


async def test_all_is_told_now_and_then() -> None:
    looks = int(COVERAGE_POLICY.interval_s / COVERAGE_POLL_S) + 1
    answers: list[CameraCoverage | None] = [coverage(minutes=1) for _ in range(looks)]
    assert len(await told(answers)) == 2


async def test_a_recorder_that_does_not_answer_is_no_news() -> None:
    first = coverage(minutes=1)
    assert await told([None, None, first, None]) == [(first,)]
