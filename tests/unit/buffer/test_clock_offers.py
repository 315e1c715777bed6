"""GNSS time that is offered: confirmed, weighed against the machine's clock, and not let destroy footage."""

from dataclasses import dataclass, field

import pytest

from edge_agent.buffer.clock_model import Anchor, ClockModel
from edge_agent.buffer.clock_offers import JUMP_CONFIRM_S, ClockOffers
from edge_agent.buffer.clock_trust import may_destroy
from edge_agent.buffer.sampler import Sampler
from edge_agent.buffer.segment import UtcEstimate
from edge_agent.clock import FakeClock
from edge_agent.contract.ring_protocol import ClockOffer
from edge_agent.contract.segment_format import ClockSource
from edge_agent.errors import RingRequestError
from tests.support.rings import BOOT_IDS, FakeProbe

BOOT = BOOT_IDS[0]
YEAR_S = 365 * 86_400.0
DAY_S = 86_400.0


@dataclass
class Bench:
    """A ring's clock: the machine's, GNSS that is off by `error_s`, and what was learned."""

    clock: FakeClock = field(default_factory=FakeClock)
    error_s: float = 0.0
    bound_us: int = 1_000_000
    anchors: list[Anchor] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.probe = FakeProbe(self.clock, "unknown")
        self.offers = ClockOffers(BOOT, self.clock)
        self.sampler = Sampler(self.probe, BOOT)
        self.gnss_ahead_us = self.clock.wall_us() - self.clock.monotonic_us()

    def sample(self) -> None:
        self._learn(self.sampler.sample(self.anchors, self._predict))

    def offer(self) -> Anchor | None:
        utc_us = self.clock.monotonic_us() + self.gnss_ahead_us + round(self.error_s * 1e6)
        self.offers.put(
            ClockOffer(boot_id=BOOT, monotonic_us=self.clock.monotonic_us(), utc_us=utc_us, bound_us=self.bound_us)
        )
        offered = self.offers.take()
        anchor = None if offered is None else self.sampler.consider(offered, self.anchors, self._predict)
        self._learn(anchor)
        return anchor

    def offer_for(self, seconds: float, every_s: float = 30.0) -> int:
        """Offers for so long; the number of anchors that came of them."""
        found = 0
        for _ in range(round(seconds / every_s)):
            self.clock.advance(every_s)
            self.sample()
            found += self.offer() is not None
        return found

    def now(self) -> UtcEstimate:
        return self._predict(self.clock.monotonic_us())

    def error_of_now_s(self) -> float:
        return abs(self.now().utc_us - self.clock.monotonic_us() - self.gnss_ahead_us) / 1e6

    def _predict(self, monotonic_us: int) -> UtcEstimate:
        return ClockModel((), {BOOT: self.anchors}).to_utc(BOOT, monotonic_us)

    def _learn(self, anchor: Anchor | None) -> None:
        if anchor is not None:
            self.anchors.append(anchor)


@pytest.fixture
def bench() -> Bench:
    made = Bench()
    made.sample()
    return made


def test_one_offer_alone_is_not_believed(bench: Bench) -> None:
    assert bench.offer() is None
    bench.clock.advance(11)
    assert bench.offer() is not None
    assert bench.now().source == "gnss"


def test_a_wrong_wall_clock_is_set_right_by_satellites(bench: Bench) -> None:
    """A board without a clock boots in the past, and nobody but GNSS tells it better."""
    bench.clock.step_wall(-3 * YEAR_S)
    bench.sample()
    assert bench.offer_for(60) == 1
    assert (bench.now().source, bench.error_of_now_s()) == ("gnss", 0.0)
    assert bench.now().bound_us is not None


def test_offers_that_say_nothing_new_make_no_anchors(bench: Bench) -> None:
    assert bench.offer_for(1800) <= 4


@pytest.mark.parametrize("source", ["chrony", "kernel"])
@pytest.mark.parametrize("error_s", [-19.6 * YEAR_S, 19.6 * YEAR_S / 2, 60.0, -3.0])
def test_what_contradicts_a_vouched_clock_is_refused_whatever_its_bound(
    bench: Bench, source: ClockSource, error_s: float
) -> None:
    bench.probe.source, bench.probe.bound_us = source, 900_000
    bench.sample()
    bench.error_s, bench.bound_us = error_s, 1
    if abs(error_s) < YEAR_S or error_s > 0:
        assert bench.offer_for(3600) == 0
    assert (bench.now().source, bench.error_of_now_s()) == (source, 0.0)


def test_what_was_forged_before_chrony_answered_gives_way_to_it(bench: Bench) -> None:
    bench.error_s = 8 * YEAR_S
    bench.offer_for(60)
    assert bench.error_of_now_s() > YEAR_S
    bench.probe.source = "chrony"
    bench.clock.advance(30)
    bench.sample()
    assert (bench.now().source, bench.error_of_now_s()) == ("chrony", 0.0)


@pytest.mark.parametrize("source", ["chrony", "kernel"])
@pytest.mark.parametrize("bound_us", [1_000, 51_000, 1_000_000])
def test_whoever_vouches_for_the_machine_outranks_satellites_whatever_the_bounds(
    bench: Bench, source: ClockSource, bound_us: int
) -> None:
    """A pulse that was forged is a twentieth of a second wide; a time server over a mobile network says a tenth."""
    bench.error_s, bench.bound_us = 8 * YEAR_S, bound_us
    bench.offer_for(60)
    bench.probe.source, bench.probe.bound_us = source, 150_000
    bench.clock.advance(30)
    bench.sample()
    assert (bench.now().source, bench.error_of_now_s()) == (source, 0.0)


@pytest.mark.parametrize("source", ["chrony", "kernel"])
@pytest.mark.parametrize("bound_us", [1_000, 51_000])
def test_what_was_vouched_for_is_dated_anew_by_no_satellites(
    bench: Bench, source: ClockSource, bound_us: int
) -> None:
    """The network is gone since, and with it whoever vouched; a forged pulse claims to know better."""
    bench.probe.source, bench.probe.bound_us = source, 150_000
    for _ in range(5):
        bench.sample()
        bench.clock.advance(700)
    vouched_us, recorded_us = bench.now().utc_us, bench.clock.monotonic_us()
    bench.probe.source, bench.probe.bound_us = "unknown", None
    bench.error_s, bench.bound_us = 8 * YEAR_S, bound_us
    bench.offer_for(3 * JUMP_CONFIRM_S)
    assert ClockModel((), {BOOT: bench.anchors}).to_utc(BOOT, recorded_us).utc_us == vouched_us
    assert bench.now().source == source


def test_satellites_draw_a_vouched_clock_no_further_than_it_can_have_drifted(bench: Bench) -> None:
    bench.probe.source, bench.probe.bound_us = "chrony", 20_000
    bench.sample()
    bench.probe.source, bench.probe.bound_us = "unknown", None
    bench.bound_us = 50_000
    bench.clock.advance(8 * 3600)  # drift explains 1.44 s, the steepest slope of a clock that is turned 28.8 s
    bench.error_s = 20.0
    assert bench.offer_for(3 * JUMP_CONFIRM_S) == 0
    bench.error_s = 1.3
    assert bench.offer_for(3 * JUMP_CONFIRM_S) > 0
    assert bench.error_of_now_s() == pytest.approx(1.3)


def test_a_jump_against_earlier_offers_has_to_hold_for_long(bench: Bench) -> None:
    bench.offer_for(120)
    bench.error_s = 5.0
    assert bench.offer_for(JUMP_CONFIRM_S - 30) == 0
    bench.error_s = 0.0
    bench.offer_for(JUMP_CONFIRM_S + 60)
    assert bench.error_of_now_s() < 0.1


def test_a_recorder_that_starts_again_trusts_no_jump_sooner(bench: Bench) -> None:
    """Else a spoofer had to pass by for ten seconds just then, and the whole boot's footage changed its date."""
    bench.offer_for(120)
    bench.offers = ClockOffers(BOOT, bench.clock, bench.anchors)
    bench.sampler = Sampler(bench.probe, BOOT)
    bench.error_s = 8 * YEAR_S
    assert bench.offer_for(JUMP_CONFIRM_S - 30) == 0
    bench.error_s = 0.0
    bench.offer_for(60)
    assert bench.error_of_now_s() < 0.1


def test_a_chrony_that_went_away_is_followed_when_its_bound_has_grown(bench: Bench) -> None:
    bench.probe.source = "chrony"
    bench.sample()
    bench.probe.source = "unknown"
    bench.offer_for(3600)
    assert bench.now().source == "chrony", "its drifted word is still better than a second"
    bench.clock.advance(DAY_S)
    bench.offer_for(60)
    assert bench.now().source == "gnss"


@pytest.mark.parametrize(
    ("boot_id", "age_us"), [("c" * 32, 0), (BOOT, 61_000_000), (BOOT, -2_000_000)], ids=["boot", "old", "future"]
)
def test_offers_that_are_not_of_now_are_refused(bench: Bench, boot_id: str, age_us: int) -> None:
    bench.clock.advance(120)
    with pytest.raises(RingRequestError):
        bench.offers.put(
            ClockOffer(
                boot_id=boot_id,
                monotonic_us=bench.clock.monotonic_us() - age_us,
                utc_us=bench.clock.wall_us(),
                bound_us=1,
            )
        )


def test_satellites_alone_destroy_no_footage_before_they_have_said_so_for_a_day(bench: Bench) -> None:
    bench.error_s = 2 * YEAR_S
    bench.offer_for(60)
    assert bench.now().source == "gnss"
    assert not may_destroy(bench.now(), bench.anchors, bench.clock)
    bench.clock.advance(DAY_S)
    assert may_destroy(bench.now(), bench.anchors, bench.clock)


@pytest.mark.parametrize(("source", "may"), [("unknown", False), ("kernel", True), ("chrony", True), ("gnss", True)])
def test_who_is_believed_about_age_when_the_wall_clock_agrees(bench: Bench, source: ClockSource, may: bool) -> None:
    now = UtcEstimate(bench.clock.wall_us(), 1, source)
    assert may_destroy(now, bench.anchors, bench.clock) is may
