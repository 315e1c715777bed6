"""Whether a stream gives what the law's minimum asks: 704×576 pixels at a genuine 12 pictures a second."""

from typing import Literal

from edge_agent.contract.access_unit import AccessUnit, CodecConfig

QualityWarning = Literal["resolution-below-legal-minimum", "frame-rate-below-legal-minimum"]
"""Codes that go into log, health and manifest."""

MIN_LONG_SIDE_PX = 704
MIN_SHORT_SIDE_PX = 576
MIN_FPS = 12.0
_TOLERANCE_FPS = 0.1  # a nominal 12 fps, measured over a window that jitter moves, is 12 fps
_WINDOW_US = 5_000_000


class QualityMeter:
    """Counts pictures by capture time; what an encoder claims does not count."""

    def __init__(self) -> None:
        self.fps: float | None = None
        """Measured over the last full window; None before the first."""
        self._small = False
        self._begin_us: int | None = None
        self._pictures = 0

    def start(self, config: CodecConfig) -> None:
        """A stream begins; a camera on its side is as good as one upright."""
        short_px, long_px = sorted((config.width_px, config.height_px))
        self._small = long_px > 0 and (long_px < MIN_LONG_SIDE_PX or short_px < MIN_SHORT_SIDE_PX)
        self._begin_us = None

    def add(self, unit: AccessUnit) -> bool:
        """Count a picture; True when a window was completed and `fps` is fresh."""
        if self._begin_us is None:
            self._begin_us, self._pictures = unit.capture_us, 0
            return False
        self._pictures += 1
        elapsed_us = unit.capture_us - self._begin_us
        if elapsed_us < _WINDOW_US:
            return False
        self.fps = self._pictures * 1e6 / elapsed_us
        self._begin_us, self._pictures = unit.capture_us, 0
        return True

    @property
    def warnings(self) -> tuple[QualityWarning, ...]:
        """What falls short now."""
        found: list[QualityWarning] = []
        if self._small:
            found.append("resolution-below-legal-minimum")
        if self.fps is not None and self.fps < MIN_FPS - _TOLERANCE_FPS:
            found.append("frame-rate-below-legal-minimum")
        return tuple(found)
