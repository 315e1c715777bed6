"""Sound clips of cameras that deliver unevenly, or reorder: none may fail; one that lies of its length does."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from csu.verify import verify_clip
from edge_agent.contract.manifest import read_manifest
from edge_agent.contract.segment_format import PositionStamp
from edge_agent.contract.times import format_utc, parse_utc
from tests.builders import Stream
from tests.support.numbered import numbered_units
from tests.support.recording import record
from tests.support.saved_clips import UNIT_KEY, UNIT_KEYS, SavedClip, asked_s, saved_clip

HERE = PositionStamp(longitude_deg=4.85, latitude_deg=45.76, accuracy_m=6.0, source="gnss", fix="3d", age_s=0.4)
LATE_US = 3_000_000
DRAIN = 0.3
"""By so much of what has passed is a queue that drains taken off at most (edge_agent/capture/arrival.py)."""


def drained(stream: Stream) -> Stream:
    """The first pictures came 3 s late, the following ones ever less."""
    first_90k = stream.units[0].pts_90k
    late_us = [max(0, LATE_US - round((unit.pts_90k - first_90k) * DRAIN * 100 / 9)) for unit in stream.units]
    units = zip(stream.units, late_us, strict=True)
    return Stream(stream.config, tuple(replace(unit, capture_us=unit.capture_us + us) for unit, us in units))


def recorded(folder: Path, stream: Stream, units_a_segment: int, longest_90k: int = 90_000) -> list[SavedClip]:
    """Clips of six seconds, and of one, begun in each half second."""
    starts = range(0, len(stream.units), units_a_segment)
    segments = [
        record(
            folder,
            Stream(stream.config, stream.units[start : start + units_a_segment]),
            number,
            opened_cause="rotation" if start else "start",
            position=HERE.model_copy(update={"longitude_deg": 4.8 + number / 1000}),
            longest_90k=longest_90k,
        )
        for number, start in enumerate(starts, start=1)
    ]
    return [
        saved_clip(
            folder, segments, asked_s(3.0 + half / 2, 3.0 + half / 2 + length_s), folder / f"{half}-{length_s}"
        )
        for half in range(6)
        for length_s in (1, 6)
    ]


@pytest.mark.parametrize("codec", ["h264", "hevc"])
@pytest.mark.parametrize("b_frames", [0, 3])
def test_a_queue_that_drains_is_no_fault(tmp_path: Path, codec: Literal["h264", "hevc"], b_frames: int) -> None:
    """Pictures of five seconds were delivered within three and a half."""
    stream = drained(numbered_units(12.0, codec=codec, b_frames=b_frames))
    for clip in recorded(tmp_path, stream, units_a_segment=50):
        assert verify_clip(clip.folder, UNIT_KEYS).findings == ()


@pytest.mark.parametrize("codec", ["h264", "hevc"])
@pytest.mark.parametrize("longest_90k", [3_600, 7_200, 10_800, 18_000, 90_000])
def test_pictures_that_lead_the_entry_point_may_lie_in_the_next_fragment(
    tmp_path: Path, codec: Literal["h264", "hevc"], longest_90k: int
) -> None:
    """A camera that stalls right behind a key frame has its fragment closed there."""
    stream = numbered_units(10.0, codec=codec, b_frames=3, options="open-gop=1")
    for clip in recorded(tmp_path, stream, 50, longest_90k):
        assert verify_clip(clip.folder, UNIT_KEYS).findings == ()


@pytest.mark.parametrize("shift_us", [-3_600_000_000, -20_000, -12_000, 12_000, 20_000, 3_600_000_000])
def test_an_interval_of_another_length_than_the_pictures_fails(tmp_path: Path, shift_us: int) -> None:
    clip = recorded(tmp_path, drained(numbered_units(12.0)), units_a_segment=50)[1]
    document = read_manifest(clip.manifest.read_text(), UNIT_KEYS).to_object()
    for interval in (document["parts"][0]["interval"], document["delivered"]):
        interval["end_us"] = format_utc(parse_utc(interval["end_us"]) + shift_us)
    clip.manifest.write_text(UNIT_KEY.sign("manifest", document))
    assert not verify_clip(clip.folder, UNIT_KEYS).ok
