"""CPU of recording a GStreamer pipeline, against the same pipeline in `gst-launch-1.0` with splitmuxsink.

Both draw and encode the same pictures at the same time; what differs is the way from the encoder to the disk: records
over a pipe, a recorder and its synced fragments here, a muxer in the same process there.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from subprocess import Popen

import psutil

from benchmarks.measure import cpu_s
from benchmarks.row import Row
from benchmarks.unit import Unit, size_of_segments, write_unit
from benchmarks.workspace import Workspace, end, wait_for

_WINDOW_S = 180.0
_QUICK_WINDOW_S = 30.0
_SETTLE_S = 5.0
_BAR = 1.05
_CAMERA = (
    "videotestsrc is-live=true pattern=smpte ! video/x-raw,format=I420,width=1920,height=1080,framerate=25/1"
    " ! x264enc tune=zerolatency speed-preset=superfast key-int-max=25 bitrate=4000"
)


def run(workspace: Workspace) -> Iterator[Row]:
    """CPU seconds an hour of footage."""
    directory = workspace.directory("gstreamer")
    window_s = _QUICK_WINDOW_S if workspace.quick else _WINDOW_S
    peer = _start_peer(workspace, workspace.directory("gstreamer/peer"))
    unit = write_unit(directory, f"gstreamer:{_CAMERA}")
    recorder = unit.record(workspace, "gstreamer-recorder")
    time.sleep(_SETTLE_S)
    ours_s, peer_s, footage_bytes = _measure(unit, recorder, peer, window_s)
    end(recorder)
    end(peer)
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
    time.sleep(window_s)
    return cpu_s(ours) - ours_s, cpu_s(theirs) - theirs_s, size_of_segments(unit) - size_bytes
