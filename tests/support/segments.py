"""Segments on disk for tests, as the ring writes them."""

from collections.abc import Callable
from pathlib import Path

from edge_agent.buffer.assembler import Assembler
from edge_agent.buffer.segment import SegmentInfo, UtcEstimate
from edge_agent.buffer.segment_writer import SegmentWriter
from edge_agent.contract.access_unit import GapCause
from tests.builders import CAPTURE_US, WALL_US, Stream, make_header


def utc_of(capture_us: int) -> UtcEstimate:
    """The clock of `make_header`: capture times and UTC run together, vouched for by the kernel within 5 ms."""
    return UtcEstimate(WALL_US + capture_us - CAPTURE_US, 5_000, "kernel")


def write_segments(
    root: Path,
    stream: Stream,
    *,
    first_sequence: int = 1,
    segment_s: float = 60.0,
    cause: GapCause = "start",
    file_of: Callable[[int], str] = "{:08d}.mp4".format,
) -> list[SegmentInfo]:
    """Write a stream into `root` as closed segments, each fragment synced; `file_of` names them by their sequence."""
    assembler = Assembler(segment_s)
    fragments = assembler.start_stream(stream.config, cause)
    for unit in stream.units:
        fragments += assembler.write(unit, unit.capture_us)
    fragments += assembler.end_stream()
    writers: list[SegmentWriter] = []
    for fragment in fragments:
        capture_us = fragment.units[0].capture_us
        if fragment.opening is not None:
            sequence = first_sequence + len(writers)
            header = make_header(
                fragment.opening.config,
                sequence,
                opened_cause=fragment.opening.cause,
                wall_us=utc_of(capture_us).utc_us,
                monotonic_us=capture_us,
            )
            file = file_of(sequence)
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            writers.append(SegmentWriter.create(root, file, header, fragment.opening.config))
        writers[-1].append(fragment.units, utc_of(capture_us), closed_early=fragment.closed_early)
        writers[-1].sync()
    for writer in writers:
        writer.close()
    return [writer.info() for writer in writers]


def samples_of(root: Path, info: SegmentInfo) -> list[bytes]:
    """The bytes of each sample as the tables say where they lie."""
    data = (root / info.file).read_bytes()
    sizes = iter(info.samples.sizes_bytes)
    samples = []
    for fragment in info.fragments:
        offset = fragment.payload_offset
        for _ in range(fragment.record.samples):
            size_bytes = next(sizes)
            samples.append(data[offset : offset + size_bytes])
            offset += size_bytes
    return samples
