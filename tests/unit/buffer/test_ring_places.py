"""A ring that is told where its unit is, and what time it is."""

import json

import pytest

from edge_agent.buffer.clip.reader import read_plan
from edge_agent.buffer.ring import Ring
from edge_agent.contract.ring_protocol import ClockOffer, PositionNotice
from edge_agent.contract.segment_format import PositionStamp
from edge_agent.errors import ContractError
from tests.support.polling import wait_until
from tests.support.rings import RingBench, clip_id, held_segments


def here(bench: RingBench, *, moving: bool = False, longitude_deg: float = 4.85) -> PositionNotice:
    stamp = PositionStamp(longitude_deg=longitude_deg, latitude_deg=45.76, accuracy_m=5, source="gnss", fix="3d")
    return PositionNotice(position=stamp, monotonic_us=bench.clock.monotonic_us(), moving=moving)


def stamps(ring: Ring) -> list[tuple[float, float | None] | None]:
    found = [segment.header.position for segment in held_segments(ring)]
    return [None if stamp is None else (stamp.longitude_deg, stamp.age_s) for stamp in found]


def drive(bench: RingBench, ring: Ring, seconds: int, *, moving: bool) -> None:
    """A second at a time, told where it is before each, and each written before the next."""
    for second in range(seconds):
        ring.place(here(bench, moving=moving, longitude_deg=4.85 + second / 1000))
        bench.play(ring, 1.0)
        wait_until(lambda: ring._intake.is_empty, what="a second's pictures taken")


def test_segments_of_a_moving_unit_are_short_and_say_where(bench: RingBench) -> None:
    bench.settings = {"segment_s": 60}
    ring = bench.open()
    bench.start(ring)
    drive(bench, ring, 35, moving=True)
    ring.end_stream("camera-lost", "the test ends it")
    bench.wait_recorded(ring)
    segments = held_segments(ring)
    lengths_s = [len(segment.samples) / 5 for segment in segments]
    places = [segment.header.position for segment in segments]
    ring.close()
    assert lengths_s == [10.0, 10.0, 10.0, 5.0]
    assert [round((place.longitude_deg - 4.85) * 1000) for place in places if place] == [0, 10, 20, 30]
    assert all(place is not None and place.age_s is not None and place.age_s <= 1.0 for place in places)


def test_a_standing_unit_keeps_long_segments(bench: RingBench) -> None:
    bench.settings = {"segment_s": 60}
    ring = bench.open()
    bench.start(ring)
    drive(bench, ring, 35, moving=False)
    ring.end_stream("camera-lost", "the test ends it")
    bench.wait_recorded(ring)
    assert len(held_segments(ring)) == 1
    ring.close()


def test_the_age_grows_while_the_link_is_dead(bench: RingBench, ring: Ring) -> None:
    ring.place(here(bench))
    bench.record(ring, 12)
    assert stamps(ring) == [(4.85, 0.0), (4.85, 4.0), (4.85, 8.0)]


def test_a_plan_says_where_each_segment_was(bench: RingBench, ring: Ring) -> None:
    bench.start(ring)
    begun_us = bench.clock.wall_us()
    drive(bench, ring, 12, moving=True)
    ring.end_stream("camera-lost", "the test ends it")
    bench.wait_recorded(ring)
    bench.ask(ring, begun_us + 1_000_000, begun_us + 11_000_000)
    plan = read_plan(bench.directory / "plans" / f"{clip_id(1)}.plan")
    (part,) = plan.parts
    assert part.position is not None
    assert part.position.longitude_deg == 4.85
    steps = {one.sequence: round((one.longitude_deg - 4.85) * 1000) for one in part.positions}
    assert steps == {1: 0, 2: 4, 3: 8}
    assert [one.at_us - begun_us for one in part.positions] == [0, 4_000_000, 8_000_000]


@pytest.mark.parametrize("years", [0, 2])
def test_satellites_date_footage_when_nobody_else_does(bench: RingBench, years: int) -> None:
    bench.probe.source = "unknown"
    ring = bench.open()
    ahead_us = years * 365 * 86_400_000_000
    offer = ClockOffer(
        boot_id=bench.boot_id,
        monotonic_us=bench.clock.monotonic_us(),
        utc_us=bench.clock.wall_us() + ahead_us,
        bound_us=1_000_000,
    )
    bench.record(ring, 2)
    ring.offer_clock(offer)
    bench.clock.advance(20)
    later = {"monotonic_us": bench.clock.monotonic_us(), "utc_us": bench.clock.wall_us() + ahead_us}
    ring.offer_clock(offer.model_copy(update=later))
    wait_until(lambda: ring.state_figures().clock.source == "gnss", what="the offer learned")
    state = ring.state_figures()
    ring.close()
    assert state.clock.utc_us == bench.clock.wall_us() + ahead_us
    assert state.oldest_us is not None
    assert state.oldest_us > offer.utc_us - 60_000_000


def test_a_place_that_no_header_can_hold_gets_no_further() -> None:
    """Half of a surrogate pair, which JSON may spell and UTF-8 has no bytes for."""
    told = json.loads(
        '{"op":"position","moving":false,"position":{"longitude_deg":1,"latitude_deg":2,"source":"\\ud800"}}'
    )
    with pytest.raises(ContractError, match="source"):
        PositionNotice.from_object(told)
