"""A drawn street: sky, buildings, a road, cars, people, the unit's name and a running clock.

The background is drawn once; a picture is a copy of it with a few rectangles and two lines of text, straight into
planes of 4:2:0 video, so that 25 pictures a second at 1280×720 cost little.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_agent.capture import timecode
from edge_agent.contract.times import format_utc

Plane = NDArray[np.uint8]

_GREY = 128
_SKY = (190, 150, 112)
_ROAD = (70, 128, 128)
_PAVEMENT = (140, 126, 130)
_LINE = (220, 128, 128)
_WINDOW = (60, 135, 120)
_GLASS = (40, 132, 124)
_WALLS = ((120, 118, 140), (150, 120, 136), (100, 124, 134), (165, 116, 132))
_CARS = ((90, 110, 190), (200, 128, 128), (60, 160, 110), (130, 90, 140), (40, 128, 128))
_COATS = ((60, 120, 150), (110, 140, 110), (170, 118, 138))


@dataclass(frozen=True, slots=True)
class _Mover:
    """A thing that crosses the picture: place and size as shares of the picture, speed in picture widths a second."""

    y: float
    width: float
    height: float
    speed: float
    phase: float
    colour: tuple[int, int, int]


def _movers() -> tuple[_Mover, ...]:
    cars = tuple(
        _Mover(
            0.74 + 0.09 * (index % 2), 0.13, 0.08, (0.16 + 0.03 * index) * (1 - 2 * (index % 2)), 0.37 * index, colour
        )
        for index, colour in enumerate(_CARS)
    )
    people = tuple(
        _Mover(0.60, 0.014, 0.085, (0.02 + 0.007 * index) * (1 - 2 * (index % 2)), 0.29 * index, colour)
        for index, colour in enumerate(_COATS)
    )
    return people + cars


class Scene:
    """Draws pictures of one size."""

    def __init__(self, width_px: int, height_px: int, title: str) -> None:
        """Prepare the background; both sizes are even."""
        self._width_px, self._height_px = width_px, height_px
        self._background = np.full((height_px * 3 // 2, width_px), _GREY, dtype=np.uint8)  # shows between buildings
        self._movers = _movers()
        self._text_scale = max(0.4, height_px / 720)
        self._paint_background(self._background)
        self._write(self._background, title, height_px - round(14 * self._text_scale))

    def draw(self, utc_us: int, frame: int) -> Plane:
        """A picture in planar 4:2:0 (luma rows, then both chroma planes), as it looks at that time."""
        picture = self._background.copy()
        seconds = (utc_us % 3_600_000_000) / 1e6
        for mover in self._movers:
            self._paint_mover(picture, mover, seconds)
        self._write(picture, format_utc(utc_us), self._height_px - round(50 * self._text_scale))
        timecode.draw(picture[: self._height_px], timecode.TimeCode(utc_us // 1000, frame))
        return picture

    def _paint_background(self, picture: Plane) -> None:
        self._fill(picture, 0.0, 0.0, 1.0, 0.5, _SKY)
        for index in range(8):
            top = 0.12 + 0.05 * (index * 5 % 7)
            self._fill(picture, index / 8, top, 0.122, 0.62 - top, _WALLS[index % len(_WALLS)])
            for row in range(int((0.55 - top) / 0.07)):
                for column in range(3):
                    colour = _GLASS if (row + column + index) % 3 else _WINDOW
                    self._fill(
                        picture, index / 8 + 0.012 + column * 0.038, top + 0.03 + row * 0.07, 0.02, 0.035, colour
                    )
        self._fill(picture, 0.0, 0.62, 1.0, 0.1, _PAVEMENT)
        self._fill(picture, 0.0, 0.7, 1.0, 0.3, _ROAD)
        for index in range(10):
            self._fill(picture, index / 10 + 0.02, 0.83, 0.05, 0.008, _LINE)
        luma = picture[: self._height_px]
        noise = np.random.default_rng(7).integers(-6, 7, size=luma.shape, dtype=np.int16)
        luma[...] = np.clip(luma.astype(np.int16) + noise, 16, 235).astype(np.uint8)

    def _paint_mover(self, picture: Plane, mover: _Mover, seconds: float) -> None:
        span = 1.0 + 2 * mover.width
        left = (mover.phase + mover.speed * seconds) % span - mover.width
        self._fill(picture, left, mover.y, mover.width, mover.height, mover.colour)
        self._fill(picture, left + mover.width * 0.2, mover.y + 0.01, mover.width * 0.6, mover.height * 0.3, _GLASS)

    def _fill(
        self, picture: Plane, left: float, top: float, width: float, height: float, colour: tuple[int, int, int]
    ) -> None:
        """A rectangle; places and sizes are shares of the picture and may reach beyond it."""
        x0, x1 = (2 * round(max(0.0, min(1.0, x)) * self._width_px / 2) for x in (left, left + width))
        y0, y1 = (2 * round(max(0.0, min(1.0, y)) * self._height_px / 2) for y in (top, top + height))
        picture[y0:y1, x0:x1] = colour[0]
        chroma = picture[self._height_px :].reshape(2, self._height_px // 2, self._width_px // 2)
        chroma[0, y0 // 2 : y1 // 2, x0 // 2 : x1 // 2] = colour[1]
        chroma[1, y0 // 2 : y1 // 2, x0 // 2 : x1 // 2] = colour[2]

    def _write(self, picture: Plane, text: str, baseline_px: int) -> None:
        """White text on a dark strip, luma only."""
        luma = picture[: self._height_px]
        scale = self._text_scale * 0.9
        (width_px, height_px), below_px = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 2)
        left_px = round(16 * self._text_scale)
        luma[baseline_px - height_px - 4 : baseline_px + below_px, left_px - 4 : left_px + width_px + 4] = 16
        cv2.putText(luma, text, (left_px, baseline_px), cv2.FONT_HERSHEY_SIMPLEX, scale, 235, 2)
