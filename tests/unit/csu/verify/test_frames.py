"""Pictures that the camera or its network damaged, as they come out of the decoder."""

from collections.abc import Callable
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


def damaged_clip(
    folder: Path, b_frames: int, places: set[int], damage: Callable[[AccessUnit], AccessUnit] = cut
) -> SavedClip:
    whole = make_units(4, b_frames=b_frames, width=640, height=480)
    units = tuple(damage(unit) if place in places else unit for place, unit in enumerate(whole.units))
    return saved_clip(folder, [record(folder, Stream(whole.config, units))], asked_s(-1, 10), folder / "out")


@pytest.mark.parametrize("b_frames", [0, 2])
def test_each_picture_that_arrived_damaged_is_counted(tmp_path: Path, b_frames: int) -> None:
    clip = damaged_clip(tmp_path, b_frames, {10, 40, 41, 90})
    verdict = verify_clip(clip.folder, UNIT_KEYS)
    assert verdict.ok, verdict.findings
    told = [finding.message for finding in verdict.findings if finding.severity == "warning"]
    assert told == ["4 of 100 reached the unit damaged"]


def truncated(unit: AccessUnit) -> AccessUnit:
    return replace(unit, data=_resized(unit.data[: len(unit.data) // 2]))


def renamed(unit: AccessUnit) -> AccessUnit:
    """The first byte of the last NAL unit, which says what it is, was changed on the way."""
    place = _last_nal(unit.data) + 4
    return replace(unit, data=unit.data[:place] + bytes([unit.data[place] ^ 0x1F]) + unit.data[place + 1 :])


def _last_nal(data: bytes) -> int:
    place = 0
    while (following := place + 4 + int.from_bytes(data[place : place + 4])) < len(data):
        place = following
    return place


def _resized(data: bytes) -> bytes:
    """Length-prefixed NAL units whose last one ends where the data does."""
    place = _last_nal(data)
    return data[:place] + (len(data) - place - 4).to_bytes(4) + data[place + 4 :]


@pytest.mark.parametrize("b_frames", [0, 2])
@pytest.mark.parametrize("damage", [cut, truncated, renamed])
@pytest.mark.parametrize("places", [{10}, {40, 41}, {99}, {26, 60, 88}])
def test_a_picture_that_does_not_decode_fails_no_clip(
    tmp_path: Path, b_frames: int, damage: Callable[[AccessUnit], AccessUnit], places: set[int]
) -> None:
    clip = damaged_clip(tmp_path, b_frames, places, damage)
    verdict = verify_clip(clip.folder, UNIT_KEYS)
    assert verdict.ok, verdict.findings
    assert any("reached the unit damaged" in finding.message for finding in verdict.findings)


@pytest.mark.parametrize("damage", [renamed])
def test_a_part_most_of_which_does_not_decode_fails(
    tmp_path: Path, damage: Callable[[AccessUnit], AccessUnit]
) -> None:
    clip = damaged_clip(tmp_path, 0, {place for place in range(100) if place % 4}, damage)
    verdict = verify_clip(clip.folder, UNIT_KEYS)
    assert not verdict.ok
    assert "came out of the decoder, 100 are listed" in str(verdict.reason)


@pytest.mark.parametrize("b_frames", [0, 2])
def test_progress_is_told_for_each_picture(tmp_path: Path, b_frames: int) -> None:
    clip = damaged_clip(tmp_path, b_frames, set())
    told: list[None] = []
    frames = decode_frames(clip.parts[0], lambda: told.append(None))
    assert (frames.count, frames.corrupt, len(told)) == (100, 0, 100)
