"""Pictures for the recorder's own encoders: copied off the camera's thread, which is never made to wait."""

import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import av

from edge_agent.capture.frames.picture import Plane
from edge_agent.capture.picamera.sensor_clock import SensorClock
from edge_agent.capture.picamera.unit_queue import StreamName
from edge_agent.capture.picamera.watch import Figures, picture_of_buffer
from edge_agent.clock import Clock

_MAX_WAITING = 3
LAYOUTS = {"YUV420": "yuv420p", "NV12": "nv12"}


class PictureCopier:
    """`look` is of the camera's thread, `take` of the recorder's; masks are drawn behind it (`FramePipeline`)."""

    def __init__(self, clock: Clock, mapped: Callable[..., Any], stream: StreamName = "main") -> None:
        """`mapped` is picamera2's `MappedArray`, `stream` the camera's name for what is recorded."""
        self.figures = Figures(streams=(stream,))
        self.sensor_clock = SensorClock(clock)
        self.left_out = 0
        """Pictures that the encoders had no time for."""
        self.ready = threading.Event()
        self._clock = clock
        self._mapped = mapped
        self._stream = stream
        self._waiting: deque[tuple[av.VideoFrame, int]] = deque()

    def look(self, request: Any) -> int | None:  # noqa: ANN401 -- picamera2 has no types
        """A picture came from the camera; when it was taken, or None: it could not be looked at.

        Raises nothing, as it would end the camera.
        """
        try:
            return self._look(request)
        except Exception as error:  # noqa: BLE001 -- the picture is not recorded, and it is told
            self.figures.faults += 1
            self.figures.refused_in_row += 1
            self.figures.fault = f"{type(error).__name__}: {error}"
            return None

    def take(self) -> tuple[av.VideoFrame, int] | None:
        """The next picture and its capture time; None when there is none."""
        self.ready.clear()  # before it is looked: a picture that comes in between has set it again
        try:
            return self._waiting.popleft()
        except IndexError:
            return None

    def _look(self, request: Any) -> int:  # noqa: ANN401 -- picamera2 has no types
        now_us = self._clock.monotonic_us()
        self.figures.pictures += 1
        self.figures.last_us = now_us
        metadata: Mapping[str, Any] = request.get_metadata()
        capture_us = self.sensor_clock.capture_us(metadata.get("SensorTimestamp"), now_us)
        if len(self._waiting) >= _MAX_WAITING:
            self.left_out += 1
            return capture_us
        self._waiting.append((copied(request, self._stream, self._mapped), capture_us))
        self.figures.refused_in_row = 0
        self.ready.set()
        return capture_us


def copied(request: Any, stream: StreamName, mapped: Callable[..., Any]) -> av.VideoFrame:  # noqa: ANN401 -- picamera2 has no types
    """A picture of one of a request's streams, in memory of its own.

    Raises:
        ValueError: its format is neither YUV420 nor NV12.
    """
    with mapped(request, stream, reshape=False) as array:
        return _frame_of(memoryview(array.array).cast("B"), request.config[stream])


def _frame_of(memory: memoryview, config: Mapping[str, Any]) -> av.VideoFrame:
    picture = picture_of_buffer(memory, config)
    frame = av.VideoFrame(picture.width_px, picture.height_px, LAYOUTS[config["format"]])
    for plane, target in zip(picture.planes, frame.planes, strict=True):
        target.update(_rows(plane, target.line_size, target.buffer_size))
    return frame


def _rows(plane: Plane, line_bytes: int, size_bytes: int) -> bytes:
    """A plane with libav's distance from row to row."""
    if plane.stride_bytes == line_bytes and len(plane.memory) == size_bytes:
        return bytes(plane.memory)
    rows = bytearray(size_bytes)
    used = min(plane.width * plane.sample_bytes, line_bytes)
    for row in range(plane.height):
        begin = row * plane.stride_bytes
        rows[row * line_bytes : row * line_bytes + used] = plane.memory[begin : begin + used]
    return bytes(rows)
