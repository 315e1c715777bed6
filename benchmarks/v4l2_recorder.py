"""`edge-agent record` with the tests' fake V4L2 device in the place of the kernel; a process of the benchmark's."""

import os
import sys
from pathlib import Path

from edge_agent.capture.source import SourceContext
from edge_agent.capture.table import SOURCES
from edge_agent.capture.v4l2.source import V4l2Source
from edge_agent.cli import main
from edge_agent.clock import SystemClock
from edge_agent.settings import CameraSettings
from tests.support.v4l2_device import YUYV, FakeCamera, FakeKernel

FRAMES = "BENCH_FRAMES"
"""Variable: a file of YUYV pictures."""
WIDTH_PX, HEIGHT_PX, FPS = 1280, 720, 25
FRAME_BYTES = WIDTH_PX * HEIGHT_PX * 2
NODE = "/dev/video0"


def source(settings: CameraSettings, context: SourceContext) -> V4l2Source:
    """As the table's factories."""
    frames = memoryview(Path(os.environ[FRAMES]).read_bytes())
    count = len(frames) // FRAME_BYTES

    def picture(_fourcc: int, number: int) -> memoryview:
        start = number % count * FRAME_BYTES
        return frames[start : start + FRAME_BYTES]

    kernel = FakeKernel(SystemClock())
    kernel.plug(NODE, FakeCamera({YUYV: {(WIDTH_PX, HEIGHT_PX): (FPS,)}}, picture))
    return V4l2Source(settings, context, kernel)


if __name__ == "__main__":
    SOURCES["v4l2"] = "benchmarks.v4l2_recorder:source"
    sys.exit(main(sys.argv[1:]))
