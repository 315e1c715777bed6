"""Text in the picture: unit, site, local time and its offset from UTC.

A thread of its own draws the line of the next second ahead of time; the frame hook only copies it in. A second whose
line is not ready when its pictures come has none: a clock in the picture that is wrong is worse than none.
"""

import threading
from dataclasses import dataclass
from datetime import datetime, tzinfo

from PIL import Image, ImageDraw, ImageFont

from edge_agent.capture.frames.picture import BLACK_LUMA, GREY_CHROMA, Picture, Plane
from edge_agent.clock import Clock
from edge_agent.errors import CaptureError

_SHARE_OF_HEIGHT = 1 / 36
_LEAST_PX = 10
_MARGIN_PX = 4
_WHITE_LUMA = 235
_AHEAD_S = 2
_KEPT = 8
_PAUSE_S = 0.25
_IDLE_US = 10_000_000

Key = tuple[int, int, int]
"""Second of UTC, and the picture's size."""


@dataclass(frozen=True, slots=True)
class _Line:
    """A drawn line: rows of luma, even in both sizes."""

    width: int
    rows: tuple[bytes, ...]


class TextLine:
    """Draws ahead, and copies in."""

    def __init__(self, label: str, zone: tzinfo, clock: Clock) -> None:
        """`label` is what stands before the time: the unit and its site."""
        self._label = label
        self._zone = zone
        self._clock = clock
        self._lock = threading.Lock()  # protects what follows
        self._lines: dict[Key, _Line] = {}
        self._sizes: dict[tuple[int, int], int] = {}
        """Sizes that are asked for, and when last, monotonic."""
        self._drawer: threading.Thread | None = None
        self._fault = ""
        """Why no line could be drawn, the last time. One reference, swapped whole."""

    def draw(self, picture: Picture, capture_us: int) -> bool:
        """Copy the line of a picture's second in; False when it is not there.

        Raises:
            CaptureError: lines cannot be drawn.
        """
        utc_us = self._clock.wall_us() - (self._clock.monotonic_us() - capture_us)
        size = (picture.width_px, picture.height_px)
        line = self._line(utc_us // 1_000_000, size)
        if line is None:
            if self._fault:
                raise CaptureError(self._fault)
            return False
        _copy(line, picture)
        return True

    def _line(self, second: int, size: tuple[int, int]) -> _Line | None:
        with self._lock:
            self._sizes[size] = self._clock.monotonic_us()
            if self._drawer is None:
                self._drawer = threading.Thread(target=self._draw_ahead, name="text-line", daemon=True)
                self._drawer.start()
            return self._lines.get((second, *size))

    def _draw_ahead(self) -> None:
        """Until nobody asks any more."""
        pause = threading.Event()
        while (sizes := self._sizes_asked_for()) is not None:
            try:
                self._draw_for(sizes)
            except Exception as error:  # noqa: BLE001 -- told by `draw`, picture by picture, until a line can be drawn
                self._fault = f"{type(error).__name__}: {error}"
            else:
                self._fault = ""
            self._clock.wait(pause, _PAUSE_S)

    def _draw_for(self, sizes: tuple[tuple[int, int], ...]) -> None:
        second = self._clock.wall_us() // 1_000_000
        for ahead in range(-1, _AHEAD_S + 1):
            for size in sizes:
                self._see_to((second + ahead, *size))

    def _sizes_asked_for(self) -> tuple[tuple[int, int], ...] | None:
        """Of the pictures that came lately; None, and the thread is forgotten, when none did."""
        now_us = self._clock.monotonic_us()
        with self._lock:
            self._sizes = {size: at for size, at in self._sizes.items() if now_us - at < _IDLE_US}
            if not self._sizes:
                self._drawer = None
                self._lines.clear()
                return None
            return tuple(self._sizes)

    def _see_to(self, key: Key) -> None:
        with self._lock:
            if key in self._lines:
                return
        line = self._drawn(*key)
        with self._lock:
            self._lines[key] = line
            while len(self._lines) > _KEPT * max(len(self._sizes), 1):
                self._lines.pop(next(iter(self._lines)))

    def _drawn(self, second: int, width_px: int, height_px: int) -> _Line:
        at = datetime.fromtimestamp(second, self._zone)
        offset = at.strftime("%z")
        time = f"{at:%Y-%m-%d %H:%M:%S} UTC{offset[:3]}:{offset[3:]}"
        return _rasterised(f"{self._label}  {time}", time, width_px, height_px)


def _rasterised(text: str, time: str, width_px: int, height_px: int) -> _Line:
    """White on black, as high as a thirty-sixth of the picture, or as fits its width.

    A time whose end is cut off reads as another one: where not even the smallest letters fit, it stands alone.
    """
    size_px = max(_LEAST_PX, round(height_px * _SHARE_OF_HEIGHT))
    while size_px > _LEAST_PX and not _fits(text, size_px, width_px):
        size_px -= 1
    if not _fits(text, size_px, width_px):
        text = time
    font = ImageFont.load_default(size_px)
    left, top, right, bottom = font.getbbox(text)
    width = min(int(right - left) + 2 * _MARGIN_PX, width_px) // 2 * 2
    height = min(int(bottom - top) + 2 * _MARGIN_PX, height_px) // 2 * 2
    image = Image.new("L", (max(width, 2), max(height, 2)), BLACK_LUMA)
    ImageDraw.Draw(image).text((_MARGIN_PX - left, _MARGIN_PX - top), text, fill=_WHITE_LUMA, font=font)
    luma = image.tobytes()
    return _Line(image.width, tuple(luma[row * image.width : (row + 1) * image.width] for row in range(image.height)))


def _fits(text: str, size_px: int, width_px: int) -> bool:
    left, _, right, _ = ImageFont.load_default(size_px).getbbox(text)
    return right - left + 2 * _MARGIN_PX <= width_px


def _copy(line: _Line, picture: Picture) -> None:
    luma, *colours = picture.planes
    for row, samples in enumerate(line.rows):
        start = row * luma.stride_bytes
        luma.memory[start : start + line.width] = samples
    for plane in colours:
        _grey(plane, line.width // 2, len(line.rows) // 2)


def _grey(plane: Plane, width: int, height: int) -> None:
    length_bytes = width * plane.sample_bytes
    filling = bytes([GREY_CHROMA]) * length_bytes
    for row in range(height):
        start = row * plane.stride_bytes
        plane.memory[start : start + length_bytes] = filling
