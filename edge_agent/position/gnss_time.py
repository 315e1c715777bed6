"""GNSS time against this machine's monotonic clock, from what gpsd says.

A report that comes at monotonic `m` and tells of UTC `t` says that UTC was ahead of the monotonic clock by `t - m` at
least, and by at most the report's latency more. So several reports, each within the latency bound of its kind, leave
an interval; its middle is the estimate and its half width the bound. Reports that were held up somewhere (a stopped
process, a full buffer) contradict the others by more than the bound, and there is no estimate until they are gone.

Latency bounds, from the satellites' second to the report's arrival here:

- PPS `PULSE_LATENCY_US`: the edge is time-stamped in the kernel; the rest is the scheduling of gpsd and of us.
- TOFF `MESSAGE_LATENCY_US`: begin of the receiver's message. gpsd_json(5), TOFF: offsets of 10 to 700 ms, jitter and
  wander of 100 to 300 ms.
- TPV `REPORT_LATENCY_US`: the same and the whole cycle of messages, a second.
"""

from collections import deque
from dataclasses import dataclass

from edge_agent.position.reports import TimeOffset, Tpv

PULSE_LATENCY_US = 100_000
MESSAGE_LATENCY_US = 1_000_000
REPORT_LATENCY_US = 2_000_000

_WINDOW = 8
_LEAST_SPAN_US = 5_000_000
_YOUNG_US = 5_000_000
_ROUNDING_US = 1_000
_LARGEST_ERROR_S = 5.0
_OLDEST_OFFSET_US = 3_000_000


@dataclass(frozen=True, slots=True)
class GnssReading:
    """UTC and the monotonic clock at one instant; `bound_us` is the pair's largest error."""

    monotonic_us: int
    utc_us: int
    bound_us: int

    def utc_at(self, monotonic_us: int) -> int:
        """UTC of a later instant, drift left out."""
        return self.utc_us + monotonic_us - self.monotonic_us


class _Window:
    """The last reports of one kind."""

    def __init__(self, latency_us: int) -> None:
        self._latency_us = latency_us
        self._pairs: deque[tuple[int, int]] = deque(maxlen=_WINDOW)  # monotonic, and UTC ahead of it
        self._error_us = 0

    def add(self, monotonic_us: int, utc_us: int, error_us: int) -> None:
        if self._pairs and monotonic_us < self._pairs[-1][0]:
            self._pairs.clear()
        self._pairs.append((monotonic_us, utc_us - monotonic_us))
        self._error_us = error_us

    def reading(self, now_us: int) -> GnssReading | None:
        """None unless enough reports came at the pace of their own times, and lately."""
        if len(self._pairs) < _WINDOW:
            return None
        first_us, last_us = self._pairs[0][0], self._pairs[-1][0]
        least_us = max(ahead_us for _, ahead_us in self._pairs)
        most_us = min(ahead_us for _, ahead_us in self._pairs) + self._latency_us
        if most_us < least_us or last_us - first_us < _LEAST_SPAN_US or now_us - last_us > _YOUNG_US:
            return None
        bound_us = (most_us - least_us) // 2 + self._error_us + _ROUNDING_US
        return GnssReading(last_us, last_us + (least_us + most_us) // 2, bound_us)


class GnssTime:
    """Takes reports that tell the time; any of them may be wrong, late or missing.

    Args:
        is_same_machine: gpsd reads the same wall clock, so that PPS and TOFF can be understood.
    """

    def __init__(self, *, is_same_machine: bool) -> None:
        self._is_same_machine = is_same_machine
        self._last_time_us: int | None = None
        self._windows = {
            "pulse": _Window(PULSE_LATENCY_US),
            "message": _Window(MESSAGE_LATENCY_US),
            "report": _Window(REPORT_LATENCY_US),
        }

    def take_fix(self, tpv: Tpv, arrived_us: int) -> None:
        """A TPV came; the first of each time counts, and only those of a fix."""
        error_s = tpv.time_error_s or 0.0
        if tpv.time_us is None or tpv.mode < 2 or tpv.is_simulated or tpv.time_us == self._last_time_us:
            return
        self._last_time_us = tpv.time_us
        if error_s <= _LARGEST_ERROR_S:
            self._windows["report"].add(arrived_us, tpv.time_us, round(error_s * 1e6))

    def take_offset(self, offset: TimeOffset, arrived_us: int, wall_us: int) -> None:
        """A PPS or TOFF came when the wall clock showed `wall_us`; one that was on its way for long is left out."""
        passed_us = wall_us - offset.machine_us
        if self._is_same_machine and 0 <= passed_us <= _OLDEST_OFFSET_US:
            kind = "pulse" if offset.is_pulse else "message"
            self._windows[kind].add(arrived_us - passed_us, offset.gnss_us, 0)

    def reading(self, now_us: int) -> GnssReading | None:
        """The best estimate, of a moment ago; None when there is none.

        A pulse is a second wrong when gpsd gave it the wrong message's second: it counts only while it lies within
        what the slower reports leave.
        """
        pulse, message, report = (window.reading(now_us) for window in self._windows.values())
        coarse = message or report
        if pulse is None or coarse is None:
            return coarse
        apart_us = abs(pulse.utc_at(now_us) - coarse.utc_at(now_us))
        return pulse if apart_us <= pulse.bound_us + coarse.bound_us else coarse
