"""How many pictures a second really come, against what was asked for and what the camera says."""

from dataclasses import dataclass

_WINDOW_US = 5_000_000
_TOLERANCE = 0.9
_FREE_FPS = 250.0
"""More than any camera may be asked for."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Over the last window.

    Attributes:
        fps: measured by arrival.
        is_slow: under nine tenths of what is expected.
        is_settled: not the first window.
        runs_free: far more than any camera sends.
    """

    fps: float
    is_slow: bool
    is_settled: bool
    runs_free: bool


class PaceMeter:
    """Counts the pictures of one attempt; the first window is not judged, in which a camera finds its exposure."""

    def __init__(self, expected_fps: float) -> None:
        """`expected_fps` is 0.0 where nothing is."""
        self.expected_fps = expected_fps
        """0.0 where nothing is."""
        self._begin_us: int | None = None
        self._count = 0
        self._windows = 0

    def add(self, arrival_us: int, pictures: int = 1) -> Pace | None:
        """Count pictures that came since the last call; the pace when a window is full."""
        if self._begin_us is None:
            self._begin_us = arrival_us
            return None
        self._count += pictures
        elapsed_us = arrival_us - self._begin_us
        if elapsed_us < _WINDOW_US:
            return None
        fps = self._count * 1e6 / elapsed_us
        self._begin_us, self._count = arrival_us, 0
        self._windows += 1
        is_slow = self._windows > 1 and fps < self.expected_fps * _TOLERANCE
        return Pace(fps, is_slow, self._windows > 1, fps > _FREE_FPS)
