"""CPU of recording RTSP without re-encoding, against ffmpeg's segment muxer on the same stream at the same time."""

from collections.abc import Iterator
from pathlib import Path
from subprocess import Popen

from benchmarks.camera import start_camera
from benchmarks.row import Row
from benchmarks.side_by_side import cpu_row, measure
from benchmarks.unit import write_unit
from benchmarks.workspace import Workspace, end, wait_for
from edge_agent.clock import SystemClock

_CLOCK = SystemClock()
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
    _CLOCK.sleep(_SETTLE_S)
    measured = measure(unit, recorder, peer, window_s)
    end(recorder)
    end(peer)
    yield cpu_row(
        "record RTSP 1080p25, 4 Mbit/s",
        [measured],
        "ffmpeg -rtsp_transport tcp -c copy -f segment, same server, same time",
        _BAR,
        "steady state, every fragment synced (ffmpeg syncs nothing)",
    )


def _start_ffmpeg(workspace: Workspace, url: str, directory: Path) -> Popen[bytes]:
    source = ["-rtsp_transport", "tcp", "-i", url]
    target = ["-c", "copy", "-f", "segment", "-segment_time", "60", str(directory / "%05d.mp4")]
    process = workspace.start(["ffmpeg", "-v", "error", *source, *target], "recording-ffmpeg")
    wait_for(lambda: next(directory.glob("*.mp4"), None), "ffmpeg's first file")
    return process
