"""Fake cameras, and a source that records from them."""

import threading
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.video.codeccontext import VideoCodecContext

from edge_agent.capture.report import CaptureReport
from edge_agent.capture.source import Activity, SourceContext
from edge_agent.capture.v4l2.place import Machine
from edge_agent.capture.v4l2.source import V4l2Source
from edge_agent.clock import Clock, FakeClock
from edge_agent.contract.access_unit import AccessUnit
from edge_agent.settings import CameraSettings, V4l2Settings
from tests.support.v4l2_device import H264, MJPEG, YUYV, FakeCamera, FakeKernel, Sizes
from tests.unit.capture.fakes import RecordingSink, make_context, make_frame_context

NODE = "/dev/video0"
BY_PATH = "/dev/v4l/by-path/platform-usb-0:1:1.0-video-index0"
SMALL: Sizes = {(320, 240): (25, 30)}


def camera_settings(source: str = f"v4l2:{NODE}", **changes: object) -> CameraSettings:
    values: dict[str, object] = {"name": "main", "source": source, "width": 320, "height": 240, "fps": 25.0}
    return CameraSettings.model_validate(values | changes)


def kind_of(kind: str) -> V4l2Settings:
    return V4l2Settings.model_validate({"format": kind})


def grey(width: int, height: int, number: int) -> av.VideoFrame:
    frame = av.VideoFrame(width, height, "yuv420p")
    for plane in frame.planes:
        plane.update(bytes([16 + number % 200 if plane is frame.planes[0] else 128]) * plane.buffer_size)
    return frame


def h264_camera(count: int = 60, **changes: Any) -> FakeCamera:  # noqa: ANN401 -- fields of the dataclass
    """Plays real access units, over and over, key frames every ten, as a UVC camera sends them."""
    encoder = VideoCodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = 320, 240, "yuv420p"
    encoder.time_base, encoder.gop_size, encoder.max_b_frames = Fraction(1, 25), 10, 0
    encoder.options = {"preset": "ultrafast", "tune": "zerolatency"}
    units: list[bytes] = []
    for number in range(count):
        frame = grey(320, 240, number)
        frame.pts = number
        units += [bytes(packet) for packet in encoder.encode(frame)]
    camera = FakeCamera({H264: SMALL}, picture=lambda fourcc, number: units[number % count])
    return replace(camera, **changes)


def jpeg_of(number: int, width: int = 320, height: int = 240) -> bytes:
    encoder = VideoCodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuvj420p"
    encoder.time_base = Fraction(1, 25)
    frame = grey(width, height, number).reformat(format="yuvj420p")
    return b"".join(bytes(packet) for packet in (*encoder.encode(frame), *encoder.encode(None)))


def without_huffman_tables(jpeg: bytes) -> bytes:
    """As AVI and most USB cameras have it (DHT is marker FFC4)."""
    while (start := jpeg.find(b"\xff\xc4")) >= 0:
        end = start + 2 + int.from_bytes(jpeg[start + 2 : start + 4], "big")
        jpeg = jpeg[:start] + jpeg[end:]
    return jpeg


def mjpeg_camera(**changes: Any) -> FakeCamera:  # noqa: ANN401 -- fields of the dataclass
    jpeg = without_huffman_tables(jpeg_of(50))
    camera = FakeCamera({MJPEG: SMALL}, picture=lambda fourcc, number: jpeg)
    return replace(camera, **changes)


def yuyv_camera(**changes: Any) -> FakeCamera:  # noqa: ANN401 -- fields of the dataclass
    return replace(FakeCamera({YUYV: SMALL}), **changes)


class StoppingSink(RecordingSink):
    """Ends the recording when `is_enough` says so."""

    def __init__(self, is_enough: Callable[[RecordingSink], bool]) -> None:
        super().__init__()
        self.stop = threading.Event()
        self._is_enough = is_enough

    def write(self, unit: AccessUnit) -> None:
        super().write(unit)
        if self._is_enough(self):
            self.stop.set()


class Bench:
    """A fake kernel, a fake clock and what a source told."""

    def __init__(self, folder: Path, clock: Clock | None = None) -> None:
        self.clock = clock or FakeClock()
        self.kernel = FakeKernel(self.clock)
        self.report = CaptureReport("main")
        self.activity = Activity()
        self.folder = folder
        self.machine = Machine(folder / "dev", folder / "sys", folder / "proc")
        (folder / "dev/v4l/by-path").mkdir(parents=True)

    def context(self) -> SourceContext:
        return replace(make_context(self.clock), report=self.report, activity=self.activity)

    def source(self, settings: CameraSettings) -> V4l2Source:
        return V4l2Source(settings, self.context(), self.kernel, self.machine)

    def record(self, settings: CameraSettings, pictures: int = 60) -> StoppingSink:
        sink = StoppingSink(lambda sink: len(sink.units) >= pictures)
        self.source(settings).run(sink, sink.stop)
        return sink

    def encode(self, settings: CameraSettings, pictures: int = 60) -> StoppingSink:
        """As `record`, of a camera whose pictures are encoded here; in real time, as encoders have threads."""
        sink = StoppingSink(lambda sink: len(sink.units) >= pictures)
        context = make_frame_context(settings, sink, self.clock)
        context = replace(context, report=self.report, activity=self.activity)
        V4l2Source(settings, context, self.kernel, self.machine).run(RecordingSink(), sink.stop)
        return sink

    @property
    def warnings(self) -> dict[str, str]:
        return self.report.state.warnings
