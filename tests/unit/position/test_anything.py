"""Whatever a receiver says, in whatever order: what is told follows the contract, and nothing breaks."""

import json
from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.clock import FakeClock
from edge_agent.contract.messages import Position
from edge_agent.contract.ring_protocol import ClockOffer, PositionNotice
from edge_agent.errors import ReportError
from edge_agent.position.locator import Locator
from edge_agent.position.reports import read_report
from edge_agent.position.telling import alarms_of, notice_of, offer_of, position_body
from edge_agent.settings import PositionSettings
from tests.unit.position.reports import LYON, NOON_US, line

NUMBERS = st.sampled_from([0, 1, -1, 1e-9, 179.9999, 90, -90, 4.8, 45.7, 5_000, 1e6, 1e9]) | st.floats(-1e3, 1e3)
TIMES = st.sampled_from(
    [
        "2026-11-02T12:00:00Z",
        "2026-11-02T12:00:01Z",
        "2007-03-19T12:00:00Z",
        "2046-06-18T00:00:00Z",
        "9999-12-31T23:59:59Z",
        "0001-01-01T00:00:00Z",
        "2026-11-02T11:59:00.5Z",
    ]
)
FIXES = st.builds(
    line,
    mode=st.integers(0, 3),
    time=st.none() | TIMES,
    ept=st.none() | NUMBERS,
    lon=st.none() | NUMBERS,
    lat=st.none() | NUMBERS,
    altHAE=st.none() | NUMBERS,
    speed=st.none() | NUMBERS,
    eph=st.none() | NUMBERS,
    status=st.none() | st.integers(0, 9),
)
OFFSETS = st.builds(
    line,
    cls=st.sampled_from(["TOFF", "PPS"]),
    real_sec=st.integers(0, 10**11),
    real_nsec=st.integers(0, 999_999_999),
    clock_sec=st.integers(1_789_999_990, 1_790_000_100),
    clock_nsec=st.integers(0, 999_999_999),
)
OTHERS = st.sampled_from(
    [line(cls="SKY", nSat=3, uSat=9), line(cls="GST", lat=0, lon=1e8), line(cls="DEVICES", devices=[]), b"nan\n"]
)


@settings(deadline=None)
@given(st.lists(st.tuples(FIXES | OFFSETS | OTHERS, st.floats(0, 400)), max_size=30))
def test_what_is_told_follows_the_contract(said: list[tuple[bytes, float]]) -> None:
    clock = FakeClock()
    locator = Locator(PositionSettings(gpsd="127.0.0.1"), None, "a" * 32, clock)
    for text, pause_s in said:
        clock.advance(pause_s)
        with suppress(ReportError):
            locator.on_report(read_report(text), clock.monotonic_us())
        sight = locator.sight()
        body = position_body(sight, "bench", clock)
        assert Position.from_json(json.dumps(body.to_object(), allow_nan=False)).properties.fix == sight.fix
        notice = notice_of(sight)
        assert PositionNotice.from_object(notice.to_object()) == notice
        assert notice.monotonic_us is None or notice.monotonic_us <= clock.monotonic_us()
        alarms_of(locator)
        reading = locator.gnss_reading()
        offer = None if reading is None else offer_of(reading, "a" * 32)
        assert offer is None or ClockOffer.from_object(offer.to_object()).bound_us < 60_000_000


@settings(deadline=None)
@given(st.lists(st.tuples(TIMES, st.floats(0, 5)), min_size=9, max_size=40))
def test_a_time_is_offered_only_when_it_went_on_with_ours(said: list[tuple[str, float]]) -> None:
    clock = FakeClock()
    locator = Locator(PositionSettings(gpsd="127.0.0.1"), None, "a" * 32, clock)
    for time, pause_s in said:
        clock.advance(pause_s)
        locator.on_report(read_report(line(mode=3, time=time, lon=LYON[0], lat=LYON[1])), clock.monotonic_us())
        assert locator.gnss_reading() is None, "no eight of these follow one another as seconds do"


def test_seconds_that_follow_one_another_are_offered() -> None:
    clock = FakeClock()
    locator = Locator(PositionSettings(gpsd="127.0.0.1"), None, "a" * 32, clock)
    for second in range(10):
        clock.advance(1)
        text = line(mode=3, time=f"2026-11-02T12:00:{second:02d}Z", lon=LYON[0], lat=LYON[1])
        locator.on_report(read_report(text), clock.monotonic_us())
    reading = locator.gnss_reading()
    assert reading is not None
    offer = offer_of(reading, "a" * 32)
    assert offer is not None
    assert abs(offer.utc_us - NOON_US - 9_000_000) <= offer.bound_us
