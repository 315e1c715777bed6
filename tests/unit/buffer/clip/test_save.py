import hashlib
import os
from pathlib import Path

import pytest

from edge_agent.buffer.clip.plan import plan_parts
from edge_agent.buffer.clip.save import save_clip
from edge_agent.buffer.clip.store import read_plan, write_plan
from edge_agent.contract.clip import ClipPlan, Interval
from edge_agent.contract.jws import SigningKey, TrustedKeys
from edge_agent.contract.manifest import read_manifest
from edge_agent.errors import ContractError, FormatError, RingError, RingStorageError
from tests.builders import WALL_US, make_units, shifted
from tests.support.clips import CLIP_ID, REQUESTER, make_plan
from tests.support.recording import LinearUtc, record

KEY = SigningKey.generate()
TRUSTED = TrustedKeys.from_jwks(KEY.public_jwk())


def stored_clip(ring: Path, hole_s: float = 0) -> tuple[ClipPlan, Path]:
    """A durable plan over two segments, with so long a hole between them."""
    stream = make_units(3)
    later = shifted(stream, media_90k=round((3 + hole_s) * 90_000), capture_us=round((3 + hole_s) * 1e6))
    segments = [record(ring, stream, 1), record(ring, later, 2, opened_cause="camera-lost")]
    asked = Interval(start_us=WALL_US + 1_000_000, end_us=WALL_US + 5_000_000 + round(hole_s * 1e6))
    planned = plan_parts(segments, LinearUtc(), asked)
    plan = ClipPlan(
        clip_id=CLIP_ID,
        unit_id="nomad-07",
        camera="main",
        state="planned",
        asked=asked,
        delivered=planned.delivered,
        gaps=planned.gaps,
        parts=planned.parts,
        created_us=WALL_US,
        requester=REQUESTER,
        software_version="0.1.0",
    )
    return plan, write_plan(ring / "plans", plan, planned.headers)


def test_a_stored_plan_is_the_planned_one(tmp_path: Path) -> None:
    plan, plan_file = stored_clip(tmp_path, 3)
    assert read_plan(plan_file) == plan


def test_parts_and_manifest_go_into_a_folder(tmp_path: Path) -> None:
    plan, plan_file = stored_clip(tmp_path, 3)
    saved = save_clip(plan, tmp_path, plan_file, tmp_path / "a" / "out", KEY)
    assert [path.name for path in saved] == [*(part.file_name for part in plan.parts), "manifest.jws"]
    manifest = read_manifest(saved[-1].read_text(), TRUSTED)
    assert [part.sha256 for part in manifest.parts] == [
        hashlib.sha256(path.read_bytes()).hexdigest() for path in saved[:-1]
    ]
    assert sorted(path.name for path in saved[0].parent.iterdir()) == sorted(path.name for path in saved)


def test_what_is_saved_is_not_for_everybody(tmp_path: Path) -> None:
    plan, plan_file = stored_clip(tmp_path)
    for path in save_clip(plan, tmp_path, plan_file, tmp_path / "out", KEY):
        assert path.stat().st_mode & 0o007 == 0


def test_one_part_takes_the_name_it_is_given(tmp_path: Path) -> None:
    plan, plan_file = stored_clip(tmp_path)
    saved = save_clip(plan, tmp_path, plan_file, tmp_path / "street.mp4", KEY)
    assert [path.name for path in saved] == ["street.mp4", "street.manifest.jws"]
    assert saved[0].stat().st_size == plan.length_bytes


def test_several_parts_do_not_fit_one_file(tmp_path: Path) -> None:
    plan, plan_file = stored_clip(tmp_path, 3)
    with pytest.raises(RingError, match="2 parts: name a folder"):
        save_clip(plan, tmp_path, plan_file, tmp_path / "street.mp4", KEY)


@pytest.mark.parametrize("taken", ["street.mp4", "street.manifest.jws"])
def test_nothing_is_overwritten(tmp_path: Path, taken: str) -> None:
    plan, plan_file = stored_clip(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / taken).write_bytes(b"old")
    with pytest.raises(RingStorageError, match="exists already"):
        save_clip(plan, tmp_path, plan_file, tmp_path / "out" / "street.mp4", KEY)
    assert [path.name for path in (tmp_path / "out").iterdir()] == [taken]
    assert (tmp_path / "out" / taken).read_bytes() == b"old"


def test_short_footage_leaves_nothing(tmp_path: Path) -> None:
    plan, plan_file = stored_clip(tmp_path, 3)
    segment = tmp_path / plan.parts[-1].ranges[-1].file
    os.truncate(segment, segment.stat().st_size // 2)
    with pytest.raises(FormatError, match="which the plan needs"):
        save_clip(plan, tmp_path, plan_file, tmp_path / "out", KEY)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_reserved_plan_cannot_be_saved(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="reserved"):
        save_clip(make_plan(()), tmp_path, tmp_path, tmp_path / "out", KEY)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_destination_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    plan, plan_file = stored_clip(tmp_path)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(RingStorageError, match=r"cannot save to .*file"):
        save_clip(plan, tmp_path, plan_file, tmp_path / "file" / "out", KEY)
