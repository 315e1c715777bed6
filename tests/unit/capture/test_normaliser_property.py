"""Whatever comes in, the sink gets what `StreamSink` promises; `RecordingSink` checks it call by call."""

from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.capture.normaliser import Normaliser
from edge_agent.capture.packet import RawPacket
from edge_agent.errors import SourceFormatError
from tests.unit.capture.fakes import (
    DELTA,
    EXTRADATA,
    KEY,
    PPS,
    SPS_720P,
    START,
    RecordingSink,
    make_config,
    make_context,
)

STAMP = st.one_of(
    st.none(),
    st.integers(0, 400).map(lambda number: number * 3600),
    st.integers(0, 1 << 33),
    st.integers(-(1 << 40), 1 << 40),
)
PAYLOAD = st.one_of(
    st.sampled_from(
        [
            KEY,
            DELTA,
            EXTRADATA + KEY,
            EXTRADATA,
            START + SPS_720P + START + PPS + KEY,
            START + b"\x41\x1a\x02",
            START + b"\x67\x42",
            START,
            b"",
        ]
    ),
    st.binary(max_size=40),
    st.binary(max_size=20).map(lambda junk: START + junk),
)
PACKET = st.builds(
    RawPacket,
    data=PAYLOAD,
    pts=STAMP,
    dts=STAMP,
    duration=st.one_of(st.just(0), st.just(3600), st.integers(-5, 1 << 40)),
    is_key=st.booleans(),
    arrival_us=st.one_of(st.just(0), st.just(40_000), st.integers(0, 20_000_000)),
    capture_us=st.none(),
)
ATTEMPT = st.lists(PACKET, max_size=60)


@settings(max_examples=300, deadline=None)
@given(
    attempts=st.lists(ATTEMPT, min_size=1, max_size=3),
    exact=st.booleans(),
    depth=st.integers(0, 20),
    framing=st.sampled_from([b"", EXTRADATA, b"\x01\x42\xc0\x1e\xff\xe0\x00"]),
    base=st.sampled_from([Fraction(1, 90_000), Fraction(1, 1000), Fraction(1, 1_000_000), Fraction(1001, 30_000)]),
)
def test_the_sink_gets_what_it_was_promised(
    attempts: list[list[RawPacket]], exact: bool, depth: int, framing: bytes, base: Fraction
) -> None:
    sink, context = RecordingSink(), make_context()
    now_us = context.clock.monotonic_us()
    for packets in attempts:
        normaliser = Normaliser(sink, context, make_config(extradata=framing), base, reorder_depth=depth)
        for packet in packets:
            now_us += packet.arrival_us  # drawn as the time since the packet before
            packet.arrival_us = now_us
            packet.capture_us = now_us if exact else None
            try:
                normaliser.push(packet)
            except SourceFormatError:
                break
        normaliser.finish()
        sink.end_stream("camera-lost", "the attempt ended")
    assert all(unit.data for unit in sink.units)
    assert all(stream[0].is_key for stream in sink.streams if stream)


@settings(max_examples=100, deadline=None)
@given(
    gaps=st.lists(st.sampled_from([3600, 3600, 3600, 3599, 3601, 0, 1, 7200, -3600]), min_size=5, max_size=120),
    jitter=st.lists(st.integers(0, 60_000), min_size=5, max_size=120),
)
def test_no_picture_of_a_jittery_stream_is_lost(gaps: list[int], jitter: list[int]) -> None:
    sink, context = RecordingSink(), make_context()
    normaliser = Normaliser(sink, context, make_config(), Fraction(1, 90_000))
    stamp, arrival_us, written = 0, context.clock.monotonic_us(), 0
    for index, (gap, late_us) in enumerate(zip(gaps, jitter, strict=False)):
        arrival_us += 40_000
        stamp += gap
        key = index % 10 == 0
        data = (KEY if key else DELTA) + bytes([index + 1])
        normaliser.push(RawPacket(data, stamp, stamp, 3600, key, arrival_us + late_us))
        written += 1
    normaliser.finish()
    assert [unit.data[-1] for unit in sink.units] == list(range(1, written + 1))
