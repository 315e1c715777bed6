"""Looks at every picture of the camera before it is encoded: its age, its time, its masks.

`look` is picamera2's `pre_callback`: it runs on the camera's thread with the camera's lock held, and whatever it
raises would end the camera without a word. So it raises nothing; a picture that it could not look at is not encoded.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from edge_agent.capture.frames.hook import FrameHook
from edge_agent.capture.frames.picture import Picture, Plane
from edge_agent.capture.picamera.sensor_clock import SensorClock
from edge_agent.capture.picamera.unit_queue import StreamName
from edge_agent.clock import Clock

_MAX_SEEN = 16
"""Pictures that are under way at a time; picamera2 has six buffers."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A picture that was looked at.

    Attributes:
        sensor_us: its stamp as picamera2's encoders read it.
        capture_us: monotonic time at which it was taken.
        fit: the streams of which it may be encoded.
    """

    sensor_us: int
    capture_us: int
    fit: frozenset[StreamName]


@dataclass(slots=True)
class Figures:
    """Of this attempt."""

    pictures: int = 0
    refused: int = 0
    """Pictures that were not encoded because they could not be masked."""
    refused_in_row: int = 0
    """Of what is recorded: likewise, or because they could not be read, since the last one that was neither."""
    faults: int = 0
    fault: str = ""
    """What `look` met last."""
    last_us: int | None = None
    """When the last picture came from the camera."""
    wall_ns: int | None = None
    """`FrameWallClock` of the last picture, where there is one, and its `capture_us` beside it."""
    wall_capture_us: int = 0
    streams: tuple[StreamName, ...] = field(default=("main",))
    """What is encoded; first what is recorded, then the proxy's."""


class PictureWatch:
    """`look` and `seen` are of the camera's thread; the figures are any thread's to read."""

    def __init__(
        self, clock: Clock, hook: FrameHook, mapped: Callable[..., Any], streams: tuple[StreamName, ...]
    ) -> None:
        """`mapped` is picamera2's `MappedArray`; `streams` as in `Figures`."""
        self.figures = Figures(streams=streams)
        self.sensor_clock = SensorClock(clock)
        self._clock = clock
        self._hook = hook
        self._mapped = mapped
        self._seen: OrderedDict[int, Seen] = OrderedDict()

    def look(self, request: Any) -> int | None:  # noqa: ANN401 -- picamera2 has no types
        """A picture came from the camera; when it was taken, or None: it could not be looked at."""
        self._seen.pop(id(request), None)
        try:
            return self._look(request)
        except Exception as error:  # noqa: BLE001 -- it would end the camera; the picture is not encoded, and it is told
            self.figures.faults += 1
            self.figures.refused_in_row += 1
            self.figures.fault = f"{type(error).__name__}: {error}"
            return None

    def seen(self, request: object) -> Seen | None:
        """What is known of a picture; None: it was not looked at."""
        return self._seen.get(id(request))

    def _look(self, request: Any) -> int:  # noqa: ANN401 -- picamera2 has no types
        now_us = self._clock.monotonic_us()
        figures = self.figures
        figures.pictures += 1
        figures.last_us = now_us
        metadata: Mapping[str, Any] = request.get_metadata()
        sensor_ns = metadata.get("SensorTimestamp")
        capture_us = self.sensor_clock.capture_us(sensor_ns, now_us)
        wall_ns = metadata.get("FrameWallClock")
        if wall_ns is not None:
            figures.wall_ns, figures.wall_capture_us = wall_ns, capture_us
        fit = frozenset(name for name in figures.streams if self._is_fit(request, name, capture_us))
        figures.refused += len(fit) < len(figures.streams)
        # Of what is recorded alone: that a proxy cannot be masked is no reason to close the camera.
        figures.refused_in_row = 0 if figures.streams[0] in fit else figures.refused_in_row + 1
        if len(self._seen) >= _MAX_SEEN:
            self._seen.popitem(last=False)
        self._seen[id(request)] = Seen((sensor_ns or 0) // 1000, capture_us, fit)
        return capture_us

    def _is_fit(self, request: Any, name: StreamName, capture_us: int) -> bool:  # noqa: ANN401 -- picamera2 has no types
        is_recorded = name == self.figures.streams[0]
        if not is_recorded and not self._hook.draws:
            return True
        with self._mapped(request, name, reshape=False) as mapped:
            picture = picture_of_buffer(memoryview(mapped.array).cast("B"), request.config[name])
            return self._hook.apply(picture, capture_us) if is_recorded else self._hook.mask(picture)


def picture_of_buffer(memory: memoryview, config: Mapping[str, Any]) -> Picture:
    """The picture in a buffer of libcamera's, whose planes follow one another.

    Raises:
        ValueError: its format is neither YUV420 nor NV12.
    """
    (width, height), stride, name = config["size"], config["stride"], config["format"]
    luma_bytes = stride * height
    luma = Plane(memory[:luma_bytes], stride, width, height)
    half_width, half_height = (width + 1) // 2, (height + 1) // 2
    if name == "NV12":
        colours = memory[luma_bytes : luma_bytes + stride * half_height]
        return Picture(width, height, "nv12", (luma, Plane(colours, stride, half_width, half_height, 2)))
    if name == "YUV420":
        step = stride // 2 * half_height
        at = [luma_bytes, luma_bytes + step]
        planes = (Plane(memory[start : start + step], stride // 2, half_width, half_height) for start in at)
        return Picture(width, height, "yuv420p", (luma, *planes))
    raise ValueError(f"the camera gives {name}, on which masks cannot be drawn")
