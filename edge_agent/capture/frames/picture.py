"""An uncompressed picture in memory that may be drawn on, whoever owns the memory: libav, or a camera's driver."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import av

Layout = Literal["yuv420p", "nv12"]
"""4:2:0 with 8 bits a sample: luma, then two planes of colour (`yuv420p`, I420) or one of pairs (`nv12`)."""

BLACK_LUMA = 16
GREY_CHROMA = 128
"""ITU-R BT.601 and BT.709, limited range: black."""


@dataclass(frozen=True, slots=True)
class Plane:
    """One plane.

    Attributes:
        memory: its bytes, flat and writable.
        stride_bytes: from the beginning of a row to that of the next.
        width: samples a row; of `nv12`'s colour, pairs.
        height: rows.
        sample_bytes: 1; of `nv12`'s colour, 2.
    """

    memory: memoryview
    stride_bytes: int
    width: int
    height: int
    sample_bytes: int = 1


class Picture:
    """A picture that may be drawn on until it is handed on.

    Attributes:
        width_px: of the picture.
        height_px: of the picture.
        layout: how its planes are laid out.
    """

    __slots__ = ("_given", "_planes", "height_px", "layout", "width_px")

    def __init__(
        self,
        width_px: int,
        height_px: int,
        layout: Layout,
        planes: tuple[Plane, ...] | Callable[[], tuple[Plane, ...]],
    ) -> None:
        """Planes may be given as what finds them: most pictures are neither drawn on nor looked at."""
        self.width_px = width_px
        self.height_px = height_px
        self.layout = layout
        self._given = planes
        self._planes: tuple[Plane, ...] | None = None

    @property
    def planes(self) -> tuple[Plane, ...]:
        """Luma first."""
        if self._planes is None:
            self._planes = self._given() if callable(self._given) else self._given
        return self._planes


def picture_of(frame: av.VideoFrame) -> Picture:
    """The picture in a frame of libav's, which has to be the only holder of its memory (`make_writable`).

    Raises:
        ValueError: the frame is of another layout; `frame.reformat(format="yuv420p")` before.
    """
    layout = frame.format.name
    if layout in {"yuv420p", "yuvj420p"}:
        return Picture(frame.width, frame.height, "yuv420p", partial(_planes_of, frame, 1))
    if layout == "nv12":
        return Picture(frame.width, frame.height, "nv12", partial(_planes_of, frame, 2))
    raise ValueError(f"a picture of {layout} cannot be drawn on")


def _planes_of(frame: av.VideoFrame, colour_bytes: int) -> tuple[Plane, ...]:
    luma, *colours = frame.planes
    width, height = (frame.width + 1) // 2, (frame.height + 1) // 2
    return (
        Plane(memoryview(luma), luma.line_size, frame.width, frame.height),
        *(Plane(memoryview(plane), plane.line_size, width, height, colour_bytes) for plane in colours),
    )
