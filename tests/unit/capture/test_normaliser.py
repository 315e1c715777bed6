from fractions import Fraction
from itertools import pairwise

import pytest

from edge_agent.capture.normaliser import Normaliser
from edge_agent.clock import FakeClock
from edge_agent.contract.access_unit import CodecConfig
from edge_agent.errors import SourceFormatError
from tests.unit.capture.fakes import (
    DELTA,
    DELTA_SLICE,
    EXTRADATA,
    KEY,
    KEY_SLICE,
    PPS,
    SPS,
    SPS_720P,
    START,
    Feeder,
    RecordingSink,
    make_config,
    make_context,
)


@pytest.fixture
def sink() -> RecordingSink:
    return RecordingSink()


def steps(sink: RecordingSink) -> list[int]:
    return [later.dts_90k - earlier.dts_90k for earlier, later in pairwise(sink.units)]


def test_a_clean_stream_passes_unchanged(sink: RecordingSink) -> None:
    feeder = Feeder(sink)
    feeder.steady(50)
    feeder.normaliser.finish()
    assert len(sink.units) == 50
    assert set(steps(sink)) == {3600}
    assert sink.causes == ["start"]
    assert sink.starts[0][0] == make_config()
    assert [unit.data for unit in sink.units[:2]] == [KEY, DELTA]


def test_media_time_is_placed_by_the_monotonic_clock(sink: RecordingSink) -> None:
    context = make_context(clock := FakeClock())
    first = Feeder(sink, context)
    first.steady(25, first=777)
    first.normaliser.finish()
    clock.advance(61.0)
    second = Feeder(sink, context)
    second.steady(25, first=123_456_789)
    second.normaliser.finish()
    gap_90k = sink.streams[1][0].dts_90k - sink.streams[0][0].dts_90k
    assert gap_90k == 61 * 90_000
    gap_us = sink.streams[1][0].capture_us - sink.streams[0][0].capture_us
    assert gap_us == 61_000_000


def test_a_source_clock_that_runs_fast_never_overlaps_the_next_stream(sink: RecordingSink) -> None:
    context = make_context(clock := FakeClock())
    first = Feeder(sink, context)
    for index in range(250):
        first.push(index * 3960, index * 3960, key=index % 25 == 0)  # ten per cent fast
    first.normaliser.finish()
    clock.advance(10.0)
    second = Feeder(sink, context)
    second.steady(25)
    second.normaliser.finish()
    end_90k = sink.streams[0][-1].dts_90k + sink.streams[0][-1].duration_90k
    assert sink.streams[1][0].dts_90k >= end_90k


def test_a_stream_begins_with_a_key_frame(sink: RecordingSink) -> None:
    feeder = Feeder(sink)
    for index in range(10):
        feeder.push(index * 3600, index * 3600)
    feeder.steady(30, first=36_000)
    feeder.normaliser.finish()
    assert len(sink.units) == 30
    assert sink.units[0].is_key


def test_without_a_key_frame_for_a_minute_it_fails_with_a_remedy(sink: RecordingSink) -> None:
    feeder = Feeder(sink)

    def play() -> None:
        for index in range(2000):
            feeder.push(index * 3600, index * 3600)

    with pytest.raises(SourceFormatError, match="key-frame interval"):
        play()
    assert sink.starts == []


def test_the_first_picture_without_stamps_is_dated_backwards(sink: RecordingSink) -> None:
    feeder = Feeder(sink)
    feeder.push(None, None, key=True)
    for index in range(1, 30):
        feeder.push(index * 3600, index * 3600)
    feeder.normaliser.finish()
    assert len(sink.units) == 30
    assert set(steps(sink)) == {3600}


def test_b_frames_as_libav_hands_them_over_from_rtsp(sink: RecordingSink) -> None:
    """Stamps as recorded: none on the first picture, decode stamps only after the reorder delay."""
    feeder = Feeder(sink, depth=2)
    stamps = [(None, None), (10_800, None), (7200, None), (3600, 3600), (21_600, 7200), (18_000, 10_800)]
    stamps += [(14_400, 14_400), (32_400, 18_000), (28_800, 21_600), (25_200, 25_200)]
    for index, (pts, dts) in enumerate(stamps):
        feeder.push(pts, dts, key=index == 0)
    feeder.normaliser.finish()
    shown = [unit.pts_90k - sink.units[0].pts_90k for unit in sink.units]
    assert shown == [0, 10_800, 7200, 3600, 21_600, 18_000, 14_400, 32_400, 28_800, 25_200]
    assert set(steps(sink)) == {3600}
    captured = [unit.capture_us for unit in sorted(sink.units, key=lambda unit: unit.pts_90k)]
    assert captured == sorted(set(captured)), "capture time rises with presentation"


@pytest.mark.parametrize("known_depth", [0, 1, 2])
def test_decode_times_are_rebuilt_from_presentation_times(sink: RecordingSink, known_depth: int) -> None:
    feeder = Feeder(sink, depth=known_depth)
    shown = [group * 3 + position for group in range(20) for position in (3, 1, 2)]
    feeder.push(0, None, key=True)
    for number in shown:
        feeder.push(number * 3600, None)
    feeder.normaliser.finish()
    assert len(sink.units) == 61
    # Once the depth is known, presentation is untouched.
    settled = sink.units[12:]
    base = settled[0].pts_90k - shown[11] * 3600
    assert [unit.pts_90k - base for unit in settled] == [number * 3600 for number in shown[11:]]


def test_missing_stamps_in_mid_stream_follow_the_picture_before(sink: RecordingSink) -> None:
    feeder = Feeder(sink)
    stamp = feeder.steady(30)
    feeder.push(None, None)
    feeder.push(None, None)
    feeder.push(stamp + 7200, stamp + 7200)
    feeder.normaliser.finish()
    assert set(steps(sink)) == {3600}


def test_a_source_without_any_stamps_is_dated_by_arrival(sink: RecordingSink) -> None:
    feeder = Feeder(sink, config=make_config(fps=50.0))  # claims 50, sends 25
    for index in range(500):
        feeder.push(None, None, key=index % 25 == 0)
    feeder.normaliser.finish()
    assert len(sink.units) == 500
    covered_s = (sink.units[-1].dts_90k - sink.units[0].dts_90k) / 90_000
    assert covered_s == pytest.approx(499 * 0.04, abs=0.5)
    assert sink.causes == ["start"]


def test_repeated_stamps_of_two_pictures_are_spread(sink: RecordingSink) -> None:
    feeder = Feeder(sink)
    for index in range(60):
        stamp = index // 2 * 7200
        feeder.push(stamp, stamp, key=index % 20 == 0)
    feeder.normaliser.finish()
    assert len(sink.units) == 60
    assert min(steps(sink)[20:]) > 1800
    assert sum(steps(sink)) == pytest.approx(59 * 3600, abs=3600)


def test_decode_stamps_above_presentation_are_not_believed(sink: RecordingSink) -> None:
    feeder = Feeder(sink)
    for index in range(50):
        feeder.push(index * 3600, index * 3600 + 1800, key=index % 25 == 0)
    feeder.normaliser.finish()
    assert [unit.pts_90k - sink.units[0].pts_90k for unit in sink.units] == [index * 3600 for index in range(50)]


@pytest.mark.parametrize("bits", [32, 33])
def test_a_wrap_goes_unnoticed(sink: RecordingSink, bits: int) -> None:
    feeder = Feeder(sink)
    first = (1 << bits) - 20 * 3600 - 17
    for index in range(60):
        stamp = (first + index * 3600) % (1 << bits)
        feeder.push(stamp, stamp, key=index % 25 == 0)
    feeder.normaliser.finish()
    assert set(steps(sink)) == {3600}
    assert sink.causes == ["start"]


def test_a_wrap_between_decode_and_presentation_stamp(sink: RecordingSink) -> None:
    feeder = Feeder(sink)
    modulus = 1 << 33
    first = modulus - 20 * 3600
    for index in range(60):
        dts = (first + index * 3600) % modulus
        feeder.push((dts + 7200) % modulus, dts, key=index % 25 == 0)
    feeder.normaliser.finish()
    assert set(steps(sink)) == {3600}
    assert {unit.pts_90k - unit.dts_90k for unit in sink.units} == {7200}
    assert sink.causes == ["start"]


@pytest.mark.parametrize("jump_90k", [-50_000_000, -900_000, -45_000, 90_000, 270_000, 50_000_000])
def test_a_jump_opens_a_stream_at_the_next_key_frame_and_loses_nothing(sink: RecordingSink, jump_90k: int) -> None:
    feeder = Feeder(sink)
    stamp = feeder.steady(60, first=100_000_000)
    for index in range(60, 110):
        feeder.push(stamp + jump_90k, stamp + jump_90k, key=index % 25 == 0)
        stamp += 3600
    feeder.normaliser.finish()
    assert len(sink.units) == 110
    assert sink.causes == ["start", "timestamp-jump"]
    assert [len(stream) for stream in sink.streams] == [75, 35]
    assert set(steps(sink)) == {3600}
    captures = [unit.capture_us for unit in sink.units]
    assert [later - earlier for earlier, later in pairwise(captures)] == [40_000] * 109


def test_a_jump_at_a_key_frame_opens_a_stream_there(sink: RecordingSink) -> None:
    feeder = Feeder(sink)
    feeder.steady(50)
    feeder.steady(50, first=5_000_000)
    feeder.normaliser.finish()
    assert sink.causes == ["start", "timestamp-jump"]
    assert [len(stream) for stream in sink.streams] == [50, 50]


def test_a_source_that_falls_behind_for_good_is_placed_anew(sink: RecordingSink) -> None:
    feeder = Feeder(sink)
    stamp = feeder.steady(100)
    feeder.arrival_us += 8_000_000  # silent for 8 s, and its clock stood still meanwhile
    feeder.steady(400, first=stamp)
    feeder.normaliser.finish()
    assert len(sink.units) == 500
    assert sink.causes == ["start", "timestamp-jump"]
    last = sink.units[-1]
    assert last.capture_us == pytest.approx(feeder.arrival_us - 40_000, abs=100_000)


def test_a_burst_after_a_stalled_network_is_no_jump(sink: RecordingSink) -> None:
    feeder = Feeder(sink)
    stamp = feeder.steady(100)
    feeder.arrival_us += 4_000_000
    for index in range(100):
        feeder.push(stamp, stamp, key=index % 25 == 0, after_us=1000)
        stamp += 3600
    feeder.steady(100, first=stamp)
    feeder.normaliser.finish()
    assert sink.causes == ["start"]
    assert set(steps(sink)) == {3600}


def test_silence_is_a_gap(sink: RecordingSink) -> None:
    feeder = Feeder(sink)
    stamp = feeder.steady(60)
    feeder.arrival_us += 5_000_000
    stamp += 5 * 90_000
    for index in range(60, 110):
        feeder.push(stamp, stamp, key=index % 25 == 0)
        stamp += 3600
    feeder.normaliser.finish()
    assert sink.causes == ["start", "camera-lost"]
    assert [cause for cause, _ in sink.ends] == ["camera-lost"]
    assert "5.0 s" in sink.ends[0][1]
    assert [len(stream) for stream in sink.streams] == [60, 35]


def test_new_parameter_sets_in_band_open_a_stream(sink: RecordingSink) -> None:
    feeder = Feeder(sink)
    stamp = feeder.steady(25)
    family = START + SPS_720P + START + PPS
    for index in range(50):
        key = index % 25 == 0
        feeder.push(stamp, stamp, key=key, data=family + KEY if key else DELTA)
        stamp += 3600
    feeder.normaliser.finish()
    assert sink.causes == ["start", "parameters-changed"]
    config = sink.starts[1][0]
    assert (config.width_px, config.height_px) == (1280, 720)
    assert config.extradata == family
    assert set(steps(sink)) == {3600}, "nothing is missing, so media time runs on"


def test_repeated_parameter_sets_change_nothing(sink: RecordingSink) -> None:
    feeder = Feeder(sink)
    for index in range(50):
        key = index % 25 == 0
        feeder.push(index * 3600, index * 3600, key=key, data=EXTRADATA + KEY if key else DELTA)
    feeder.normaliser.finish()
    assert sink.causes == ["start"]


def test_parameter_sets_come_from_the_first_key_frame_when_nothing_else_tells(sink: RecordingSink) -> None:
    feeder = Feeder(sink, config=CodecConfig("h264", b"", 0, 0, 0.0))
    feeder.push(0, 0, key=True)  # cannot be decoded: no parameter sets yet
    for index in range(1, 51):
        key = index % 25 == 0
        feeder.push(index * 3600, index * 3600, key=key, data=EXTRADATA + KEY if key else DELTA)
    feeder.normaliser.finish()
    assert len(sink.units) == 26
    config = sink.starts[0][0]
    assert (config.width_px, config.height_px, config.extradata) == (704, 576, EXTRADATA)


def test_parameter_sets_in_packets_of_their_own_join_the_picture(sink: RecordingSink) -> None:
    feeder = Feeder(sink, config=CodecConfig("h264", b"", 0, 0, 0.0))
    for index in range(30):
        if index % 10 == 0:
            feeder.push(None, None, data=START + SPS, after_us=0)
            feeder.push(None, None, data=START + PPS, after_us=0)
        feeder.push(index * 3600, index * 3600, key=index % 10 == 0)
    feeder.normaliser.finish()
    assert len(sink.units) == 30
    assert sink.units[0].data == EXTRADATA + KEY
    assert sink.causes == ["start"]


def test_slices_in_packets_of_their_own_join_into_pictures(sink: RecordingSink) -> None:
    """`first_mb_in_slice` is not 0 in the second packet of each picture, and its stamp is the same or missing."""
    feeder = Feeder(sink)
    rest = START + b"\x41\x1a\x02\x05"
    for index in range(40):
        stamp = index * 3600
        feeder.push(stamp, stamp, key=index % 10 == 0, after_us=0)
        feeder.push(None if index % 2 else stamp, None if index % 2 else stamp, data=rest)
    feeder.normaliser.finish()
    assert len(sink.units) == 40
    assert {unit.data for unit in sink.units} == {KEY + rest, DELTA + rest}
    assert set(steps(sink)) == {3600}


def test_length_prefixed_parameter_sets_make_a_new_record(sink: RecordingSink) -> None:
    def framed(*units: bytes) -> bytes:
        return b"".join(len(unit).to_bytes(4, "big") + unit for unit in units)

    def record(sps: bytes) -> bytes:
        head = bytes([1, *sps[1:4], 0xFF, 0xE1])
        return head + len(sps).to_bytes(2, "big") + sps + b"\x01" + len(PPS).to_bytes(2, "big") + PPS

    feeder = Feeder(sink, config=make_config(extradata=record(SPS)))
    for index in range(60):
        key = index % 20 == 0
        data = framed(DELTA_SLICE)
        if key:
            data = framed(SPS_720P, PPS, KEY_SLICE) if index >= 20 else framed(KEY_SLICE)
        feeder.push(index * 3600, index * 3600, key=key, data=data)
    feeder.normaliser.finish()
    assert sink.causes == ["start", "parameters-changed"]
    assert sink.starts[1][0].extradata == record(SPS_720P)
    assert sink.starts[1][0].width_px == 1280


def test_a_damaged_parameter_set_leaves_those_in_force(sink: RecordingSink) -> None:
    feeder = Feeder(sink)
    for index in range(50):
        key = index % 25 == 0
        data = (START + b"\x67\x42" + START + b"\x68" + KEY) if key and index else KEY if key else DELTA
        feeder.push(index * 3600, index * 3600, key=key, data=data)
    feeder.normaliser.finish()
    assert len(sink.units) == 50
    assert sink.causes == ["start"]


def test_torn_extradata_is_a_format_error(sink: RecordingSink) -> None:
    with pytest.raises(SourceFormatError, match="damaged"):
        Normaliser(sink, make_context(), make_config(extradata=b"\x01\x42\xc0\x1e\xff\xe1\x00"), Fraction(1, 90_000))


def test_arrival_jitter_does_not_reach_the_capture_time(sink: RecordingSink) -> None:
    feeder = Feeder(sink)
    start_us = feeder.arrival_us
    for index in range(2000):
        due_us = start_us + index * 40_000
        feeder.arrival_us = due_us + (index * 7919) % 30_000  # up to 30 ms late, pseudo-randomly
        feeder.push(index * 3600, index * 3600, key=index % 25 == 0, after_us=0)
    feeder.normaliser.finish()
    errors_us = [unit.capture_us - (start_us + index * 40_000) for index, unit in enumerate(sink.units)]
    assert min(errors_us) >= -1000
    assert max(errors_us) <= 4000


def test_packets_that_waited_in_the_demuxer_do_not_mislead_the_capture_time(sink: RecordingSink) -> None:
    feeder = Feeder(sink)
    opened_us = feeder.arrival_us
    for index in range(100):
        taken_us = opened_us - 1_000_000 + index * 40_000
        feeder.arrival_us = max(opened_us, taken_us)
        feeder.push(index * 3600, index * 3600, key=index % 25 == 0, after_us=0)
    feeder.normaliser.finish()
    assert sink.units[0].capture_us == opened_us - 1_000_000


def test_a_camera_whose_clock_drifts_is_followed(sink: RecordingSink) -> None:
    feeder = Feeder(sink)
    start_us = feeder.arrival_us
    for index in range(25 * 300):
        feeder.arrival_us = start_us + int(index * 40_000 * 1.0001)  # 100 ppm
        feeder.push(index * 3600, index * 3600, key=index % 25 == 0, after_us=0)
    feeder.normaliser.finish()
    lag_us = feeder.arrival_us - sink.units[-1].capture_us
    assert 0 <= lag_us < 5000, "by no more than the window's worth of drift"


def test_exact_capture_times_are_kept(sink: RecordingSink) -> None:
    feeder = Feeder(sink)
    for index in range(30):
        feeder.push(index * 3600, index * 3600, key=index % 25 == 0, capture_us=1_000_000 + index * 40_000)
    feeder.normaliser.finish()
    assert [unit.capture_us for unit in sink.units] == [1_000_000 + index * 40_000 for index in range(30)]


def test_other_time_bases_are_converted(sink: RecordingSink) -> None:
    feeder = Feeder(sink, time_base=Fraction(1, 1000))
    feeder.steady(50, step=40)
    feeder.normaliser.finish()
    assert set(steps(sink)) == {3600}


def test_a_queue_that_drains_brings_the_capture_time_down(sink: RecordingSink) -> None:
    """A server that hands out 3 s of its past at twice the speed: what arrives late was not taken late."""
    feeder = Feeder(sink)
    start_us = feeder.arrival_us
    for index in range(75 + 75 + 25 * 60):
        taken_us = start_us - 3_000_000 + index * 40_000
        feeder.arrival_us = max(taken_us, start_us + index * 20_000)
        feeder.push(index * 3600, index * 3600, key=index % 25 == 0, after_us=0)
    feeder.normaliser.finish()
    assert sink.causes == ["start"]
    assert sink.units[-1].capture_us == pytest.approx(feeder.arrival_us, abs=20_000)
    assert all(earlier.capture_us < later.capture_us for earlier, later in pairwise(sink.units))


def test_a_clock_of_twice_the_rate_does_not_run_away(sink: RecordingSink) -> None:
    feeder = Feeder(sink)
    for index in range(25 * 120):
        feeder.push(index * 7200, index * 7200, key=index % 25 == 0)
    feeder.normaliser.finish()
    assert len(sink.units) == 25 * 120
    assert abs(sink.units[-1].capture_us - feeder.arrival_us) < 4_000_000
    covered_s = (sink.units[-1].dts_90k - sink.units[0].dts_90k) / 90_000
    assert 115 < covered_s < 180, "240 s of stamps came in 120 s"
