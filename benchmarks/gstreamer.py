"""CPU and delay of recording a GStreamer pipeline, against the same pipeline in `gst-launch-1.0` with splitmuxsink.

Both draw and encode the same pictures at the same time; what differs is the way from the encoder to the disk: records
over a pipe, a recorder and its synced fragments here, a muxer in the same process there.
"""

from collections.abc import Iterator
from pathlib import Path
from subprocess import Popen

import psutil

from benchmarks.measure import cpu_s, percentile
from benchmarks.row import Row
from benchmarks.unit import Unit, size_of_segments, write_unit
from benchmarks.workspace import Workspace, end, wait_for
from edge_agent.buffer.segment_scan import scan_segment
from edge_agent.clock import SystemClock

_WINDOW_S = 180.0
_QUICK_WINDOW_S = 30.0
_CLOCK = SystemClock()
_SETTLE_S = 5.0
_BAR = 1.05
_LATENCY_S = 60.0
_POLL_S = 0.005
_PICTURE_MS = 40.0
_CAMERA = (
    "videotestsrc is-live=true pattern=smpte ! video/x-raw,format=I420,width=1920,height=1080,framerate=25/1"
    " ! x264enc tune=zerolatency speed-preset=superfast key-int-max=25 bitrate=4000 option-string=scenecut=0"
)


def run(workspace: Workspace) -> Iterator[Row]:
    """CPU seconds an hour of footage."""
    directory = workspace.directory("gstreamer")
    window_s = _QUICK_WINDOW_S if workspace.quick else _WINDOW_S
    peer = _start_peer(workspace, workspace.directory("gstreamer/peer"))
    unit = write_unit(directory, f"gstreamer:{_CAMERA}")
    recorder = unit.record(workspace, "gstreamer-recorder")
    _CLOCK.sleep(_SETTLE_S)
    ours_s, peer_s, footage_bytes = _measure(unit, recorder, peer, window_s)
    end(peer)
    ages_ms = _ages_ms(unit, _LATENCY_S / 3 if workspace.quick else _LATENCY_S)
    end(recorder)
    yield Row(
        name="record a GStreamer pipeline, 1080p25 encoded by x264",
        ours=ours_s * 3600 / window_s,
        unit="CPU s/h",
        peer=peer_s * 3600 / window_s,
        peer_name="gst-launch-1.0, the same pipeline ! h264parse ! splitmuxsink, same time",
        judge="ratio",
        bar=_BAR,
        note=f"recorder and pipeline together, over {window_s:.0f} s, {footage_bytes * 8 / window_s / 1e6:.1f} Mbit/s"
        " recorded, every fragment synced (splitmuxsink syncs nothing)",
    )

    yield Row(
        name="GStreamer: from a picture's stamp to its fragment on the disk, p50",
        ours=percentile(ages_ms, 50),
        unit="ms",
        note=f"{len(ages_ms)} pictures in fragments of a second, at the write that the sync follows at once; p99"
        f" {percentile(ages_ms, 99):.0f} ms",
    )


def _ages_ms(unit: Unit, seconds: float) -> list[float]:
    """How old each picture is when its fragment is written."""
    clock, grown = SystemClock(), dict[Path, list[tuple[int, int]]]()
    end_us = clock.monotonic_us() + round(seconds * 1e6)
    while (now_us := clock.monotonic_us()) < end_us:
        path = max((unit.ring / "segments").rglob("*.mp4"))
        size_bytes = path.stat().st_size
        sizes = grown.setdefault(path, [(size_bytes, now_us)])
        if size_bytes > sizes[-1][0]:
            sizes.append((size_bytes, now_us))
        _CLOCK.sleep(_POLL_S)
    return [age_ms for path, sizes in grown.items() for age_ms in _ages_in(unit, path, sizes[1:])]


def _ages_in(unit: Unit, path: Path, sizes: list[tuple[int, int]]) -> Iterator[float]:
    info = scan_segment(path, unit.ring).info
    fragments = list(info.fragments) if info is not None else []
    for size_bytes, now_us in sizes:
        record = [fragment for fragment in fragments if fragment.payload_offset < size_bytes][-1].record
        yield from ((now_us - record.monotonic_us) / 1000 - number * _PICTURE_MS for number in range(record.samples))


def _start_peer(workspace: Workspace, directory: Path) -> Popen[bytes]:
    sink = ["splitmuxsink", f"location={directory}/%05d.mp4", "max-size-time=60000000000"]
    words = [*_CAMERA.split(), "!", "h264parse", "!", *sink]
    process = workspace.start(["gst-launch-1.0", "-q", *words], "gstreamer-peer")
    wait_for(lambda: next(directory.glob("*.mp4"), None), "splitmuxsink's first file")
    return process


def _measure(unit: Unit, recorder: Popen[bytes], peer: Popen[bytes], window_s: float) -> tuple[float, float, int]:
    ours, theirs = psutil.Process(recorder.pid), psutil.Process(peer.pid)
    size_bytes = size_of_segments(unit)
    ours_s, theirs_s = cpu_s(ours), cpu_s(theirs)
    _CLOCK.sleep(window_s)
    return cpu_s(ours) - ours_s, cpu_s(theirs) - theirs_s, size_of_segments(unit) - size_bytes
