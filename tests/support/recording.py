"""Segments as a recorder writes them, from the streams of `tests.builders`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_agent.buffer.segment import SegmentInfo, UtcEstimate
from edge_agent.buffer.segment_writer import SegmentWriter
from edge_agent.contract.access_unit import TIMESCALE_HZ, AccessUnit, GapCause
from edge_agent.contract.segment_format import ClockSource, PositionStamp
from tests.builders import CAPTURE_US, RUN_ID, WALL_US, Stream, make_header


@dataclass(frozen=True)
class LinearUtc:
    """A wall clock that has run straight since boot."""

    offset_us: int = WALL_US - CAPTURE_US
    bound_us: int | None = 5_000
    source: ClockSource = "chrony"

    def to_utc(self, boot_id: str, monotonic_us: int) -> UtcEstimate:
        return UtcEstimate(monotonic_us + self.offset_us, self.bound_us, self.source)

    def to_monotonic(self, boot_id: str, utc_us: int) -> int:
        return utc_us - self.offset_us


def fragments_of(units: Sequence[AccessUnit], longest_90k: int = TIMESCALE_HZ) -> Iterator[list[AccessUnit]]:
    """Groups that end before a key frame or after a second."""
    group: list[AccessUnit] = []
    for unit in units:
        if group and (unit.is_key or unit.dts_90k - group[0].dts_90k >= longest_90k):
            yield group
            group = []
        group.append(unit)
    yield group


def record(
    root: Path,
    stream: Stream,
    sequence: int = 1,
    *,
    run_id: str = RUN_ID,
    deployment_id: str = "bench",
    opened_cause: GapCause = "start",
    longest_90k: int = TIMESCALE_HZ,
    closed: bool = True,
    utc: LinearUtc | None = None,
    position: PositionStamp | None = None,
) -> SegmentInfo:
    """Write one segment and return what the ring knows of it; an open one when `closed` is false.

    `utc` is the wall clock as it was believed when the segment was written.
    """
    (root / "segments").mkdir(exist_ok=True)
    header = make_header(
        stream.config,
        sequence,
        run_id=run_id,
        deployment_id=deployment_id,
        opened_cause=opened_cause,
        monotonic_us=stream.units[0].capture_us,
    ).model_copy(update={"position": position})
    writer = SegmentWriter.create(root, f"segments/{sequence:010d}.mp4", header, stream.config)
    believed = utc or LinearUtc()
    for group in fragments_of(stream.units, longest_90k):
        writer.append(group, believed.to_utc(header.boot_id, group[0].capture_us))
    writer.sync()
    if closed:
        writer.close()
    info = writer.info()
    writer.abandon()
    return info


def rotated(root: Path, stream: Stream, units_a_segment: int, first_sequence: int = 1) -> list[SegmentInfo]:
    """Write a stream into segments of so many units, one after another."""
    pieces = [
        Stream(stream.config, stream.units[start : start + units_a_segment])
        for start in range(0, len(stream.units), units_a_segment)
    ]
    return [
        record(root, piece, first_sequence + index, opened_cause="rotation" if index else "start")
        for index, piece in enumerate(pieces)
    ]
