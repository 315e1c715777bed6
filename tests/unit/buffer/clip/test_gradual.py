"""Clips of streams that refresh the picture gradually show exact pictures, and nothing else."""

from dataclasses import replace
from pathlib import Path

import pytest

from csu.verify import verify_clip
from csu.verify.tables import read_tables
from edge_agent.buffer.clip.plan import plan_parts
from edge_agent.buffer.segment_blob import decode_contents, encode_contents
from edge_agent.buffer.segment_scan import scan_segment
from edge_agent.contract.boxes import find
from tests.builders import RUN_ID, Stream
from tests.support.frames import recorded_frames, shown_frames
from tests.support.gradual import captured, gradual_units
from tests.support.recording import LinearUtc, record, rotated
from tests.support.saved_clips import UNIT_KEYS, SavedClip, asked_s, saved_clip


def exact_pictures(clip: SavedClip, stream: Stream, from_s: float, to_s: float) -> list[int]:
    """Numbers of the pictures shown, each of which is the recorded one."""
    asked = asked_s(from_s, to_s)
    hashes = recorded_frames(stream)
    times = {LinearUtc().to_utc("", unit.capture_us).utc_us: unit.pts_90k for unit in stream.units}
    inside = [times[utc_us] for utc_us in sorted(times) if asked.start_us <= utc_us < asked.end_us]
    number_of = {pts: number for number, pts in enumerate(sorted(hashes))}
    shown = [frame for path in clip.parts for frame in shown_frames(path)]
    first = inside[len(inside) - len(shown)]
    assert [(pts + first, digest) for pts, digest in shown] == [(pts, hashes[pts]) for pts in inside if pts >= first]
    return [number_of[first + pts] for pts, _ in shown]


@pytest.mark.parametrize("b_frames", [0, 3])
@pytest.mark.parametrize("from_s", [0, 0.4, 1.0, 2.52, 5.0])
def test_every_picture_is_the_recorded_one(tmp_path: Path, b_frames: int, from_s: float) -> None:
    stream = gradual_units(8, b_frames=b_frames)
    clip = saved_clip(tmp_path, rotated(tmp_path, stream, 50), asked_s(from_s, 7), tmp_path / "out")
    assert exact_pictures(clip, stream, from_s, 7) == list(range(round(from_s * 25), 175))
    assert verify_clip(clip.folder, UNIT_KEYS).findings == ()


def test_only_the_entry_point_is_listed_for_seeking(tmp_path: Path) -> None:
    stream = gradual_units(6)
    clip = saved_clip(tmp_path, [record(tmp_path, stream)], asked_s(3, 5), tmp_path / "out")
    data = clip.parts[0].read_bytes()
    moov = find(data, (b"moov",))
    assert read_tables(data[moov.offset : moov.end]).keys == {0}


def test_the_index_and_a_scan_tell_the_same(tmp_path: Path) -> None:
    info = record(tmp_path, gradual_units(3))
    assert [entry.record.keys_back for entry in info.fragments][:4] == [0, 1, 2, 2]
    assert scan_segment(tmp_path / info.file, tmp_path).info == info
    blob = encode_contents(info.fragments, info.samples)
    assert decode_contents(blob, info.sequence, RUN_ID) == (info.fragments, info.samples)


def test_a_stream_that_was_joined_late_is_shown_from_its_first_exact_picture(tmp_path: Path) -> None:
    whole = gradual_units(6)
    second_key = [index for index, unit in enumerate(whole.units) if unit.is_key][1]
    joined = captured(Stream(whole.config, whole.units[second_key:]))
    info = record(tmp_path, joined, opened_cause="camera-lost")
    clip = saved_clip(tmp_path, [info], asked_s(0, 5), tmp_path / "out")
    keys = [index for index, unit in enumerate(joined.units) if unit.is_key]
    assert exact_pictures(clip, Stream(whole.config, whole.units), 0, 5) == list(range(second_key + keys[2], 125))
    assert verify_clip(clip.folder, UNIT_KEYS).findings == ()
    long_before = asked_s(-5, 5)
    assert [gap.cause for gap in plan_parts([info], LinearUtc(), long_before).gaps] == ["camera-lost"]


def test_groups_that_were_left_out_end_a_part(tmp_path: Path) -> None:
    stream = gradual_units(8)
    keys = [index for index, unit in enumerate(stream.units) if unit.is_key]
    holed = Stream(stream.config, (*stream.units[: keys[8]], *stream.units[keys[10] :]))
    first, second = rotated(tmp_path, holed, keys[8])[:2]
    clip = saved_clip(tmp_path, [first, second], asked_s(0, 8), tmp_path / "out")
    assert len(clip.parts) == 2
    hashes = recorded_frames(stream)
    start = stream.units[keys[12]].pts_90k
    assert [(pts + start, digest) for pts, digest in shown_frames(clip.parts[1])] == [
        (pts, hashes[pts]) for pts in sorted(hashes) if start <= pts <= second.samples.pts_90k[-1]
    ]
    assert verify_clip(clip.folder, UNIT_KEYS).findings == ()


def test_exact_keys_need_nothing_before(tmp_path: Path) -> None:
    stream = gradual_units(4)
    exact = Stream(stream.config, tuple(replace(unit, keys_back=0) for unit in stream.units))
    key = [unit for unit in exact.units if unit.is_key][5]
    from_s = (key.capture_us - exact.units[0].capture_us) / 1e6
    (part,) = plan_parts([record(tmp_path, exact)], LinearUtc(), asked_s(from_s, 4)).parts
    assert part.preroll_90k == 0
