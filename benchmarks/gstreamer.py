"""CPU and delay of recording a GStreamer pipeline, against the same pipeline in `gst-launch-1.0` with splitmuxsink.

Both draw and encode the same pictures at the same time; what differs is the way from the encoder to the disk: records
over a pipe, a recorder and its synced fragments here, a muxer in the same process there.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from subprocess import Popen

from benchmarks.delay import ages_ms, delay_row
from benchmarks.row import Row
from benchmarks.side_by_side import cpu_row, rounds
from benchmarks.unit import write_unit
from benchmarks.workspace import Workspace, end

_BAR = 1.05
_LATENCY_S = 60.0
_FPS = 25
_CAMERA = (
    "videotestsrc is-live=true pattern=smpte ! video/x-raw,format=I420,width=1920,height=1080,framerate=25/1"
    " ! x264enc tune=zerolatency speed-preset=superfast key-int-max=25 bitrate=4000 option-string=scenecut=0"
)


def run(workspace: Workspace) -> Iterator[Row]:
    """CPU seconds an hour of footage."""
    unit = write_unit(workspace.directory("gstreamer"), f"gstreamer:{_CAMERA}")
    recorder = unit.record(workspace, "gstreamer-recorder")
    done = rounds(workspace, "gstreamer", unit, recorder, partial(_start_peer, workspace))
    ages = ages_ms(unit.ring, _LATENCY_S / 3 if workspace.quick else _LATENCY_S, _FPS)
    end(recorder)
    yield cpu_row(
        "record a GStreamer pipeline, 1080p25 encoded by x264",
        done,
        "gst-launch-1.0, the same pipeline ! h264parse ! splitmuxsink, same time",
        _BAR,
        "recorder and pipeline together, every fragment synced (splitmuxsink syncs nothing)",
    )
    yield delay_row("GStreamer", ages)


def _start_peer(workspace: Workspace, directory: Path) -> Popen[bytes]:
    sink = ["splitmuxsink", f"location={directory}/%05d.mp4", "max-size-time=60000000000"]
    words = [*_CAMERA.split(), "!", "h264parse", "!", *sink]
    return workspace.start(["gst-launch-1.0", "-q", *words], "gstreamer-peer")
