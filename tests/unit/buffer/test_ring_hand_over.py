"""Pictures that a source holds back are asked for, and none is later on the disk for it."""

from dataclasses import replace

import pytest

from edge_agent.buffer.intake import Intake, Item
from edge_agent.buffer.ring import Ring
from edge_agent.buffer.segment_scan import scan_segment
from tests.support.polling import wait_until
from tests.support.rings import RingBench, held_segments, synced


class Holding:
    """A ring, and a source that holds back all but its first picture."""

    def __init__(self, bench: RingBench) -> None:
        self.ring: Ring = bench.open(before_flush=self._hand_over)
        bench.start(self.ring)
        first, *self._held = bench.stream(0.8).units
        self.pictures = 1 + len(self._held)
        self.ring.write(first)

    def _hand_over(self) -> None:
        while self._held:
            self.ring.write(self._held.pop(0))


def test_what_is_held_back_is_written_when_the_ring_is_closed(bench: RingBench) -> None:
    holding = Holding(bench)
    holding.ring.close()
    result = scan_segment(bench.files()[1], bench.directory)
    assert result.info is not None
    assert len(result.info.samples) == holding.pictures


def test_what_is_held_back_is_written_with_what_it_belongs_to(bench: RingBench) -> None:
    holding = Holding(bench)
    written = synced(holding.ring, holding.pictures)
    wait_until(bench.while_time_passes(written), what="all of it on the disk")
    (segment,) = held_segments(holding.ring)
    assert list(segment.fragments.samples) == [holding.pictures]
    holding.ring.close()
    assert not bench.fatal


def test_what_came_since_it_was_last_asked_for_belongs_to_the_same_fragment(bench: RingBench) -> None:
    """The writer asks once a second, and again when the fragment's time is over, though pictures wait then."""
    asked: list[int] = []
    first, *held = bench.stream(0.8).units
    pictures = 1 + len(held)
    late_us = bench.clock.monotonic_us() + 1_200_000

    def hand_over() -> None:
        asked.append(len(held))
        there = len(held) if bench.clock.monotonic_us() >= late_us else 1
        for _ in range(there):
            ring.write(held.pop(0))

    ring = bench.open(before_flush=hand_over)
    bench.start(ring)
    ring.write(first)
    wait_until(lambda: asked, what="the first question", timeout_s=10)
    bench.clock.advance(1.3)
    wait_until(lambda: not held, what="the last question", timeout_s=10)
    ring.close()
    result = scan_segment(bench.files()[1], bench.directory)
    assert result.info is not None
    assert [entry.record.samples for entry in result.info.fragments] == [pictures]


def test_what_was_asked_for_is_taken_without_another_wait(bench: RingBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures wake nobody while a key frame is in hand, and these may be all that the fragment was waiting for."""
    waits_s: list[float] = []
    first, *held = bench.stream(0.8).units
    get = Intake.get

    def noted(self: Intake, timeout_s: float, *, eager: bool = True) -> Item | None:
        waits_s.append(timeout_s)
        return get(self, timeout_s, eager=eager)

    def hand_over() -> None:
        if held:
            waits_s.clear()
        while held:
            ring.write(held.pop(0))

    monkeypatch.setattr(Intake, "get", noted)
    ring = bench.open(before_flush=hand_over)
    bench.start(ring)
    ring.write(first)
    wait_until(lambda: not held and waits_s, what="the next look", timeout_s=10)
    ring.close()
    assert waits_s[0] == 0.0


def test_the_last_picture_is_as_old_as_it_is_in_hand(bench: RingBench, ring: Ring) -> None:
    bench.start(ring)
    now_us = bench.clock.monotonic_us()
    ring.write(replace(bench.stream(0.2).units[0], received_us=now_us - 400_000))
    assert ring.state_figures().last_frame_age_s == pytest.approx(0.4)
