"""Fragments and segments begin and end where they should."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import pytest

from edge_agent.buffer.assembler import Assembler, ClosedFragment
from edge_agent.contract.access_unit import AccessUnit
from edge_agent.errors import RingError
from tests.builders import Stream, make_units

_FRAME_US = 40_000


def _feed(assembler: Assembler, units: Iterable[AccessUnit]) -> Iterator[ClosedFragment]:
    """Units arrive when they were captured; polled between any two."""
    for unit in units:
        yield from assembler.write(unit, unit.capture_us)
        yield from assembler.poll(unit.capture_us + _FRAME_US // 2)


def _assemble(stream: Stream, segment_s: float = 60.0) -> list[ClosedFragment]:
    assembler = Assembler(segment_s)
    closed = assembler.start_stream(stream.config, "start")
    closed += _feed(assembler, stream.units)
    return closed + assembler.end_stream()


def _segment_seconds(fragments: list[ClosedFragment]) -> list[float]:
    """Media length of each segment."""
    lengths_90k: list[int] = []
    for fragment in fragments:
        if fragment.opening is not None:
            lengths_90k.append(0)
        lengths_90k[-1] += sum(unit.duration_90k for unit in fragment.units)
    return [length_90k / 90_000 for length_90k in lengths_90k]


def _drive(stream: Stream, *, from_s: float = 0.0, to_s: float = 1e9) -> list[float]:
    """Lengths of the segments of a unit that moves meanwhile."""
    begun_us = stream.units[0].capture_us
    now_us = begun_us
    assembler = Assembler(60, lambda: from_s <= (now_us - begun_us) / 1e6 < to_s)
    closed = assembler.start_stream(stream.config, "start")
    for unit in stream.units:
        now_us = unit.capture_us
        closed += assembler.write(unit, now_us)
    return _segment_seconds(closed + assembler.end_stream())


def test_while_the_unit_moves_segments_are_ten_seconds_long() -> None:
    assert _drive(make_units(45, gop=25)) == [10.0, 10.0, 10.0, 10.0, 5.0]
    assert _drive(make_units(22, gop=50)) == [10.0, 10.0, 2.0]
    assert _drive(make_units(30, gop=75)) == [9.0, 9.0, 9.0, 3.0]


def test_a_unit_that_begins_to_move_and_stops_is_cut_in_between() -> None:
    assert _drive(make_units(130, gop=25), from_s=24.5, to_s=36) == [25.0, 10.0, 60.0, 35.0]


def test_only_key_frames_are_cut_at_because_a_unit_moves() -> None:
    assert _drive(make_units(45, gop=375)) == [15.0, 15.0, 15.0]


def test_a_fragment_closes_at_each_key_frame() -> None:
    fragments = _assemble(make_units(3, gop=20))
    keys = [fragment.units[0].is_key for fragment in fragments]
    assert all(keys)
    assert [len(fragment.units) for fragment in fragments] == [20, 20, 20, 15]


def test_a_fragment_closes_after_a_second_of_media() -> None:
    fragments = _assemble(make_units(4, gop=50))
    assert [len(fragment.units) for fragment in fragments] == [25, 25, 25, 25]
    assert [fragment.units[0].is_key for fragment in fragments] == [True, False, True, False]


def test_units_are_handed_on_unchanged_and_in_order() -> None:
    stream = make_units(5, gop=30, b_frames=2)
    fragments = _assemble(stream)
    assert [unit for fragment in fragments for unit in fragment.units] == list(stream.units)


def test_a_stalled_camera_is_flushed_within_a_second_and_a_quarter_of_its_first_unit() -> None:
    stream = make_units(0.4)
    assembler = Assembler(60)
    assembler.start_stream(stream.config, "start")
    assert list(_feed(assembler, stream.units)) == []
    start_us = stream.units[0].capture_us
    assert assembler.poll(start_us + 1_249_999) == []
    (fragment,) = assembler.poll(start_us + 1_250_000)
    assert fragment.units == stream.units
    assert fragment.closed_early
    assert assembler.poll(start_us + 9_000_000) == []


def test_that_time_counts_from_when_the_first_unit_was_received() -> None:
    stream = make_units(0.4)
    assembler = Assembler(60)
    assembler.start_stream(stream.config, "start")
    assembler.write(replace(stream.units[0], received_us=7_000_000), 7_400_000)
    assembler.write(replace(stream.units[1], received_us=7_040_000), 7_400_000)
    assert assembler.flush_at_us == 8_250_000
    assert len(assembler.poll(8_250_000)) == 1
    assembler.write(replace(stream.units[2], received_us=9_000_000), 8_900_000)
    assert assembler.flush_at_us == 10_150_000


def test_the_time_of_the_next_flush_is_told() -> None:
    stream = make_units(0.4)
    assembler = Assembler(60)
    assembler.start_stream(stream.config, "start")
    before = assembler.flush_at_us
    assembler.write(stream.units[0], 5)
    assert (before, assembler.flush_at_us) == (None, 1_250_005)


def test_pictures_that_waited_together_are_written_together() -> None:
    stream = make_units(0.4)
    assembler = Assembler(60)
    assembler.start_stream(stream.config, "start")
    assembler.write(stream.units[0], 0)
    assert all(assembler.write(unit, 1_250_000) == [] for unit in stream.units[1:])
    (fragment,) = assembler.poll(1_250_000)
    assert fragment.units == stream.units


def test_a_duration_lasts_to_the_next_unit_when_that_is_known() -> None:
    stream = make_units(2)
    late = replace(stream.units[30], dts_90k=stream.units[30].dts_90k + 1_000)
    units = (*stream.units[:30], late, *stream.units[31:])
    written = [unit for fragment in _assemble(Stream(stream.config, units)) for unit in fragment.units]
    durations = [unit.duration_90k for unit in written]
    assert durations[29:31] == [4_600, 2_600]
    assert durations[-1] == 3_600


def test_a_duration_across_fragments_lasts_to_the_next_fragment() -> None:
    stream = make_units(2)
    late = [replace(unit, dts_90k=unit.dts_90k + 500, pts_90k=unit.pts_90k + 500) for unit in stream.units[25:]]
    first, _ = _assemble(Stream(stream.config, (*stream.units[:25], *late)))
    assert first.units[-1].duration_90k == 4_100


@pytest.mark.parametrize("gop", [10, 25, 40, 75])
def test_segments_end_at_key_frames_within_their_length(gop: int) -> None:
    fragments = _assemble(make_units(40, gop=gop), segment_s=10)
    lengths = _segment_seconds(fragments)
    assert max(lengths) <= 10
    assert min(lengths[:-1]) > 10 - 2 * gop / 25
    openings = [fragment for fragment in fragments if fragment.opening is not None]
    assert all(fragment.units[0].is_key for fragment in openings)
    causes = [fragment.opening.cause for fragment in openings if fragment.opening]
    assert causes == ["start", *["rotation"] * (len(lengths) - 1)]


def test_a_segment_fills_its_length_exactly() -> None:
    assert _segment_seconds(_assemble(make_units(25, gop=25), segment_s=10)) == [10, 10, 5]


def test_a_group_longer_than_a_segment_is_cut_in_its_midst() -> None:
    fragments = _assemble(make_units(30, gop=300), segment_s=5)
    assert max(_segment_seconds(fragments)) <= 5
    assert not all(fragment.units[0].is_key for fragment in fragments if fragment.opening)


def test_a_long_stall_does_not_shorten_the_segments_after_it() -> None:
    stream = make_units(30)
    gap_90k = 600 * 90_000
    moved = [replace(u, dts_90k=u.dts_90k + gap_90k, pts_90k=u.pts_90k + gap_90k) for u in stream.units[250:]]
    lengths = _segment_seconds(_assemble(Stream(stream.config, (*stream.units[:250], *moved)), segment_s=10))
    assert len(lengths) == 3


def test_a_new_stream_opens_a_segment_with_its_cause() -> None:
    first, second = make_units(1.2), make_units(1, codec="hevc")
    assembler = Assembler(60)
    closed = assembler.start_stream(first.config, "boot")
    closed += _feed(assembler, first.units)
    closed += assembler.start_stream(second.config, "parameters-changed")
    closed += _feed(assembler, second.units)
    closed += assembler.end_stream()
    openings = [fragment.opening for fragment in closed]
    assert [opening and (opening.config, opening.cause) for opening in openings] == [
        (first.config, "boot"),
        None,
        (second.config, "parameters-changed"),
    ]
    assert [fragment.closed_early for fragment in closed] == [False, True, False]


def test_a_cut_lets_the_very_next_unit_open_a_segment() -> None:
    stream = make_units(1)
    assembler = Assembler(60)
    assembler.start_stream(stream.config, "start")
    assert list(_feed(assembler, stream.units[:7])) == []
    (before,) = assembler.cut("rotation")
    assert before.units == stream.units[:7]
    list(_feed(assembler, stream.units[7:]))
    (after,) = assembler.end_stream()
    assert after.units == stream.units[7:]
    assert after.opening is not None


def test_a_stream_without_units_leaves_nothing() -> None:
    stream = make_units(1)
    assembler = Assembler(60)
    assert assembler.start_stream(stream.config, "start") == []
    assert assembler.end_stream() == []


def test_a_flood_of_units_is_bounded() -> None:
    stream = make_units(1)
    flood = [
        replace(stream.units[1], dts_90k=stream.units[0].dts_90k + index, pts_90k=stream.units[0].pts_90k + index)
        for index in range(10_000)
    ]
    assembler = Assembler(60)
    assembler.start_stream(stream.config, "start")
    closed = [fragment for unit in flood for fragment in assembler.write(unit, 0)]
    assert [len(fragment.units) for fragment in closed] == [4_096, 4_096]


def test_a_unit_outside_of_a_stream_is_refused() -> None:
    stream = make_units(1)
    assembler = Assembler(60)
    with pytest.raises(RingError, match="start_stream"):
        assembler.write(stream.units[0], 0)
