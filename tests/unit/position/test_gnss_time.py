"""UTC by satellites: its bound holds, and what was held up is not believed."""

import random

import pytest

from edge_agent.clock import FakeClock
from edge_agent.clock_source import ClockReading
from edge_agent.contract.segment_format import ClockSource
from edge_agent.position.clock_checks import DISPUTED_AFTER_S, Dispute, vouched_by_gnss
from edge_agent.position.gnss_time import GnssReading, GnssTime
from edge_agent.position.reports import TimeOffset, Tpv
from tests.unit.position.reports import NOON_US, SECOND_US, tpv

BEGUN_US = 60_000_000
AHEAD_US = NOON_US - BEGUN_US
"""UTC minus the monotonic clock."""


class Receiver:
    """Tells a second's time some time after it."""

    def __init__(self, seed: int = 1, *, is_same_machine: bool = True) -> None:
        self.time = GnssTime(is_same_machine=is_same_machine)
        self.now_us = BEGUN_US
        self.dice = random.Random(seed)

    def report(self, second: int, latency_s: float) -> None:
        self.now_us = max(self.now_us, BEGUN_US + round((second + latency_s) * SECOND_US))
        self.time.take_fix(tpv(second), self.now_us)

    def offset(self, second: int, latency_s: float, *, is_pulse: bool, wall_ahead_us: int = AHEAD_US) -> None:
        """`latency_s` is from the second to the time stamp; the report of it comes 0.3 s later."""
        stamped_us = BEGUN_US + round((second + latency_s) * SECOND_US)
        self.now_us = stamped_us + 300_000
        report = TimeOffset(is_pulse, NOON_US + second * SECOND_US, stamped_us + wall_ahead_us)
        self.time.take_offset(report, self.now_us, self.now_us + wall_ahead_us)

    def error_us(self) -> int:
        """Of the reading; it has to be there."""
        reading = self.time.reading(self.now_us)
        assert reading is not None
        return reading.utc_at(self.now_us) - self.now_us - AHEAD_US


@pytest.mark.parametrize("seed", range(20))
def test_the_true_time_lies_within_the_bound(seed: int) -> None:
    receiver = Receiver(seed)
    base_s = receiver.dice.uniform(0.0, 1.5)
    for second in range(20):
        receiver.report(second, base_s + receiver.dice.uniform(0, 0.3))
    reading = receiver.time.reading(receiver.now_us)
    assert reading is not None
    assert abs(receiver.error_us()) <= reading.bound_us <= 1_010_000


def test_a_few_reports_are_not_enough() -> None:
    receiver = Receiver()
    for second in range(7):
        receiver.report(second, 0.2)
        assert receiver.time.reading(receiver.now_us) is None
    receiver.report(7, 0.2)
    assert receiver.time.reading(receiver.now_us) is not None
    assert receiver.time.reading(receiver.now_us + 6 * SECOND_US) is None


def test_what_was_held_up_and_comes_in_a_burst_is_not_believed() -> None:
    receiver = Receiver()
    receiver.now_us = BEGUN_US + 60 * SECOND_US
    for second in range(20):
        receiver.report(second, 0.2)
    assert receiver.time.reading(receiver.now_us) is None


def test_after_a_standstill_the_time_is_never_wrong() -> None:
    receiver = Receiver()
    for second in range(10):
        receiver.report(second, 0.2)
    receiver.now_us = BEGUN_US + 40 * SECOND_US
    for second in range(10, 60):
        receiver.report(second, 0.2)
        reading = receiver.time.reading(receiver.now_us)
        assert reading is None or abs(receiver.error_us()) <= reading.bound_us


def test_a_roll_over_in_between_leaves_no_estimate() -> None:
    receiver = Receiver()
    for second in range(10):
        receiver.report(second, 0.2)
    receiver.now_us += SECOND_US
    receiver.time.take_fix(tpv(10 - 1024 * 7 * 86_400), receiver.now_us)
    assert receiver.time.reading(receiver.now_us) is None


@pytest.mark.parametrize("report", [Tpv(1, time_us=NOON_US), Tpv(3), tpv(0, is_simulated=True)])
def test_without_a_fix_there_is_no_time(report: Tpv) -> None:
    receiver = Receiver()
    for _ in range(20):
        receiver.now_us += SECOND_US
        receiver.time.take_fix(report, receiver.now_us)
    assert receiver.time.reading(receiver.now_us) is None


def test_message_beginnings_bound_it_better_and_pulses_best() -> None:
    receiver = Receiver()
    bounds_us: list[int] = []
    for kinds in ((), ("message",), ("message", "pulse")):
        for second in range(len(bounds_us) * 10, len(bounds_us) * 10 + 10):
            if "pulse" in kinds:
                receiver.offset(second, 0.001, is_pulse=True)
            if "message" in kinds:
                receiver.offset(second, 0.2, is_pulse=False)
            receiver.report(second, 0.6)
        reading = receiver.time.reading(receiver.now_us)
        assert reading is not None
        assert abs(receiver.error_us()) <= reading.bound_us
        bounds_us.append(reading.bound_us)
    assert bounds_us[0] > 900_000 > bounds_us[1] > 400_000 > bounds_us[2]
    assert bounds_us[2] < 60_000


def test_a_pulse_that_got_the_wrong_second_is_left_out() -> None:
    receiver = Receiver()
    for second in range(10):
        receiver.offset(second - 3, 0.001, is_pulse=True, wall_ahead_us=AHEAD_US)
        receiver.report(second, 0.2)
    reading = receiver.time.reading(receiver.now_us)
    assert reading is not None
    assert abs(receiver.error_us()) <= reading.bound_us


def test_offsets_of_another_machine_mean_nothing_here() -> None:
    receiver = Receiver(is_same_machine=False)
    for second in range(10):
        receiver.offset(second, 0.2, is_pulse=False)
    assert receiver.time.reading(receiver.now_us) is None


def reading_of(clock: FakeClock, source: ClockSource, bound_us: int | None = None) -> ClockReading:
    return ClockReading(clock.monotonic_us(), clock.wall_us(), source, bound_us)


def gnss_of(clock: FakeClock, ahead_s: float) -> GnssReading:
    return GnssReading(clock.monotonic_us(), clock.wall_us() + round(ahead_s * 1e6), 500_000)


@pytest.mark.parametrize(
    ("ahead_s", "source", "bound_us"),
    [(0.3, "gnss", 800_000), (-0.5, "gnss", 1_000_000), (0.6, "unknown", None), (-1e8, "unknown", None)],
)
def test_satellites_vouch_for_a_clock_that_they_agree_with(ahead_s: float, source: str, bound_us: int | None) -> None:
    clock = FakeClock()
    vouched = vouched_by_gnss(reading_of(clock, "unknown"), gnss_of(clock, ahead_s))
    assert (vouched.source, vouched.bound_us) == (source, bound_us)


def test_who_vouches_already_is_not_asked_twice() -> None:
    clock = FakeClock()
    reading = reading_of(clock, "kernel", 900_000)
    assert vouched_by_gnss(reading, gnss_of(clock, 0.0)) == reading
    assert vouched_by_gnss(reading_of(clock, "unknown"), None).source == "unknown"


def test_a_dispute_is_told_when_it_lasts_and_when_it_is_over() -> None:
    clock = FakeClock()
    dispute = Dispute(clock)
    assert dispute.look(reading_of(clock, "chrony", 1_000), gnss_of(clock, 0.4)) == 0.0
    assert dispute.look(reading_of(clock, "chrony", 1_000), gnss_of(clock, 8.0)) is None
    clock.advance(DISPUTED_AFTER_S)
    assert dispute.look(reading_of(clock, "chrony", 1_000), gnss_of(clock, 8.0)) == 8.0
    assert dispute.look(reading_of(clock, "unknown"), gnss_of(clock, 8.0)) is None
    assert dispute.look(reading_of(clock, "chrony", 1_000), None) is None
    assert dispute.look(reading_of(clock, "chrony", 1_000), gnss_of(clock, 0.0)) == 0.0
