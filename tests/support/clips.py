"""Plans and parts made by hand, for tests of what reads them."""

from pathlib import Path

from edge_agent.buffer.clip.store import write_plan
from edge_agent.contract.clip import (
    ByteRange,
    ClipPlan,
    ClockStatement,
    Interval,
    Part,
    Requester,
)
from edge_agent.contract.fragment_digests import FragmentDigests

CLIP_ID = "0197a1b2-0000-7000-8000-000000000001"
START_US = 1_790_000_000_000_000
REQUESTER = Requester(operator="a. moreau", role="investigator", reference="PV 2026/118", purpose="requisition")


def make_part(
    header: bytes,
    pieces: list[tuple[str, int, int]],
    index: int = 1,
    clock: ClockStatement | None = None,
    header_offset: int = 0,
) -> Part:
    """A part of header bytes and `(file, offset, length)` ranges."""
    ranges = tuple(
        ByteRange(sequence=number, file=file, offset=offset, length_bytes=length)
        for number, (file, offset, length) in enumerate(pieces)
    )
    return Part(
        index=index,
        file_name=f"nomad-07_main_part{index}.mp4",
        interval=Interval(start_us=START_US, end_us=START_US + 1_000_000),
        duration_90k=90_000,
        preroll_90k=0,
        samples=25,
        length_bytes=len(header) + sum(piece.length_bytes for piece in ranges),
        header_offset=header_offset,
        header_bytes=len(header),
        ranges=ranges,
        deployment_id="bench",
        codec="h264",
        width_px=1280,
        height_px=720,
        frame_rate_fps=25.0,
        boot_id="a" * 32,
        run_id="b" * 32,
        clock=clock or ClockStatement(source="chrony", bound_us=4_000),
        fragments=FragmentDigests.of_rows([(1, 1, 8, 9, b"\xcc" * 32)]),
    )


def make_plan(parts: tuple[Part, ...], clip_id: str = CLIP_ID) -> ClipPlan:
    """A plan of such parts; reserved when there are none."""
    interval = Interval(start_us=START_US, end_us=START_US + 1_000_000)
    return ClipPlan(
        clip_id=clip_id,
        unit_id="nomad-07",
        camera="main",
        state="planned" if parts else "reserved",
        asked=interval,
        delivered=interval if parts else None,
        parts=parts,
        created_us=START_US,
        requester=REQUESTER,
        software_version="0.1.0",
    )


def write_ring_part(directory: Path, header: bytes, files: list[bytes]) -> tuple[Path, Path, Part]:
    """A ring with these files, wholly part of a clip, and its durable plan: ring, plan file, part."""
    ring = directory / "ring"
    (ring / "segments").mkdir(parents=True)
    names = [f"segments/{number}.mp4" for number in range(len(files))]
    for name, content in zip(names, files, strict=True):
        (ring / name).write_bytes(content)
    part = make_part(header, [(name, 0, len(content)) for name, content in zip(names, files, strict=True)])
    plan_file = write_plan(ring / "plans", make_plan((part,)), [header])
    return ring, plan_file, part
