"""When a picture was taken, by its driver's stamp where that can be believed; and what was lost on the way."""

from dataclasses import dataclass

from edge_agent.capture.v4l2.buffers import Filled
from edge_agent.clock import Clock

_STANDING = 5
"""So many pictures in a row whose stamps do not rise."""
_EARLIEST_US = 5_000_000
_LATEST_US = 100_000
"""A stamp lies so far before its arrival at most, and no more than this after it."""
RELIABLE = 100
"""So many stamps in a row that rose are believed again."""
_SEQUENCE = 1 << 32
_LONG = 10_000
"""A greater step of the frame count is a count that began anew."""


@dataclass(slots=True)
class Counts:
    """Of one attempt."""

    pictures: int = 0
    """Buffers that came, damaged ones too."""
    damaged: int = 0
    """Left out: flagged by the driver, torn or undecodable."""
    lost: int = 0
    """Missing in the driver's frame count."""


class Stamper:
    """Dates the buffers of one attempt, in the order in which they came."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last_stamp_us: int | None = None
        self._standing = 0
        self._sequence: int | None = None
        self.fault = ""
        """Why stamps are not believed, for people; empty while they are."""
        self.rose = 0
        """Pictures in a row whose stamps rose."""

    def capture_us(self, filled: Filled, arrival_us: int) -> int | None:
        """Monotonic time at which a picture was taken; None when only its arrival is known.

        What a driver stamps with the end of the frame is later than the exposure by the read-out, some 10 to 30 ms.
        """
        self._judge(filled.stamp_us)
        if self._standing >= _STANDING:
            self.fault = "its time stamps stand still"
        elif not filled.is_monotonic:
            self.fault = "its time stamps are of a clock that the driver does not name"
        elif self._standing:
            return None
        else:
            taken_us = self._clock.boottime_of_monotonic_us(filled.stamp_us)
            if arrival_us - _EARLIEST_US <= taken_us <= arrival_us + _LATEST_US:
                return min(taken_us, arrival_us)
            self.fault = f"its time stamps are {(taken_us - arrival_us) / 1e6:+.1f} s off"
        return None

    def _judge(self, stamp_us: int) -> None:
        if self._last_stamp_us is not None and stamp_us <= self._last_stamp_us:
            self._standing += 1
            self.rose = 0
        else:
            self._standing = 0
            self.rose += 1
            if self.rose % RELIABLE == 0:
                self.fault = ""  # and told of again at once where it is not for standing still
        self._last_stamp_us = stamp_us

    def lost_before(self, filled: Filled) -> int:
        """Frames that the driver counted and nobody got, just before this one."""
        last, self._sequence = self._sequence, filled.sequence
        if last is None:
            return 0
        step = (filled.sequence - last) % _SEQUENCE
        return step - 1 if 1 < step < _LONG else 0
