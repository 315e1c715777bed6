"""Drawn streets, one file a place, for cameras that play a file.

Several cameras that are drawn and encoded as they go, as `test:` is, would be too much for a small machine.
"""

import os
import random
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
"""Rows of pixels, red, green, blue."""

WIDTH_PX, HEIGHT_PX, FPS = 1280, 720, 25
DURATION_S = 10
"""A file that is gone is noticed when it would begin again."""

_BITRATE_BPS = 2_500_000
_LANES = (-2, 3, 2)
"""Crossings of the picture in a file, of all cars in a lane."""
_SKIES = ((178, 205, 230), (232, 200, 170), (140, 160, 185))
_WALLS = ((196, 178, 150), (170, 120, 100), (150, 155, 160), (214, 200, 176), (128, 110, 104))
_CARS = ((190, 40, 40), (235, 235, 235), (40, 70, 140), (60, 60, 64), (220, 170, 40))
_WINDOW, _PAVEMENT, _ROAD, _MARK, _TYRE = (70, 84, 100), (150, 148, 144), (74, 76, 80), (230, 230, 226), (24, 24, 24)


@dataclass(frozen=True, slots=True)
class _Car:
    y: int
    rounds: int
    """Crossings in a file, to the left when negative; whole, so that its end meets its start."""
    phase: float
    colour: tuple[int, int, int]


def draw(path: Path, number: int, title: str) -> None:
    """Write a file of `DURATION_S`, H.264 without B-frames; it takes a few seconds of a processor.

    Args:
        path: takes its place when it is whole.
        number: which street; another one looks otherwise.
        title: what is written into the picture.

    Raises:
        OSError: the storage refused.
    """
    dice = random.Random(number)
    background = _street(dice, _SKIES[number % len(_SKIES)], title)
    cars = [
        _Car(480 + 62 * (car % 3), _LANES[car % 3], (number + 2 * car) * 0.19 % 1, dice.choice(_CARS))
        for car in range(5)
    ]
    partial = path.with_suffix(".partial.mp4")
    _encode(partial, background, cars)
    os.replace(partial, path)  # noqa: PTH105 -- whole or not at all; it is drawn again when it is lost


def _encode(path: Path, background: Picture, cars: list[_Car]) -> None:
    frames = DURATION_S * FPS
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", FPS, {"preset": "veryfast", "bf": "0", "g": str(FPS)})
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = WIDTH_PX, HEIGHT_PX, "yuv420p", _BITRATE_BPS
        stream.codec_context.time_base = Fraction(1, FPS)
        for number in range(frames):
            picture = background.copy()
            for car in cars:
                _paint_car(picture, car, number / frames)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


def _street(dice: random.Random, sky: tuple[int, int, int], title: str) -> Picture:
    picture = np.empty((HEIGHT_PX, WIDTH_PX, 3), dtype=np.uint8)
    picture[:] = sky
    left = 0
    while left < WIDTH_PX:
        width = dice.randrange(130, 260)
        _paint_house(picture, left, width, dice.randrange(60, 220), dice.choice(_WALLS))
        left += width
    picture[440:470], picture[470:680], picture[680:] = _PAVEMENT, _ROAD, _PAVEMENT
    for start in range(0, WIDTH_PX, 110):
        picture[572:578, start : start + 60] = _MARK
    cv2.putText(picture, title, (24, 708), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (30, 30, 30), 2, cv2.LINE_AA)
    return picture


def _paint_house(picture: Picture, left: int, width: int, top: int, wall: tuple[int, int, int]) -> None:
    right = min(left + width, WIDTH_PX)
    picture[top:440, left:right] = wall
    for y in range(top + 24, 380, 70):
        for x in range(left + 20, right - 30, 56):
            picture[y : y + 42, x : x + 28] = _WINDOW


def _paint_car(picture: Picture, car: _Car, progress: float) -> None:
    x = int((car.phase + car.rounds * progress) % 1 * (WIDTH_PX + 240)) - 200
    cv2.rectangle(picture, (x, car.y), (x + 170, car.y + 36), car.colour, cv2.FILLED)
    cv2.rectangle(picture, (x + 34, car.y - 26), (x + 130, car.y), car.colour, cv2.FILLED)
    cv2.rectangle(picture, (x + 44, car.y - 20), (x + 120, car.y - 2), _WINDOW, cv2.FILLED)
    for wheel in (x + 36, x + 134):
        cv2.circle(picture, (wheel, car.y + 36), 14, _TYRE, cv2.FILLED, cv2.LINE_AA)
