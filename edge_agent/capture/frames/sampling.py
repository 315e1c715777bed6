"""Image health: whether a camera shows anything at all. Nothing of what it shows is analysed.

A few samples of luma are taken from a picture now and then. Black means no light, a cap, or a camera that sends
nothing; the very same samples again and again mean a camera that hangs, for a sensor's noise never repeats.
"""

from dataclasses import dataclass

from edge_agent.capture.frames.masks import geometry_of
from edge_agent.capture.frames.picture import Picture

SAMPLE_EVERY_US = 1_000_000
_GRID = 64
_BLACK_LUMA = 28
"""Limited range begins at 16; a sensor in the dark, its noise included, is brighter than this."""
BLACK_AFTER_US = 10_000_000
FROZEN_AFTER_US = 30_000_000
DECODED_FROZEN_AFTER_US = 300_000_000
"""Encoders leave out what hardly changes, some between two key frames a minute apart."""


@dataclass(frozen=True, slots=True)
class ImageHealth:
    """What the last samples say.

    Attributes:
        mean_luma: 16 (black) to 235 (white).
        is_black: for over `BLACK_AFTER_US` there was nothing brighter than black.
        is_frozen: for over `ImageSampler.frozen_after_us` nothing changed; never of a black picture.
    """

    mean_luma: float
    is_black: bool
    is_frozen: bool


class ImageSampler:
    """Takes samples, and judges them; one thread's."""

    def __init__(self, sample_every_us: int = SAMPLE_EVERY_US) -> None:
        self.health: ImageHealth | None = None
        """As last judged; None before the first sample. One reference, swapped whole."""
        self.looked_us = 0
        """Capture time of the last sample, monotonic."""
        self.frozen_after_us = FROZEN_AFTER_US
        self._every_us = sample_every_us
        self._due_us = 0
        self._last = b""
        self._geometry: tuple[object, ...] = ()
        self._black_since_us: int | None = None
        self._same_since_us: int | None = None

    def is_due(self, capture_us: int) -> bool:
        """Whether the next picture is to be looked at."""
        return capture_us >= self._due_us or capture_us < self._due_us - 10 * self._every_us

    def look(self, picture: Picture, capture_us: int) -> None:
        """Take samples of a picture."""
        self.looked_us = capture_us
        self._due_us = capture_us + self._every_us
        samples = _samples(picture)
        geometry = geometry_of(picture)
        is_same = samples == self._last and geometry == self._geometry
        is_black = max(samples, default=0) <= _BLACK_LUMA
        self._last, self._geometry = samples, geometry
        self._black_since_us = _since(self._black_since_us, capture_us, holds=is_black)
        self._same_since_us = _since(self._same_since_us, capture_us, holds=is_same)
        was_black = _lasted(self._black_since_us, capture_us, BLACK_AFTER_US)
        was_same = _lasted(self._same_since_us, capture_us, self.frozen_after_us)
        self.health = ImageHealth(sum(samples) / max(len(samples), 1), was_black, was_same and not was_black)


def _samples(picture: Picture) -> bytes:
    """Luma at the crossings of a grid of at most 64×64."""
    luma = picture.planes[0]
    step_x, step_y = max(luma.width // _GRID, 1), max(luma.height // _GRID, 1)
    rows = range(step_y // 2, luma.height, step_y)
    starts = (row * luma.stride_bytes for row in rows)
    return b"".join(bytes(luma.memory[start : start + luma.width : step_x]) for start in starts)


def _since(since_us: int | None, now_us: int, *, holds: bool) -> int | None:
    if not holds:
        return None
    return now_us if since_us is None else since_us


def _lasted(since_us: int | None, now_us: int, limit_us: int) -> bool:
    return since_us is not None and now_us - since_us >= limit_us
