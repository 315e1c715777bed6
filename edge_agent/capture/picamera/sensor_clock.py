"""When the sensor took a picture, on the recorder's clock.

libcamera's `SensorTimestamp` is documented as CLOCK_BOOTTIME in nanoseconds; it is what the kernel's video interface
stamps, which is CLOCK_MONOTONIC. The two differ on a board that was suspended. A stamp is taken for whichever makes
the picture a little older than now; one that fits neither, or stands still, is replaced by the time of arrival.
"""

from typing import Literal

from edge_agent.clock import Clock

Doubt = Literal["timestamps-stand-still", "timestamps-of-another-clock"]

_MOST_AGE_US = 5_000_000
_FUTURE_US = 20_000
_STILL = 3
"""So many pictures in a row with the same stamp."""


class SensorClock:
    """Dates the pictures of one attempt, in the order in which they come."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last_ns: int | None = None
        self._repeated = 0
        self._last_capture_us = 0
        self.doubt: Doubt | None = None
        """What is wrong with the stamps now."""

    def capture_us(self, sensor_ns: int | None, arrival_us: int) -> int:
        """`Clock.monotonic_us` of the picture; rises from picture to picture."""
        told_us = (
            None if sensor_ns is None or self._stands_still(sensor_ns) else self._boottime_us(sensor_ns, arrival_us)
        )
        capture_us = arrival_us if told_us is None else told_us
        self._last_capture_us = max(capture_us, self._last_capture_us + 1)
        return self._last_capture_us

    def _stands_still(self, sensor_ns: int) -> bool:
        if sensor_ns != self._last_ns:
            self._last_ns, self._repeated = sensor_ns, 0
            return False
        self._repeated += 1
        if self._repeated >= _STILL:
            self.doubt = "timestamps-stand-still"
        return True

    def _boottime_us(self, sensor_ns: int, arrival_us: int) -> int | None:
        sensor_us = sensor_ns // 1000
        for candidate_us in (self._clock.boottime_of_monotonic_us(sensor_us), sensor_us):
            if -_FUTURE_US <= arrival_us - candidate_us <= _MOST_AGE_US:
                self.doubt = None
                return min(candidate_us, arrival_us)
        self.doubt = "timestamps-of-another-clock"
        return None


def wall_difference_us(clock: Clock, frame_wall_ns: int, capture_us: int) -> int:
    """How far libcamera's own UTC of a picture (`FrameWallClock`) is ahead of the recorder's for the same instant."""
    own_us = clock.wall_us() - (clock.monotonic_us() - capture_us)
    return frame_wall_ns // 1000 - own_us
