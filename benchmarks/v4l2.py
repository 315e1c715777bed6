"""CPU of recording a camera's pixels (V4L2, YUYV), against `ffmpeg` that encodes the same pictures in the same way.

The camera is the tests' fake at the edge to the kernel: it copies each picture into a buffer, as ffmpeg reads each
from a file in the page cache.
"""

from collections.abc import Iterator
from pathlib import Path
from subprocess import Popen

import psutil

from benchmarks.measure import cpu_s
from benchmarks.row import Row
from benchmarks.unit import CAMERA, size_of_segments, write_unit
from benchmarks.v4l2_recorder import FPS, FRAMES, HEIGHT_PX, NODE, WIDTH_PX
from benchmarks.workspace import Workspace, end, python, wait_for
from edge_agent.clock import SystemClock

_WINDOW_S = 180.0
_QUICK_WINDOW_S = 30.0
_CLOCK = SystemClock()
_SETTLE_S = 5.0
_BAR = 1.05
_BITRATE_KBPS = 4000
_THREADS = 2


def run(workspace: Workspace) -> Iterator[Row]:
    """CPU seconds an hour of footage."""
    directory = workspace.directory("v4l2")
    window_s = _QUICK_WINDOW_S if workspace.quick else _WINDOW_S
    frames = _draw(workspace, directory / "frames.yuyv")
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
    peer = _start_peer(workspace, frames, workspace.directory("v4l2/peer"))
    _CLOCK.sleep(_SETTLE_S)
    ours, theirs = psutil.Process(recorder.pid), psutil.Process(peer.pid)
    size_bytes, ours_s, theirs_s = size_of_segments(unit), cpu_s(ours), cpu_s(theirs)
    _CLOCK.sleep(window_s)
    ours_s, theirs_s = cpu_s(ours) - ours_s, cpu_s(theirs) - theirs_s
    rate = (size_of_segments(unit) - size_bytes) * 8 / window_s / 1e6
    end(peer)
    end(recorder)
    yield Row(
        name="record YUYV 720p25 of a V4L2 camera, encoded by x264",
        ours=ours_s * 3600 / window_s,
        unit="CPU s/h",
        peer=theirs_s * 3600 / window_s,
        peer_name="ffmpeg -re -f rawvideo … -c:v libx264, same options, same time",
        judge="ratio",
        bar=_BAR,
        note=f"over {window_s:.0f} s, {rate:.1f} Mbit/s recorded, every fragment synced (ffmpeg syncs nothing)",
    )


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
    process = workspace.start(words, "v4l2-peer")
    wait_for(lambda: next(directory.glob("*.mp4"), None), "ffmpeg's first file")
    return process
