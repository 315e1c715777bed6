"""Readings of the clock become anchors only when they tell something."""

from edge_agent.buffer.clock_model import Anchor, ClockModel
from edge_agent.buffer.sampler import Sampler
from edge_agent.clock import FakeClock
from tests.support.rings import BOOT_IDS, FakeProbe

BOOT = BOOT_IDS[0]


class Samples:
    """A sampler and the anchors that it gave."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.probe = FakeProbe(self.clock)
        self.sampler = Sampler(self.probe, BOOT)
        self.anchors: list[Anchor] = []

    def take(self, after_s: float = 30.0) -> Anchor | None:
        self.clock.advance(after_s)
        model = ClockModel((), {BOOT: self.anchors})
        anchor = self.sampler.sample(self.anchors, lambda instant_us: model.to_utc(BOOT, instant_us))
        if anchor is not None:
            self.anchors.append(anchor)
        return anchor


def test_the_first_reading_is_an_anchor_and_the_same_again_is_not() -> None:
    samples = Samples()
    assert samples.take() is not None
    assert [samples.take() for _ in range(19)] == [None] * 19


def test_ten_minutes_later_it_is_one_again() -> None:
    samples = Samples()
    samples.take()
    assert samples.take(600) is not None


def test_a_step_is_an_anchor_when_it_is_more_than_the_bound() -> None:
    samples = Samples()
    samples.take()
    samples.clock.step_wall(0.0015)
    assert samples.take() is None
    samples.clock.step_wall(0.1)
    assert samples.take() is not None


def test_becoming_known_is_an_anchor_and_becoming_unknown_is_not() -> None:
    samples = Samples()
    samples.probe.source = "unknown"
    assert samples.take() is not None
    samples.probe.source = "kernel"
    assert samples.take() is not None
    samples.probe.source = "unknown"
    samples.clock.step_wall(100)
    assert samples.take() is None


def test_a_much_better_bound_is_an_anchor() -> None:
    samples = Samples()
    samples.probe.bound_us = 100_000
    samples.take()
    samples.probe.bound_us = 60_000
    assert samples.take() is None
    samples.probe.bound_us = 1_000
    assert samples.take() is not None


def test_an_unknown_clock_that_is_set_by_hand_is_an_anchor() -> None:
    samples = Samples()
    samples.probe.source = "unknown"
    samples.take()
    assert samples.take() is None
    samples.clock.step_wall(1_000_000)
    assert samples.take() is not None
