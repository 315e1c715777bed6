"""Stamps, rates, pace, and what fits a message."""

import json
from pathlib import Path

import pytest

from edge_agent.clock import FakeClock
from edge_agent.contract.messages import Alarm, CameraCoverage, DayCoverage, Progress
from edge_agent.contract.model import MAX_MESSAGE_BYTES
from edge_agent.limiter import RateLimiter
from edge_agent.uplink.pace import ProgressPace
from edge_agent.uplink.publisher import fit_coverage
from edge_agent.uplink.stamps import SequenceCounter
from tests.support.fake_recorder import make_intervals


def test_numbers_go_on_within_a_boot_and_begin_anew_after_it(tmp_path: Path) -> None:
    path = tmp_path / "run" / "link.seq"
    counter = SequenceCounter(path, "a" * 32)
    assert [counter.take() for _ in range(3)] == [1, 2, 3]
    assert SequenceCounter(path, "a" * 32).take() == 4
    assert SequenceCounter(path, "b" * 32).take() == 1
    path.write_bytes(b"torn")
    assert SequenceCounter(path, "b" * 32).take() == 1


def test_the_limiter_lets_a_burst_through_and_counts_the_rest() -> None:
    clock = FakeClock()
    limiter = RateLimiter(clock, burst=2, interval_s=10)
    assert [limiter.take() for _ in range(5)] == [0, 0, None, None, None]
    clock.advance(10)
    assert [limiter.take() for _ in range(2)] == [3, None]


def test_progress_is_told_at_a_new_percent_and_not_too_often() -> None:
    clock = FakeClock()
    pace = ProgressPace(clock)

    def due(sent_bytes: int) -> bool:
        return pace.is_due("x", Progress(sent_bytes=sent_bytes, total_bytes=1000))

    assert due(0)
    assert not due(500)
    clock.advance(3)
    assert due(500)
    clock.advance(60)
    assert not due(509)
    assert due(510)


def test_the_expected_end_comes_from_the_last_transfers() -> None:
    clock = FakeClock()
    pace = ProgressPace(clock)
    assert pace.expected_end_us(1000) is None
    end_us = clock.wall_us() + 10_000_000
    pace.is_due("x", Progress(sent_bytes=0, total_bytes=1000, expected_end_us=end_us))
    assert pace.expected_end_us(500) == clock.wall_us() + 5_000_000


@pytest.mark.parametrize("intervals", [0, 50, 2000])
def test_coverage_fits_a_message_whatever_the_ring_holds(intervals: int) -> None:
    days = tuple(DayCoverage(day=f"2026-09-{day:02d}", held_s=86_000, lost_s=400) for day in range(1, 31))
    cameras = tuple(
        CameraCoverage(camera=f"camera-{number}", size_bytes=1, days=days, last_24h=make_intervals(intervals))
        for number in range(8)
    )
    body = fit_coverage(1_790_000_000_000_000, cameras)
    assert len(body) <= MAX_MESSAGE_BYTES
    told = json.loads(body)["cameras"]
    assert len(told) == 8
    if intervals == 2000:
        assert all(camera["truncated"] for camera in told)
        newest = make_intervals(intervals)[-1].to_object()
        assert all(camera["last_24h"][-1] == newest for camera in told)


def test_alarms_are_ordered_models() -> None:
    assert Alarm(name="camera-lost", since_us=0).to_object()["since"] == "1970-01-01T00:00:00.000Z"
