"""Whether a pipeline's stamps can be believed, picture by picture.

A pipeline's clock is CLOCK_MONOTONIC whatever its elements offer (`pipeline_child` sees to that), so base time plus
running time of a picture of a live source is when it was taken, as well as the source stamps it. A source that
stamps by another clock, or stands still, shows itself: its pictures are from the future, far too old, or all from the
same instant. Then they are dated by their arrival, and that is reported.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from edge_agent.capture.dater import to_90k
from edge_agent.capture.gstreamer.framing import Times

Doubt = Literal["timestamps-stand-still", "timestamps-of-another-clock"]
"""Codes of what is wrong."""

_FUTURE_US = 500_000
"""B-frames of a file that is played come early."""
_PAST_US = 20_000_000
"""An encoder that looks ahead holds pictures back for seconds; longer than this is another clock."""
_STILL = 3
_CLEAR_AFTER = 250


@dataclass(frozen=True, slots=True)
class Stamps:
    """Of a picture, at 90 kHz on the pipeline's running time; `capture_us` as `Clock.monotonic_us`."""

    pts_90k: int | None
    dts_90k: int | None
    duration_90k: int
    capture_us: int | None


class StampJudge:
    """Judges the pictures of one attempt, in the order in which they come."""

    def __init__(self, boottime_of_us: Callable[[int], int]) -> None:
        """`boottime_of_us` gives `Clock.monotonic_us` of an instant of CLOCK_MONOTONIC, both in µs."""
        self._boottime_of_us = boottime_of_us
        self._last_pts: int | None = None
        self._repeated = 0
        self._sound = 0
        self.doubt: Doubt | None = None
        """What is wrong with the stamps now."""

    def judge(self, times: Times, arrival_us: int) -> Stamps:
        """The stamps to go by: None for what is not to be believed."""
        duration_90k = max(0, _ns_to_90k(times.duration or 0))
        if times.pts is None:
            return Stamps(None, None, duration_90k, None)
        if self._stands_still(times.pts):
            return Stamps(None, None, duration_90k, None)
        capture_us = None if times.capture is None else self._boottime_of_us(times.capture // 1000)
        if capture_us is not None and not -_PAST_US < capture_us - arrival_us < _FUTURE_US:
            self._note("timestamps-of-another-clock")
            capture_us = None
        else:
            self._note_sound()
        dts_90k = None if times.dts is None else _ns_to_90k(times.dts)
        return Stamps(_ns_to_90k(times.pts), dts_90k, duration_90k, capture_us)

    def _stands_still(self, pts: int) -> bool:
        if pts != self._last_pts:
            self._last_pts, self._repeated = pts, 0
            return False
        self._repeated += 1
        if self._repeated >= _STILL:
            self._note("timestamps-stand-still")
        return True

    def _note(self, doubt: Doubt) -> None:
        self.doubt, self._sound = doubt, 0

    def _note_sound(self) -> None:
        self._sound += 1
        if self._sound >= _CLEAR_AFTER:
            self.doubt = None


def _ns_to_90k(time_ns: int) -> int:
    return to_90k(time_ns) // 1000
