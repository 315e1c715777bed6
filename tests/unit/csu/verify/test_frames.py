"""Pictures that the camera or its network damaged, as they come out of the decoder."""

from dataclasses import replace
from pathlib import Path

import pytest

from csu.verify import verify_clip
from csu.verify.frames import decode_frames
from edge_agent.contract.access_unit import AccessUnit
from tests.builders import Stream, make_units
from tests.support.recording import record
from tests.support.saved_clips import UNIT_KEYS, SavedClip, asked_s, saved_clip


def cut(unit: AccessUnit) -> AccessUnit:
    """The second half did not arrive."""
    half = len(unit.data) // 2
    return replace(unit, data=unit.data[:half] + bytes(len(unit.data) - half))


def damaged_clip(folder: Path, b_frames: int, places: set[int]) -> SavedClip:
    whole = make_units(4, b_frames=b_frames, width=640, height=480)
    units = tuple(cut(unit) if place in places else unit for place, unit in enumerate(whole.units))
    return saved_clip(folder, [record(folder, Stream(whole.config, units))], asked_s(-1, 10), folder / "out")


@pytest.mark.parametrize("b_frames", [0, 2])
def test_each_picture_that_arrived_damaged_is_counted(tmp_path: Path, b_frames: int) -> None:
    clip = damaged_clip(tmp_path, b_frames, {10, 40, 41, 90})
    verdict = verify_clip(clip.folder, UNIT_KEYS)
    assert verdict.ok, verdict.findings
    told = [finding.message for finding in verdict.findings if finding.severity == "warning"]
    assert told == ["4 of 100 reached the unit damaged"]


@pytest.mark.parametrize("b_frames", [0, 2])
def test_progress_is_told_for_each_picture(tmp_path: Path, b_frames: int) -> None:
    clip = damaged_clip(tmp_path, b_frames, set())
    told: list[None] = []
    frames = decode_frames(clip.parts[0], lambda: told.append(None))
    assert (frames.count, frames.corrupt, len(told)) == (100, 0, 100)
