"""Which of the formats, sizes and rates on offer is asked for."""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from edge_agent.capture.v4l2.formats import BY_FOURCC, RANK, YUYV, PixelFormat
from edge_agent.capture.v4l2.node import Node, RateRange

_ENOUGH = Fraction(95, 100)
"""A rate that is no further below the one asked for counts as that one: 24 or 29.97 for 25 or 30."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is wanted of a camera.

    Attributes:
        width_px: of the picture, as the camera gives it.
        height_px: likewise.
        fps: pictures a second.
        kind: `auto`, `h264`, `mjpeg` or `yuyv`, as in the settings.
        pass_through: H.264 is recorded as it comes; else it comes last, because it would be decoded again.
    """

    width_px: int
    height_px: int
    fps: Fraction
    kind: str
    pass_through: bool


@dataclass(frozen=True, slots=True)
class Candidate:
    """A way to configure a camera.

    Attributes:
        path: of the node.
        buffer_type: of the node's pictures.
        form: the pixel format.
        width_px: on offer, or as asked where the driver does not say.
        height_px: likewise.
        fps: likewise.
    """

    path: str
    buffer_type: int
    form: PixelFormat
    width_px: int
    height_px: int
    fps: Fraction


def candidates(node: Node, buffer_type: int, wish: Wish) -> list[Candidate]:
    """One for each usable format of a node.

    Raises:
        OSError: as the kernel raised it.
    """
    found = []
    for fourcc in node.fourccs(buffer_type):
        form = BY_FOURCC.get(fourcc)
        if form is None or not _is_wanted(form, wish.kind):
            continue
        sizes = [size.nearest(wish.width_px, wish.height_px) for size in node.sizes(fourcc)]
        width_px, height_px = min(sizes or [(wish.width_px, wish.height_px)], key=lambda size: _distance(size, wish))
        fps = nearest_rate(node.rates(fourcc, width_px, height_px), wish.fps)
        found.append(Candidate(node.path, buffer_type, form, width_px, height_px, fps))
    return found


def ranked(found: Iterable[Candidate], wish: Wish) -> list[Candidate]:
    """The best first: nearest in size, fast enough, then what costs least and looks best."""

    def badness(candidate: Candidate) -> tuple[int, Fraction, int, int]:
        size = _distance((candidate.width_px, candidate.height_px), wish)
        missing = max(Fraction(0), 1 - candidate.fps / (wish.fps * _ENOUGH))
        late = int(candidate.form.kind == "h264" and not wish.pass_through)
        preferred = wish.kind == "yuyv" and candidate.form.fourcc == YUYV
        return size, missing, late, -1 if preferred else RANK[candidate.form.fourcc]

    return sorted(found, key=badness)


def nearest_rate(rates: Iterable[RateRange], asked: Fraction) -> Fraction:
    """The slowest rate on offer that is fast enough, else the fastest; as asked where the driver does not say."""
    offered = [min(max(asked, rate.min_fps), rate.max_fps) for rate in rates]
    enough = [fps for fps in offered if fps >= asked * _ENOUGH]
    return min(enough, key=lambda fps: abs(fps - asked)) if enough else max(offered, default=asked)


def _is_wanted(form: PixelFormat, kind: str) -> bool:
    if kind == "auto":
        return True
    return form.kind == {"h264": "h264", "mjpeg": "jpeg", "yuyv": "raw"}[kind]


def _distance(size: tuple[int, int], wish: Wish) -> int:
    """How far off in columns and rows; of two sizes as far off, the larger one wins."""
    width_px, height_px = size
    is_smaller = width_px * height_px < wish.width_px * wish.height_px
    return 2 * (abs(width_px - wish.width_px) + abs(height_px - wish.height_px)) + int(is_smaller)
