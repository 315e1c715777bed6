"""What becomes of pictures on their way to the encoders: their range of brightness."""

from dataclasses import replace
from typing import Literal

import av
import pytest
from av.video.reformatter import ColorRange

from edge_agent.camera_settings import CameraSettings
from edge_agent.capture.pipeline import FramePipeline
from edge_agent.capture.v4l2.pictures import Conversion
from edge_agent.clock import SystemClock
from tests.support.polling import wait_until
from tests.unit.capture.fakes import RecordingSink, make_frame_context
from tests.unit.capture.test_coded import decoded

LEVELS = (0, 64, 128, 255)
NARROW = (16, 71, 126, 235)
"""The same brightness in the range that players take for granted (ITU-R BT.601: 16 + 219 / 255 of it)."""


def full_range(layout: str) -> av.VideoFrame:
    """Four grey bars of the full range, as a camera's JPEG is decoded to."""
    frame = av.VideoFrame(320, 240, layout)
    frame.color_range = ColorRange.JPEG
    for index, plane in enumerate(frame.planes):
        rows = [bytes([LEVELS[row // 60]]) * plane.line_size for row in range(240)]
        grey = bytes([128]) * plane.buffer_size
        plane.update(b"".join(rows)[: plane.buffer_size] if index == 0 else grey)
    return frame


def bars(frame: av.VideoFrame) -> tuple[int, ...]:
    plane = frame.planes[0]
    rows = [int((row + 0.5) * frame.height / 4) for row in range(4)]
    return tuple(memoryview(plane)[row * plane.line_size + frame.width // 2] for row in rows)


@pytest.mark.parametrize("layout", ["yuv420p", "yuvj420p", "yuvj422p"])
@pytest.mark.parametrize("rotation_deg", [0, 180])
def test_full_range_pictures_are_recorded_as_players_take_them(layout: str, rotation_deg: Literal[0, 180]) -> None:
    settings = CameraSettings(name="main", source="v4l2:/dev/video0", bitrate_kbps=4000, rotation_deg=rotation_deg)
    sink, clock = RecordingSink(), SystemClock()
    pipeline = FramePipeline(settings, make_frame_context(settings, sink, clock), 320, 240, 25.0)
    for number in range(5):
        pipeline.push(full_range(layout), clock.monotonic_us() + number * 40_000)
    wait_until(lambda: len(sink.units) >= 3, what="coded pictures", timeout_s=20)
    pipeline.finish()
    frames = decoded(sink)
    assert len(frames) >= 3
    for frame in frames:
        shown = bars(frame)
        assert shown == pytest.approx(NARROW if rotation_deg == 0 else NARROW[::-1], abs=1)


@pytest.mark.parametrize("layout", ["yuvj420p", "yuvj422p"])
def test_a_v4l2_cameras_jpegs_become_narrow_once(layout: str) -> None:
    converted = Conversion().convert(full_range(layout))
    assert (converted.format.name, converted.color_range) == ("yuv420p", ColorRange.MPEG)
    assert bars(converted) == pytest.approx(NARROW, abs=1)


def test_a_proxy_has_the_brightness_of_its_camera() -> None:
    settings = CameraSettings.model_validate(
        {"name": "main", "source": "v4l2:/dev/video0", "proxy": {"width": 160, "height": 120, "fps": 25}}
    )
    sink, proxy, clock = RecordingSink(), RecordingSink(), SystemClock()
    context = make_frame_context(settings, sink, clock)
    assert context.frames is not None
    context = replace(context, frames=replace(context.frames, proxy=proxy))
    pipeline = FramePipeline(settings, context, 320, 240, 25.0)
    for number in range(10):
        pipeline.push(full_range("yuvj422p"), clock.monotonic_us() + number * 40_000)
    wait_until(lambda: len(proxy.units) >= 3, what="coded pictures", timeout_s=20)
    pipeline.finish()
    assert bars(decoded(proxy)[0]) == pytest.approx(NARROW, abs=2)
