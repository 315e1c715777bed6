"""Which of a receiver's fixes are believed.

- The receiver's own time has to go on: one that stands still for `FROZEN_AFTER_S` is that of a receiver that hangs,
  or of a gpsd that repeats itself. Repeated fixes keep the age of the first. Whether the time is right does not
  matter here: a receiver whose week number rolled over still knows where it is.
- A fix that is further from the last one than anything on wheels gets is believed only when `CONFIRMING` in a row
  agree with one another.
- Exactly 0° 0° is what receivers say that know nothing.

Ages and speeds are reckoned by the monotonic clock; neither the wall clock nor the receiver's time can upset them.
"""

from collections import Counter
from dataclasses import dataclass

from edge_agent.position.geodesy import distance_m
from edge_agent.position.reports import Gst, Tpv, radius_95_m

FROZEN_AFTER_S = 6.0
MAX_SPEED_MPS = 70.0
"""252 km/h; the unit is on a mast or in a van."""
CONFIRMING = 5

_GST_HOLDS_US = 5_000_000
_BACKWARDS_US = 1_500_000
_UNSAID_ERROR_M = 50.0
_SLACK_M = 50.0


@dataclass(frozen=True, slots=True)
class Fix:
    """A fix that is believed.

    Attributes:
        longitude_deg: WGS 84.
        latitude_deg: WGS 84.
        altitude_m: above the ellipsoid.
        accuracy_m: radius of the horizontal error at 95 %.
        speed_mps: over ground, by the receiver.
        is_3d: in three dimensions.
        monotonic_us: when it arrived.
    """

    longitude_deg: float
    latitude_deg: float
    altitude_m: float | None
    accuracy_m: float | None
    speed_mps: float | None
    is_3d: bool
    monotonic_us: int

    @property
    def place(self) -> tuple[float, float]:
        """Longitude and latitude."""
        return self.longitude_deg, self.latitude_deg

    @property
    def error_m(self) -> float:
        """The accuracy, or what is assumed where the receiver does not say it."""
        return _UNSAID_ERROR_M if self.accuracy_m is None else self.accuracy_m


class FixFilter:
    """Takes reports, gives the fixes that are believed."""

    def __init__(self) -> None:
        self._gst: tuple[Gst, int] | None = None
        self._time_us: int | None = None
        self._advanced_us = 0
        self._last: Fix | None = None
        self._doubtful: list[Fix] = []
        self.trouble = "the receiver has not said anything yet"
        """Why the last report was no fix; empty when it was one."""
        self.refused: Counter[str] = Counter()
        """How often, by reason, a report claimed a fix that was not believed."""

    def take_errors(self, gst: Gst, arrived_us: int) -> None:
        """Error statistics came."""
        self._gst = (gst, arrived_us)

    def take(self, tpv: Tpv, arrived_us: int) -> Fix | None:
        """A report came at a monotonic instant; the fix, when it is one."""
        fixed_us = self._pace(tpv, arrived_us)
        if tpv.mode < 2:
            self.trouble = "the receiver has no fix"
            return None
        reason = self._objection(tpv, fixed_us)
        if reason is None:
            fix = self._fix(tpv, arrived_us if fixed_us is None else fixed_us, arrived_us)
            reason = self._leap(fix)
            if reason is None:
                self._last, self._doubtful, self.trouble = fix, [], ""
                return fix
        self.trouble = reason
        self.refused[reason] += 1
        return None

    def _pace(self, tpv: Tpv, arrived_us: int) -> int | None:
        """When the receiver's time last went on; None when it stands still or has just gone back."""
        if tpv.time_us is None:
            is_running = self._time_us is None or arrived_us - self._advanced_us <= FROZEN_AFTER_S * 1e6
            return arrived_us if is_running else None
        before_us, self._time_us = self._time_us, tpv.time_us
        if before_us is not None and tpv.time_us < before_us - _BACKWARDS_US:
            return None
        if before_us is None or tpv.time_us > before_us:
            self._advanced_us = arrived_us
        return self._advanced_us if arrived_us - self._advanced_us <= FROZEN_AFTER_S * 1e6 else None

    def _objection(self, tpv: Tpv, fixed_us: int | None) -> str | None:
        if fixed_us is None:
            return "the receiver's time does not go on"
        if tpv.longitude_deg is None or tpv.latitude_deg is None:
            return "the receiver claims a fix without a place"
        if tpv.is_simulated:
            return "the receiver says that it simulates"
        if tpv.longitude_deg == 0 and tpv.latitude_deg == 0:
            return "the receiver claims to be at 0° 0°"
        return None

    def _fix(self, tpv: Tpv, fixed_us: int, arrived_us: int) -> Fix:
        gst = self._gst[0] if self._gst is not None and arrived_us - self._gst[1] <= _GST_HOLDS_US else None
        accuracy_m = radius_95_m(tpv, gst)
        return Fix(
            longitude_deg=round(tpv.longitude_deg or 0.0, 7),
            latitude_deg=round(tpv.latitude_deg or 0.0, 7),
            altitude_m=None if tpv.altitude_m is None or tpv.mode < 3 else round(tpv.altitude_m, 1),
            accuracy_m=None if accuracy_m is None else round(accuracy_m, 1),
            speed_mps=None if tpv.speed_mps is None else round(tpv.speed_mps, 2),
            is_3d=tpv.mode == 3,
            monotonic_us=fixed_us,
        )

    def _leap(self, fix: Fix) -> str | None:
        """Why a fix cannot follow the last one; None when it can, or enough of them have said the same."""
        if self._last is None or _can_follow(self._last, fix):
            return None
        if self._doubtful and not _can_follow(self._doubtful[-1], fix):
            self._doubtful = []
        self._doubtful.append(fix)
        return "the receiver leaps" if len(self._doubtful) < CONFIRMING else None


def _can_follow(before: Fix, fix: Fix) -> bool:
    apart_m = distance_m(before.place, fix.place) - before.error_m - fix.error_m
    passed_s = max(fix.monotonic_us - before.monotonic_us, 0) / 1e6
    return apart_m <= MAX_SPEED_MPS * passed_s + _SLACK_M
