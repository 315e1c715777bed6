"""What a new segment says of the unit's place."""

import pytest

from edge_agent.buffer.whereabouts import Whereabouts
from edge_agent.clock import FakeClock
from edge_agent.contract.ring_protocol import PositionNotice
from edge_agent.contract.segment_format import PositionStamp
from edge_agent.errors import RingRequestError

START = PositionStamp(longitude_deg=4.8, latitude_deg=45.7, source="gnss", fix="none")
SECOND_US = 1_000_000


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def whereabouts(clock: FakeClock) -> Whereabouts:
    return Whereabouts(START, clock)


def gnss(longitude_deg: float, at_us: int | None, *, moving: bool = False) -> PositionNotice:
    stamp = PositionStamp(longitude_deg=longitude_deg, latitude_deg=45.0, source="gnss", fix="3d")
    return PositionNotice(position=stamp, monotonic_us=at_us, moving=moving)


def longitude_at(whereabouts: Whereabouts, monotonic_us: int) -> float:
    stamp = whereabouts.stamp_at(monotonic_us)
    assert stamp is not None
    return stamp.longitude_deg


def test_until_the_link_speaks_the_last_known_place_counts(whereabouts: Whereabouts, clock: FakeClock) -> None:
    assert whereabouts.stamp_at(clock.monotonic_us()) == START
    assert not whereabouts.is_moving()
    assert Whereabouts(None, clock).stamp_at(clock.monotonic_us()) is None


def test_the_age_is_the_time_from_the_fix_to_the_picture(whereabouts: Whereabouts, clock: FakeClock) -> None:
    now_us = clock.monotonic_us()
    whereabouts.take(gnss(4.9, now_us))
    stamp = whereabouts.stamp_at(now_us + 90 * SECOND_US)
    assert stamp is not None
    assert (stamp.age_s, stamp.fix) == (90.0, "3d")


def test_a_picture_gets_the_place_of_its_own_time(whereabouts: Whereabouts, clock: FakeClock) -> None:
    """The disk was slow: pictures are written when the unit is elsewhere already."""
    begun_us = clock.monotonic_us()
    for step in range(1, 6):
        clock.advance(1)
        whereabouts.take(gnss(4.0 + step / 100, clock.monotonic_us()))
    assert longitude_at(whereabouts, begun_us + 3_400_000) == 4.03
    assert longitude_at(whereabouts, begun_us + 99 * SECOND_US) == 4.05
    assert longitude_at(whereabouts, begun_us + 200_000) == 4.01, "the first fix is a moment younger than the picture"
    assert longitude_at(whereabouts, begun_us - 5 * SECOND_US) == 4.8, "nothing was heard yet when it was taken"


def test_a_place_without_a_fix_of_this_boot_has_no_age(whereabouts: Whereabouts, clock: FakeClock) -> None:
    whereabouts.take(gnss(4.9, None))
    stamp = whereabouts.stamp_at(clock.monotonic_us() + SECOND_US)
    assert stamp is not None
    assert stamp.age_s is None


def test_a_link_that_does_not_know_leaves_what_was_known(whereabouts: Whereabouts, clock: FakeClock) -> None:
    whereabouts.take(PositionNotice(position=None, moving=False))
    assert whereabouts.stamp_at(clock.monotonic_us()) == START


def test_the_same_fix_again_replaces_what_was_said_of_it(whereabouts: Whereabouts, clock: FakeClock) -> None:
    now_us = clock.monotonic_us()
    whereabouts.take(gnss(4.9, now_us, moving=True))
    assert whereabouts.is_moving()
    whereabouts.take(gnss(4.91, now_us))
    assert not whereabouts.is_moving()
    assert longitude_at(whereabouts, now_us) == 4.91


def test_a_link_that_fell_silent_is_not_believed_to_move_for_ever(whereabouts: Whereabouts, clock: FakeClock) -> None:
    whereabouts.take(gnss(4.9, clock.monotonic_us(), moving=True))
    clock.advance(29)
    assert whereabouts.is_moving()
    clock.advance(2)
    assert not whereabouts.is_moving()


def test_a_fix_of_the_future_is_refused(whereabouts: Whereabouts, clock: FakeClock) -> None:
    with pytest.raises(RingRequestError, match="ahead"):
        whereabouts.take(gnss(4.9, clock.monotonic_us() + 3 * SECOND_US))
    assert whereabouts.stamp_at(clock.monotonic_us() + 10 * SECOND_US) == START
