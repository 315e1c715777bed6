"""Whether pictures come as often as the camera said."""

from fractions import Fraction

_WINDOW_US = 10_000_000
_TOO_FEW = Fraction(3, 4)


class RateWatch:
    """Counts pictures over windows of ten seconds, those that were left out too."""

    def __init__(self, expected_fps: Fraction) -> None:
        self.expected_fps = expected_fps
        self._begun_us: int | None = None
        self._pictures = 0
        self.measured_fps: float | None = None
        """Over the last whole window."""

    @property
    def is_slow(self) -> bool:
        """Less than three quarters of what was said."""
        return self.measured_fps is not None and self.measured_fps < self.expected_fps * _TOO_FEW

    def add(self, arrival_us: int) -> bool:
        """A picture came; whether that completed a window."""
        if self._begun_us is None:
            self._begun_us = arrival_us
            return False
        self._pictures += 1
        passed_us = arrival_us - self._begun_us
        if passed_us < _WINDOW_US:
            return False
        self.measured_fps = self._pictures * 1_000_000 / passed_us
        self._begun_us, self._pictures = arrival_us, 0
        return True
