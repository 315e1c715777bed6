"""A clip out of a full ring: time to the first byte and bytes written, against ffmpeg's concatenation.

The recorder is asked on its socket while it records; the plan is durable when it answers; the first byte is read as
the uplink reads it. ffmpeg's first usable byte comes when it has ended: an MP4's table of contents is written last.
"""

import os
import subprocess
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

from benchmarks.measure import drop_from_cache, median, percentile, read_io
from benchmarks.month import HOUR_MINUTES, Month, build_month
from benchmarks.row import Row
from benchmarks.unit import size_of_segments
from benchmarks.workspace import Workspace, end
from edge_agent.buffer.client import call_sync
from edge_agent.buffer.clip.reader import PartReader, read_plan
from edge_agent.buffer.layout import INDEX_FILE
from edge_agent.clock import SystemClock
from edge_agent.contract.clip import ClipPlan, Interval, Requester
from edge_agent.contract.ring_protocol import PlanRequest, PlanResult

_BARS_MS = {10: 10.0, 30: 25.0}
_WARM_TIMES = 30
_COLD_TIMES = 5
_QUICK_TIMES = 3
_MINUTE_US = 60_000_000


@dataclass(frozen=True, slots=True)
class Clip:
    """One delivered first byte.

    Attributes:
        plan: as the uplink reads it.
        first_byte_ms: from the request to the first byte.
        plan_bytes: written for the plan: its document and headers.
    """

    plan: ClipPlan
    first_byte_ms: float
    plan_bytes: int


def run(workspace: Workspace) -> Iterator[Row]:
    """Ten and thirty minutes."""
    directory = workspace.directory("clip")
    month = build_month(workspace, directory)
    begun_s = time.perf_counter()
    recorder = month.unit.record(workspace, "clip-recorder")
    opened_s = time.perf_counter() - begun_s
    for minutes in _BARS_MS:
        yield from _of_length(workspace, month, minutes, recorder.pid)
    end(recorder)
    yield Row(
        name=f"recorder's start on a ring of {month.segments:,} segments",
        ours=opened_s,
        unit="s",
        note="process start to the first synced fragment, recovery included",
    )


def _of_length(workspace: Workspace, month: Month, minutes: int, recorder_pid: int) -> Iterator[Row]:
    offsets = range(_QUICK_TIMES if workspace.quick else _WARM_TIMES)
    _ask(month, minutes, 0)
    warm = [_ask(month, minutes, offset) for offset in offsets]
    cold = [_ask_cold(month, minutes, offset) for offset in offsets[:_COLD_TIMES]]
    _written(month, minutes, recorder_pid)  # the first reading updates the files' access times
    written = sorted((_written(month, minutes, recorder_pid) for _ in range(5)), key=attrgetter("recorder_bytes"))[2]
    peer_ms, peer_bytes = _concat_with_ffmpeg(workspace, month, minutes)
    times = [clip.first_byte_ms for clip in warm]
    peer = "ffmpeg -f concat -c copy to MP4, whole run"
    segments = f"from {month.segments:,} indexed segments while recording"
    yield Row(
        name=f"clip of {minutes} min: first byte, warm",
        ours=median(times),
        unit="ms",
        peer=peer_ms,
        peer_name=peer,
        judge="ours",
        bar=_BARS_MS[minutes],
        note=f"median of {len(times)}, best {min(times):.1f} ms, p95 {percentile(times, 95):.1f} ms; {segments}",
    )
    yield Row(
        name=f"clip of {minutes} min: first byte, cold",
        ours=median([clip.first_byte_ms for clip in cold]),
        unit="ms",
        peer=peer_ms,
        peer_name=peer,
        note=f"median of {len(cold)}, {_cold_means()}",
    )
    yield Row(
        name=f"clip of {minutes} min: footage written",
        ours=written.footage_bytes / 1e6,
        unit="MB",
        peer=peer_bytes / 1e6,
        peer_name=peer,
        judge="ours",
        bar=0.0,
        note=f"{warm[0].plan.length_bytes / 1e6:.0f} MB of clip read to its end; its plan is"
        f" {warm[0].plan_bytes / 1e3:.0f} kB; the recorder wrote {written.recorder_bytes / 1e3:.0f} kB besides",
    )


def _ask(month: Month, minutes: int, offset: int) -> Clip:
    """Plan, read the first byte, release; each offset is another interval."""
    data_dir = month.unit.data_dir
    request = _request(month, minutes, offset)
    begun_ns = time.perf_counter_ns()
    answer = call_sync(month.unit.socket, request.to_object(), SystemClock())
    plan_file = data_dir / PlanResult.from_object(answer).plan_file
    plan = read_plan(plan_file)
    with PartReader(month.unit.ring, plan_file, plan.parts[0]) as reader:
        first = reader.read(0, 1)
    first_byte_ms = (time.perf_counter_ns() - begun_ns) / 1e6
    if len(plan.parts) != 1 or len(first) != 1:
        raise RuntimeError(f"a clip of {minutes} min came in {len(plan.parts)} parts")
    plan_bytes = plan_file.stat().st_size
    call_sync(month.unit.socket, {"op": "release", "clip_id": request.clip_id}, SystemClock())
    return Clip(plan, first_byte_ms, plan_bytes)


def _request(month: Month, minutes: int, offset: int) -> PlanRequest:
    """An interval of the last hour that begins in the middle of a segment and of a second."""
    furthest_us = (HOUR_MINUTES - minutes - 1) * _MINUTE_US
    start_us = month.end_us - HOUR_MINUTES * _MINUTE_US + (offset * 97_530_000 + 30_480_000) % furthest_us
    return PlanRequest(
        clip_id=str(uuid.uuid4()),
        interval=Interval(start_us=start_us, end_us=start_us + minutes * _MINUTE_US),
        requester=Requester(operator="bench", role="investigator", reference="bench", purpose="bench"),
    )


def _ask_cold(month: Month, minutes: int, offset: int) -> Clip:
    index = month.unit.ring / INDEX_FILE
    drop_from_cache([*month.hour, index, index.with_name(f"{INDEX_FILE}-wal")])
    return _ask(month, minutes, offset)


def _cold_means() -> str:
    files = "ring files and index dropped from the page cache"
    return files + (", and everything else too (drop_caches)" if os.geteuid() == 0 else "")


@dataclass(frozen=True, slots=True)
class Written:
    """What a clip, planned and read to its end, made anyone write.

    Attributes:
        footage_bytes: by the reader, and in new files beside the plan.
        recorder_bytes: by the recorder beyond the footage that it recorded meanwhile: plan, index, answer.
    """

    footage_bytes: int
    recorder_bytes: int


def _written(month: Month, minutes: int, recorder_pid: int) -> Written:
    files = _files_outside_segments(month.unit.data_dir)
    reader_io, recorder_io = read_io(os.getpid()), read_io(recorder_pid)
    size_bytes = size_of_segments(month.unit)
    request = _request(month, minutes, 1)
    answer = PlanResult.from_object(call_sync(month.unit.socket, request.to_object(), SystemClock()))
    plan_file = month.unit.data_dir / answer.plan_file
    _read_to_end(month, plan_file)
    by_recorder = read_io(recorder_pid).since(recorder_io).passed_bytes
    recorded = size_of_segments(month.unit) - size_bytes
    by_reader = read_io(os.getpid()).since(reader_io).dirtied_bytes
    new = _files_outside_segments(month.unit.data_dir) - files
    copies = sum(path.stat().st_size for path in new if path != plan_file)
    call_sync(month.unit.socket, {"op": "release", "clip_id": request.clip_id}, SystemClock())
    return Written(by_reader + copies, by_recorder - recorded)


def _read_to_end(month: Month, plan_file: Path) -> None:
    for part in read_plan(plan_file).parts:
        with PartReader(month.unit.ring, plan_file, part) as reader:
            read_bytes = sum(len(chunk) for chunk in reader.chunks())
        if read_bytes != part.length_bytes:
            raise RuntimeError(f"part {part.index}: read {read_bytes} of {part.length_bytes} bytes")


def _files_outside_segments(data_dir: Path) -> set[Path]:
    return {path for path in data_dir.rglob("*") if path.is_file() and "segments" not in path.parts}


def _concat_with_ffmpeg(workspace: Workspace, month: Month, minutes: int) -> tuple[float, int]:
    """Milliseconds and bytes written of concatenating as many minutes of the same segments."""
    listing = workspace.root / "concat.txt"
    listing.write_text("".join(f"file '{path}'\n" for path in month.hour[:minutes]), encoding="utf-8")
    target = workspace.root / "concat.mp4"
    times = [_timed_concat(listing, target) for _ in range(1 if workspace.quick else 3)]
    size_bytes = target.stat().st_size
    target.unlink()
    return median(times), size_bytes


def _timed_concat(listing: Path, target: Path) -> float:
    command: Sequence[str | Path] = [
        *("ffmpeg", "-v", "error", "-y", "-f", "concat", "-safe", "0", "-i"), listing, "-c", "copy", target,
    ]  # fmt: skip
    begun_ns = time.perf_counter_ns()
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return (time.perf_counter_ns() - begun_ns) / 1e6
