"""A minute of 1080p at 25 pictures a second and 4 Mbit/s, encoded once a run."""

import subprocess
from pathlib import Path

from benchmarks.workspace import Workspace

WIDTH_PX = 1920
HEIGHT_PX = 1080
FPS = 25
BITRATE_BPS = 4_000_000
MINUTE_S = 60


def minute_of_footage(workspace: Workspace) -> Path:
    """An MP4 of moving, noisy pictures, a key frame a second, no B-frames, at a constant bitrate."""
    return workspace.once("minute.mp4", _encode)


def _encode(path: Path) -> None:
    rate = f"{BITRATE_BPS}"
    scene = f"testsrc2=s={WIDTH_PX}x{HEIGHT_PX}:r={FPS},noise=alls=6:allf=t"
    source = ["-f", "lavfi", "-i", scene, "-t", str(MINUTE_S)]
    encoder = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-bf", "0"]
    pictures = ["-g", str(FPS), "-keyint_min", str(FPS), "-sc_threshold", "0"]
    bitrate = ["-b:v", rate, "-minrate", rate, "-maxrate", rate, "-bufsize", "2M", "-x264-params", "nal-hrd=cbr"]
    subprocess.run(["ffmpeg", "-v", "error", *source, *encoder, *pictures, *bitrate, path], check=True)
