"""CPU and delay of recording a camera's pixels (V4L2, YUYV), against `ffmpeg` that encodes the same in the same way.

The camera is the tests' fake at the edge to the kernel: it copies each picture into a buffer, as ffmpeg reads each
from a file in the page cache.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from subprocess import Popen

from benchmarks.delay import ages_ms, delay_row
from benchmarks.row import Row
from benchmarks.side_by_side import cpu_row, rounds
from benchmarks.unit import CAMERA, write_unit
from benchmarks.v4l2_recorder import FPS, FRAMES, HEIGHT_PX, NODE, WIDTH_PX
from benchmarks.workspace import Workspace, end, python
from edge_agent.clock import SystemClock

_BAR = 1.05
_LATENCY_S = 60.0
_BITRATE_KBPS = 4000
_THREADS = 2


def run(workspace: Workspace) -> Iterator[Row]:
    """CPU seconds an hour of footage."""
    frames = _draw(workspace, workspace.directory("v4l2") / "frames.yuyv")
    camera: dict[str, object] = {
        "width": WIDTH_PX,
        "height": HEIGHT_PX,
        "fps": FPS,
        "bitrate_kbps": _BITRATE_KBPS,
    }
    unit = write_unit(workspace.directory("v4l2/unit"), f"v4l2:{NODE}", camera)
    synced = unit.footage_since(SystemClock().wall_us())
    command = python("-m", "benchmarks.v4l2_recorder", "record", CAMERA, "--config", unit.config)
    recorder = workspace.start(["env", f"{FRAMES}={frames}", *command], "v4l2-recorder")
    unit.wait(workspace, recorder, "v4l2-recorder", synced)
    done = rounds(workspace, "v4l2", unit, recorder, partial(_start_peer, workspace, frames))
    ages = ages_ms(unit.ring, _LATENCY_S / 3 if workspace.quick else _LATENCY_S, FPS)
    end(recorder)
    yield cpu_row(
        "record YUYV 720p25 of a V4L2 camera, encoded by x264",
        done,
        "ffmpeg -re -f rawvideo … -c:v libx264, same options, same time",
        _BAR,
        "every fragment synced (ffmpeg syncs nothing)",
    )
    yield delay_row("V4L2", ages)


def _draw(workspace: Workspace, path: Path) -> Path:
    """Two seconds of a moving picture with noise in it."""
    scene = f"testsrc2=size={WIDTH_PX}x{HEIGHT_PX}:rate={FPS}:duration=2,noise=alls=8:allf=t"
    words = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", scene, "-pix_fmt", "yuyv422", "-f", "rawvideo", str(path)]
    workspace.start(words, "v4l2-frames").wait(60)
    return path


def _start_peer(workspace: Workspace, frames: Path, directory: Path) -> Popen[bytes]:
    rate = f"{_BITRATE_KBPS}k"
    words = [
        "ffmpeg", "-v", "error", "-re", "-stream_loop", "-1", "-f", "rawvideo", "-pix_fmt", "yuyv422",
        "-s", f"{WIDTH_PX}x{HEIGHT_PX}", "-r", str(FPS), "-i", str(frames), "-pix_fmt", "yuv420p",
        "-c:v", "libx264", "-preset", "superfast", "-tune", "zerolatency", "-profile:v", "high", "-g", str(FPS),
        "-bf", "0", "-b:v", rate, "-maxrate", rate, "-bufsize", rate, "-forced-idr", "1", "-threads", str(_THREADS),
        "-x264-params", f"keyint={FPS}:min-keyint={FPS}:scenecut=0:sliced-threads=0:threads={_THREADS}",
        "-f", "segment", "-segment_time", "60", str(directory / "%05d.mp4"),
    ]  # fmt: skip
    return workspace.start(words, "v4l2-peer")
