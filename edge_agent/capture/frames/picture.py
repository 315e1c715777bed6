"""An uncompressed picture in memory that may be drawn on, whoever owns the memory: libav, or a camera's driver."""

from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that may be drawn on until it is handed on.

    Attributes:
        width_px: of the picture.
        height_px: of the picture.
        layout: how its planes are laid out.
        planes: luma first.
    """

    width_px: int
    height_px: int
    layout: Layout
    planes: tuple[Plane, ...]


def picture_of(frame: av.VideoFrame) -> Picture:
    """The picture in a frame of libav, which has to be the only holder of its memory (`make_writable`).

    Raises:
        ValueError: the frame is of another layout; `frame.reformat(format="yuv420p")` before.
    """
    layout = frame.format.name
    width, height = frame.width, frame.height
    half_width, half_height = (width + 1) // 2, (height + 1) // 2
    planes = frame.planes  # made anew at each look
    memories = [memoryview(plane).cast("B") for plane in planes]
    strides = [plane.line_size for plane in planes]
    luma = Plane(memories[0], strides[0], width, height)
    if layout in {"yuv420p", "yuvj420p"}:
        colours = tuple(Plane(memories[at], strides[at], half_width, half_height) for at in (1, 2))
        return Picture(width, height, "yuv420p", (luma, *colours))
    if layout == "nv12":
        return Picture(width, height, "nv12", (luma, Plane(memories[1], strides[1], half_width, half_height, 2)))
    raise ValueError(f"a picture of {layout} cannot be drawn on")
