"""A camera to record from: GStreamer's RTSP server with the encoded minute, over and over."""

import math
import subprocess
import time
from pathlib import Path

from benchmarks.footage import MINUTE_S, minute_of_footage
from benchmarks.workspace import Workspace, wait_for
from tests.real.rtsp import RtspServer

_SPARE_MINUTES = 3


def start_camera(workspace: Workspace, directory: Path, minutes: float) -> str:
    """Serve 1080p at 4 Mbit/s for so long at least; its URL.

    Another client watches all the time, so that whoever comes joins in mid-stream, as with a real camera.
    """
    footage = directory / "camera.mp4"
    _repeat(minute_of_footage(workspace), math.ceil(minutes) + _SPARE_MINUTES, footage)
    url = RtspServer(workspace.processes, "--file", str(footage)).start().url()
    watched = directory / "watched.txt"
    source = ["-rtsp_transport", "tcp", "-i", url]
    watcher: list[str | Path] = [
        "ffmpeg",
        "-v",
        "error",
        *source,
        "-c",
        "copy",
        "-flush_packets",
        "1",
        "-f",
        "framecrc",
        watched,
    ]
    workspace.start(watcher, f"{directory.name}-watcher")
    wait_for(lambda: watched if watched.exists() and watched.stat().st_size else None, "the camera")
    time.sleep(1)  # the watcher's first second comes in one burst
    return url


def _repeat(minute: Path, times: int, target: Path) -> None:
    repeat = ["-stream_loop", str(times - 1), "-i", str(minute), "-c", "copy", str(target)]
    subprocess.run(["ffmpeg", "-v", "error", *repeat], check=True, stdin=subprocess.DEVNULL)
    if target.stat().st_size < minute.stat().st_size * times * 0.9:
        raise RuntimeError(f"{target.name} is shorter than {times * MINUTE_S} s")
