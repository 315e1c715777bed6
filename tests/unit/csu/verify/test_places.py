"""The manifest's positions against the segment headers that lie in the clip."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from csu.verify import verify_clip
from edge_agent.contract.manifest import read_manifest
from edge_agent.contract.segment_format import PositionStamp
from edge_agent.contract.times import format_utc, parse_utc
from tests.builders import Stream, make_units
from tests.support.recording import record
from tests.support.saved_clips import UNIT_KEY, UNIT_KEYS, SavedClip, asked_s, saved_clip

HERE = PositionStamp(longitude_deg=4.85, latitude_deg=45.76, accuracy_m=6.0, source="gnss", fix="3d", age_s=0.4)
THERE = HERE.model_copy(update={"longitude_deg": 4.851, "age_s": 0.7})
LATER_HERE = HERE.model_copy(update={"age_s": 0.9})
LOST = HERE.model_copy(update={"fix": "none", "age_s": 12.0})


def make_clip(folder: Path, stamps: list[PositionStamp | None]) -> SavedClip:
    """A clip over segments of a second with these stamps; it begins inside the first one."""
    stream = make_units(float(len(stamps)))
    segments = [
        record(
            folder,
            Stream(stream.config, stream.units[25 * place : 25 * place + 25]),
            place + 1,
            opened_cause="rotation" if place else "start",
            position=stamp,
        )
        for place, stamp in enumerate(stamps)
    ]
    return saved_clip(folder, segments, asked_s(0.5, len(stamps) - 0.5), folder / "out")


def positions(clip: SavedClip) -> list[tuple[int, float, str | None]]:
    (part,) = read_manifest(clip.manifest.read_text(), UNIT_KEYS).parts
    return [(one.sequence, one.longitude_deg, one.fix) for one in part.positions]


def test_a_segment_is_listed_where_its_place_is_not_the_one_before(tmp_path: Path) -> None:
    clip = make_clip(tmp_path, [HERE, LATER_HERE, THERE, THERE, HERE, LOST, None, LOST])
    assert [(sequence, fix) for sequence, _, fix in positions(clip)] == [
        (1, "3d"),
        (3, "3d"),
        (5, "3d"),
        (6, "none"),
        (8, "none"),
    ]
    verdict = verify_clip(clip.folder, UNIT_KEYS)
    assert verdict.ok
    assert verdict.findings == ()


def test_each_is_dated_by_its_segment(tmp_path: Path) -> None:
    clip = make_clip(tmp_path, [HERE, THERE, HERE])
    (part,) = read_manifest(clip.manifest.read_text(), UNIT_KEYS).parts
    assert [one.at_us - part.positions[0].at_us for one in part.positions] == [0, 1_000_000, 2_000_000]
    assert part.interval.start_us - part.positions[0].at_us == 520_000  # the first picture at or after 0.5 s


def test_a_clip_without_any_place_lists_none(tmp_path: Path) -> None:
    clip = make_clip(tmp_path, [None, None])
    assert positions(clip) == []
    assert verify_clip(clip.folder, UNIT_KEYS).ok


def _elsewhere(part: dict[str, Any]) -> None:
    part["positions"][1]["latitude_deg"] = 48.0


def _left_out(part: dict[str, Any]) -> None:
    del part["positions"][1]


def _made_up(part: dict[str, Any]) -> None:
    part["positions"].append(part["positions"][-1] | {"sequence": 99})


def _twice(part: dict[str, Any]) -> None:
    part["positions"].append(part["positions"][-1])


def _at_another_time(part: dict[str, Any]) -> None:
    part["positions"][1]["at"] = "2026-09-21T20:00:00.000Z"


def _better_fix(part: dict[str, Any]) -> None:
    part["positions"][2]["fix"] = "3d"


def _other_beginning(part: dict[str, Any]) -> None:
    part["position"]["longitude_deg"] = 5.0


@pytest.mark.parametrize(
    "lie", [_elsewhere, _left_out, _made_up, _twice, _at_another_time, _better_fix, _other_beginning]
)
def test_a_manifest_whose_positions_disagree_fails(tmp_path: Path, lie: Callable[[dict[str, Any]], None]) -> None:
    clip = make_clip(tmp_path, [HERE, THERE, LOST])
    document = read_manifest(clip.manifest.read_text(), UNIT_KEYS).to_object()
    lie(document["parts"][0])
    clip.manifest.write_text(UNIT_KEY.sign("manifest", document))
    verdict = verify_clip(clip.folder, UNIT_KEYS)
    assert not verdict.ok
    assert all("header of segment" in finding.place for finding in verdict.findings)


@pytest.mark.parametrize("shift_us", [3_600_000_000, 3_000, -3_000])
def test_positions_of_another_time_than_the_pictures_fail(tmp_path: Path, shift_us: int) -> None:
    clip = make_clip(tmp_path, [HERE, THERE])
    document = read_manifest(clip.manifest.read_text(), UNIT_KEYS).to_object()
    for one in document["parts"][0]["positions"]:
        one["at"] = format_utc(parse_utc(one["at"]) + shift_us)
    clip.manifest.write_text(UNIT_KEY.sign("manifest", document))
    verdict = verify_clip(clip.folder, UNIT_KEYS)
    assert not verdict.ok
    assert [finding.place for finding in verdict.findings] == ["part 1, positions"]


@pytest.mark.parametrize("b_frames", [0, 2])
@pytest.mark.parametrize("late_us", [900_000, -900_000])
@pytest.mark.parametrize("from_s", [0.5, 1.5, 2.5])
def test_pictures_that_come_in_bursts_are_no_fault(
    tmp_path: Path, from_s: float, late_us: int, b_frames: int
) -> None:
    """From the second on, fragments reached the unit later, or sooner, than their media times say."""
    stream = make_units(4.0, gop=50, b_frames=b_frames)
    late = [replace(unit, capture_us=unit.capture_us + late_us) for unit in stream.units[25:]]
    units = (*stream.units[:25], *late)
    segments = [
        record(
            tmp_path,
            Stream(stream.config, units[50 * place : 50 * place + 50]),
            place + 1,
            opened_cause="rotation" if place else "start",
            position=(HERE, THERE)[place],
        )
        for place in range(2)
    ]
    clip = saved_clip(tmp_path, segments, asked_s(from_s, 4.5), tmp_path / "out")
    (part,) = read_manifest(clip.manifest.read_text(), UNIT_KEYS).parts
    assert part.positions
    assert verify_clip(clip.folder, UNIT_KEYS).ok


def test_a_manifest_of_a_unit_that_did_not_list_positions_still_passes(tmp_path: Path) -> None:
    clip = make_clip(tmp_path, [HERE, THERE])
    document = read_manifest(clip.manifest.read_text(), UNIT_KEYS).to_object()
    del document["parts"][0]["positions"]
    clip.manifest.write_text(UNIT_KEY.sign("manifest", document))
    assert verify_clip(clip.folder, UNIT_KEYS).ok
