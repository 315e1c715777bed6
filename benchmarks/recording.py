"""CPU of recording RTSP without re-encoding, against ffmpeg's segment muxer on the same stream at the same time."""

import time
from collections.abc import Iterator
from pathlib import Path
from subprocess import Popen

import psutil

from benchmarks.camera import start_camera
from benchmarks.measure import cpu_s
from benchmarks.row import Row
from benchmarks.unit import Unit, size_of_segments, write_unit
from benchmarks.workspace import Workspace, end, wait_for

_WINDOW_S = 180.0
_QUICK_WINDOW_S = 20.0
_SETTLE_S = 5.0
_BAR = 2.0


def run(workspace: Workspace) -> Iterator[Row]:
    """CPU seconds an hour of footage."""
    directory = workspace.directory("recording")
    window_s = _QUICK_WINDOW_S if workspace.quick else _WINDOW_S
    url = start_camera(workspace, directory, window_s / 60)
    unit = write_unit(directory, url)
    recorder = unit.record(workspace, "recording-recorder")
    peer = _start_ffmpeg(workspace, url, workspace.directory("recording/ffmpeg"))
    time.sleep(_SETTLE_S)
    ours_s, peer_s, footage_bytes = _measure(unit, recorder, peer, window_s)
    end(recorder)
    end(peer)
    yield Row(
        name="record RTSP 1080p25, 4 Mbit/s",
        ours=ours_s * 3600 / window_s,
        unit="CPU s/h",
        peer=peer_s * 3600 / window_s,
        peer_name="ffmpeg -rtsp_transport tcp -c copy -f segment, same server, same time",
        judge="ratio",
        bar=_BAR,
        note=f"steady state over {window_s:.0f} s, {footage_bytes * 8 / window_s / 1e6:.1f} Mbit/s recorded,"
        " every fragment synced (ffmpeg syncs nothing)",
    )


def _start_ffmpeg(workspace: Workspace, url: str, directory: Path) -> Popen[bytes]:
    source = ["-rtsp_transport", "tcp", "-i", url]
    target = ["-c", "copy", "-f", "segment", "-segment_time", "60", str(directory / "%05d.mp4")]
    process = workspace.start(["ffmpeg", "-v", "error", *source, *target], "recording-ffmpeg")
    wait_for(lambda: next(directory.glob("*.mp4"), None), "ffmpeg's first file")
    return process


def _measure(unit: Unit, recorder: Popen[bytes], peer: Popen[bytes], window_s: float) -> tuple[float, float, int]:
    ours, theirs = psutil.Process(recorder.pid), psutil.Process(peer.pid)
    size_bytes = size_of_segments(unit)
    ours_s, theirs_s = cpu_s(ours), cpu_s(theirs)
    time.sleep(window_s)
    return cpu_s(ours) - ours_s, cpu_s(theirs) - theirs_s, size_of_segments(unit) - size_bytes
