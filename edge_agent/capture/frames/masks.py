"""Privacy masks: areas that are filled before the encoder sees the picture.

A polygon is filled once, at half the resolution, one sample for each block of 2×2 pixels that share their colour, and
grown by a block, so that no pixel it touches is left; what remains a picture is a list of row pieces to be filled. A
still that is larger than the recording has smaller blocks: masks are grown by more of them there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from PIL import Image, ImageDraw, ImageFilter

from edge_agent.camera_settings import Polygon
from edge_agent.capture.frames.picture import BLACK_LUMA, GREY_CHROMA, Picture, Plane

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

    def __init__(self, polygons: Sequence[Polygon], picture: Picture, grown_by_blocks: int = 1) -> None:
        """Work out what is to be filled in pictures like this one.

        Args:
            polygons: the masks.
            picture: one like those that come.
            grown_by_blocks: on each side.
        """
        size = (picture.width_px + 1) // 2, (picture.height_px + 1) // 2
        rows = _covered(polygons, *size, grown_by_blocks)
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


def _covered(polygons: Sequence[Polygon], width: int, height: int, grown_by: int) -> Rows:
    blocks = Image.new("L", (width, height), 0)
    pen = ImageDraw.Draw(blocks)
    for polygon in polygons:
        corners = [(x * width, y * height) for x, y in polygon]
        pen.line([*corners, corners[0]], fill=255)  # what is thinner than a block
        _fill_inside(pen, corners, height)
    for _ in range(grown_by):
        blocks = blocks.filter(ImageFilter.MaxFilter(3))
    grown = blocks.tobytes()
    return [_stretches(grown[row * width : (row + 1) * width]) for row in range(height)]


def _fill_inside(pen: ImageDraw.ImageDraw, corners: list[tuple[float, float]], height: int) -> None:
    """All around which the outline winds, by the scan-line rule (non-zero winding), also where it crosses itself.

    Pillow's own polygon leaves parts of outlines that cross themselves open, and so would the even-odd rule.
    """
    edges = [(start, end) for start, end in pairwise([*corners, corners[0]]) if start[1] != end[1]]
    for half_row in range(2 * height):  # rows of pixels
        y = half_row / 2 + 0.25
        crossings = sorted(
            (ax + (y - ay) * (bx - ax) / (by - ay), 1 if ay < by else -1)
            for (ax, ay), (bx, by) in edges
            if min(ay, by) <= y < max(ay, by)
        )
        winding = 0
        for (left, turn), (right, _) in pairwise(crossings):
            winding += turn
            if winding:
                pen.line([(int(left), half_row // 2), (int(right), half_row // 2)], fill=255)


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
