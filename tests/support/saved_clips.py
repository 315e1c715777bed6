"""Clips as they arrive at the centre: recorded, planned, saved and signed."""

from dataclasses import dataclass
from pathlib import Path

from edge_agent.buffer.clip.plan import plan_parts
from edge_agent.buffer.clip.save import save_clip
from edge_agent.buffer.clip.store import write_plan
from edge_agent.buffer.segment import SegmentInfo
from edge_agent.contract.clip import ClipPlan, Interval
from edge_agent.contract.jws import SigningKey, TrustedKeys
from tests.builders import WALL_US
from tests.support.clips import CLIP_ID, REQUESTER
from tests.support.recording import LinearUtc

UNIT_KEY = SigningKey.generate()
UNIT_KEYS = TrustedKeys.from_jwks(UNIT_KEY.public_jwk())


@dataclass(frozen=True)
class SavedClip:
    """A plan and the files that were saved of it."""

    plan: ClipPlan
    folder: Path
    parts: tuple[Path, ...]
    manifest: Path


def asked_s(from_s: float, to_s: float) -> Interval:
    """Seconds since the first picture of a stream of `tests.builders`."""
    return Interval(start_us=WALL_US + round(from_s * 1e6), end_us=WALL_US + round(to_s * 1e6))


def planned_clip(ring: Path, segments: list[SegmentInfo], asked: Interval) -> tuple[ClipPlan, Path]:
    """A durable plan and its file."""
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


def saved_clip(ring: Path, segments: list[SegmentInfo], asked: Interval, destination: Path) -> SavedClip:
    """The clip's files, signed by `UNIT_KEY`."""
    plan, plan_file = planned_clip(ring, segments, asked)
    *parts, manifest = save_clip(plan, ring, plan_file, destination, UNIT_KEY)
    return SavedClip(plan, manifest.parent, tuple(parts), manifest)
