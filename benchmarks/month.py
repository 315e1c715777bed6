"""A ring of thirty days: an index of every minute, made through the index's own API, and the last hour's footage.

The last hour is sixty segments of their own. All older segments are names of one and the same file, so that the ring
is whole for whoever looks, and takes 2 GB instead of 1.3 TB.
"""

import itertools
import os
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import av

from benchmarks.footage import BITRATE_BPS, FPS, HEIGHT_PX, MINUTE_S, WIDTH_PX, minute_of_footage
from benchmarks.unit import CAMERA, UNIT_ID, Unit, write_unit
from benchmarks.workspace import Workspace
from edge_agent.buffer.clock_model import Anchor
from edge_agent.buffer.fragment_table import FragmentEntry, FragmentTable
from edge_agent.buffer.index import Index
from edge_agent.buffer.layout import INDEX_FILE, PLANS_FOLDER, segment_file
from edge_agent.buffer.segment import SampleTable, SegmentInfo, UtcEstimate
from edge_agent.buffer.segment_writer import SegmentWriter
from edge_agent.clock import SystemClock
from edge_agent.contract.access_unit import TIMESCALE_HZ, AccessUnit, CodecConfig
from edge_agent.contract.segment_format import SegmentHeader

MONTH_DAYS = 30
QUICK_DAYS = 2
MINUTES_A_DAY = 24 * 60
HOUR_MINUTES = 60

_BOOT_ID = "b0" * 16
_RUN_ID = "c1" * 16
_BOUND_US = 4_000
_MINUTE_US = MINUTE_S * 1_000_000
_MINUTE_90K = MINUTE_S * TIMESCALE_HZ
_FIRST_90K = 10 * TIMESCALE_HZ
_FIRST_US = 60_000_000
_ANCHOR_EVERY = 10
_BATCH = 500


@dataclass(frozen=True, slots=True)
class Month:
    """A unit whose ring is full.

    Attributes:
        unit: settings and data directory.
        end_us: UTC at which the synthetic footage ends.
        segments: in the index.
        hour: files of the last hour, in order.
    """

    unit: Unit
    end_us: int
    segments: int
    hour: tuple[Path, ...]


def build_month(workspace: Workspace, directory: Path) -> Month:
    """Make a full ring; its camera plays the encoded minute, over and over."""
    days = QUICK_DAYS if workspace.quick else MONTH_DAYS
    return build_ring(workspace, directory, days * MINUTES_A_DAY)


def build_ring(workspace: Workspace, directory: Path, minutes: int) -> Month:
    """As `build_month`, for so many minutes; a recorder on it plays the encoded minute, over and over."""
    minute = minute_of_footage(workspace)
    unit = write_unit(directory, f"file:{minute}", {"bitrate_kbps": BITRATE_BPS // 1000})
    _make_folders(unit.ring, minutes)
    start_us = SystemClock().wall_us() // 1000 * 1000 - (minutes + 1) * _MINUTE_US
    config, units = read_units(minute)
    hour = range(max(minutes - HOUR_MINUTES, 0) + 1, minutes + 1)
    infos = [_record(unit.ring, config, units, number, start_us) for number in hour]
    older = _link_older(unit.ring, infos[0], start_us)
    index = Index(unit.ring / INDEX_FILE)
    for batch in _batches(itertools.chain(older, infos)):
        index.add_segments(batch)
    index.add_anchors(_anchors(minutes, start_us))
    index.close()
    files = tuple(unit.ring / info.file for info in infos)
    return Month(unit, start_us + minutes * _MINUTE_US, minutes, files)


def read_units(path: Path) -> tuple[CodecConfig, list[AccessUnit]]:
    """The access units of an MP4 without B-frames, dated from the beginning of a run."""
    step_90k = TIMESCALE_HZ // FPS
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        extradata = stream.codec_context.extradata or b""
        packets = [(bytes(packet), packet.is_keyframe) for packet in container.demux(stream) if packet.size]
    units = [
        AccessUnit(
            data=data,
            pts_90k=_FIRST_90K + number * step_90k,
            dts_90k=_FIRST_90K + number * step_90k,
            duration_90k=step_90k,
            is_key=is_key,
            capture_us=_FIRST_US + number * 1_000_000 // FPS,
        )
        for number, (data, is_key) in enumerate(packets)
    ]
    return CodecConfig("h264", extradata, WIDTH_PX, HEIGHT_PX, float(FPS)), units


def _make_folders(ring: Path, minutes: int) -> None:
    (ring / PLANS_FOLDER).mkdir(parents=True)
    for folder in {(ring / segment_file(number)).parent for number in range(1, minutes + 1)}:
        folder.mkdir(parents=True)


def _header(config: CodecConfig, number: int, start_us: int) -> SegmentHeader:
    return SegmentHeader(
        unit_id=UNIT_ID,
        camera=CAMERA,
        sequence=number,
        boot_id=_BOOT_ID,
        run_id=_RUN_ID,
        deployment_id="bench",
        codec=config.codec,
        width_px=config.width_px,
        height_px=config.height_px,
        frame_rate_fps=config.frame_rate_fps,
        opened_cause="start" if number == 1 else "rotation",
        wall_us=start_us + (number - 1) * _MINUTE_US,
        monotonic_us=_FIRST_US + (number - 1) * _MINUTE_US,
        clock_source="chrony",
        clock_bound_us=_BOUND_US,
        software_version="0.1.0",
    )


def _record(ring: Path, config: CodecConfig, units: list[AccessUnit], number: int, start_us: int) -> SegmentInfo:
    """One minute as the recorder would write it."""
    later_90k, later_us = (number - 1) * _MINUTE_90K, (number - 1) * _MINUTE_US
    writer = SegmentWriter.create(ring, segment_file(number), _header(config, number, start_us), config)
    for first in range(0, len(units), FPS):
        dated = [_shifted(unit, later_90k, later_us) for unit in units[first : first + FPS]]
        utc_us = start_us + dated[0].capture_us - _FIRST_US
        writer.append(dated, UtcEstimate(utc_us, _BOUND_US, "chrony"))
    writer.close()
    return writer.info()


def _shifted(unit: AccessUnit, later_90k: int, later_us: int) -> AccessUnit:
    return replace(
        unit,
        pts_90k=unit.pts_90k + later_90k,
        dts_90k=unit.dts_90k + later_90k,
        capture_us=unit.capture_us + later_us,
    )


def _link_older(ring: Path, template: SegmentInfo, start_us: int) -> Iterator[SegmentInfo]:
    """Every segment before the template, as one more name of its file."""
    for number in range(1, template.sequence):
        os.link(ring / template.file, ring / segment_file(number))
        yield _earlier(template, number, start_us)


def _earlier(template: SegmentInfo, number: int, start_us: int) -> SegmentInfo:
    minutes = number - template.sequence
    later_90k = minutes * _MINUTE_90K
    tables = template.samples
    return replace(
        template,
        sequence=number,
        file=segment_file(number),
        header=_header(template.config, number, start_us),
        fragments=FragmentTable.of(
            number,
            template.header.run_id,
            (_earlier_fragment(entry, number, minutes) for entry in template.fragments),
        ),
        samples=SampleTable(
            tables.sizes_bytes,
            array("q", [value + later_90k for value in tables.dts_90k]),
            array("q", [value + later_90k for value in tables.pts_90k]),
            tables.key_indices,
            tables.end_90k + later_90k,
        ),
    )


def _earlier_fragment(entry: FragmentEntry, number: int, minutes: int) -> FragmentEntry:
    record = entry.record._replace(
        sequence=number,
        first_pts_90k=entry.record.first_pts_90k + minutes * _MINUTE_90K,
        monotonic_us=entry.record.monotonic_us + minutes * _MINUTE_US,
        utc_us=entry.record.utc_us + minutes * _MINUTE_US,
    )
    return entry._replace(record=record)


def _anchors(minutes: int, start_us: int) -> Iterator[Anchor]:
    for number in range(0, minutes, _ANCHOR_EVERY):
        yield Anchor(_BOOT_ID, _FIRST_US + number * _MINUTE_US, start_us + number * _MINUTE_US, "chrony", _BOUND_US)


def _batches(infos: Iterable[SegmentInfo]) -> Iterator[list[SegmentInfo]]:
    iterator = iter(infos)
    while batch := list(itertools.islice(iterator, _BATCH)):
        yield batch
