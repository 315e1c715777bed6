"""Privacy masks: areas that are filled before the encoder sees the picture.

A polygon is drawn once, at half the resolution, one sample for each block of 2×2 pixels that share their colour, and
grown by a block, so that no pixel it touches is left; what remains a picture is a list of row pieces to be filled.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from PIL import Image, ImageDraw, ImageFilter

from edge_agent.camera_settings import Polygon
from edge_agent.capture.frames.picture import BLACK_LUMA, GREY_CHROMA, Picture, Plane

_GROWN_BY_BLOCKS = 3  # side of the neighbourhood that a covered block makes covered: one on each side

Rows = list[list[tuple[int, int]]]
"""For each row of blocks, where covered stretches begin and end."""


@dataclass(frozen=True, slots=True)
class _Fill:
    """A piece of a plane: `memory[start:stop] = filling`."""

    start: int
    stop: int
    filling: bytes


class MaskPainter:
    """Fills the masks in pictures of one geometry."""

    def __init__(self, polygons: Sequence[Polygon], picture: Picture) -> None:
        """Work out what is to be filled in pictures like this one."""
        rows = _covered(polygons, (picture.width_px + 1) // 2, (picture.height_px + 1) // 2)
        luma, *colours = picture.planes
        self._fills: list[list[_Fill]] = [_luma_fills(rows, luma), *(_colour_fills(rows, plane) for plane in colours)]
        self._geometry = geometry_of(picture)

    def paint(self, picture: Picture) -> None:
        """Fill.

        Raises:
            ValueError: the picture is of another geometry; nothing was filled.
        """
        if geometry_of(picture) != self._geometry:
            raise ValueError("a picture of another geometry")
        for plane, fills in zip(picture.planes, self._fills, strict=True):
            memory = plane.memory
            for fill in fills:
                memory[fill.start : fill.stop] = fill.filling


def geometry_of(picture: Picture) -> tuple[object, ...]:
    """What has to be alike for the same pieces to be filled."""
    planes = ((plane.stride_bytes, len(plane.memory)) for plane in picture.planes)
    return (picture.width_px, picture.height_px, picture.layout, *planes)


def _covered(polygons: Sequence[Polygon], width: int, height: int) -> Rows:
    blocks = Image.new("L", (width, height), 0)
    pen = ImageDraw.Draw(blocks)
    for polygon in polygons:
        corners = [(x * (width - 1), y * (height - 1)) for x, y in polygon]
        pen.polygon(corners, fill=255, outline=255)
        pen.line([*corners, corners[0]], fill=255)
    grown = blocks.filter(ImageFilter.MaxFilter(_GROWN_BY_BLOCKS)).tobytes()
    return [_stretches(grown[row * width : (row + 1) * width]) for row in range(height)]


def _stretches(row: bytes) -> list[tuple[int, int]]:
    edges = [0, *(at for at, (left, right) in enumerate(pairwise(row), 1) if left != right), len(row)]
    return [(begin, end) for begin, end in pairwise(edges) if row[begin]]


def _luma_fills(rows: Rows, plane: Plane) -> list[_Fill]:
    return [
        _fill(plane, row, 2 * begin, min(2 * end, plane.width), bytes([BLACK_LUMA]))
        for block_row, stretches in enumerate(rows)
        for row in (2 * block_row, 2 * block_row + 1)
        if row < plane.height
        for begin, end in stretches
    ]


def _colour_fills(rows: Rows, plane: Plane) -> list[_Fill]:
    grey = bytes([GREY_CHROMA] * plane.sample_bytes)
    return [_fill(plane, row, begin, end, grey) for row, stretches in enumerate(rows) for begin, end in stretches]


def _fill(plane: Plane, row: int, begin: int, end: int, sample: bytes) -> _Fill:
    offset = row * plane.stride_bytes
    size_bytes = plane.sample_bytes
    return _Fill(offset + begin * size_bytes, offset + end * size_bytes, sample * (end - begin))
