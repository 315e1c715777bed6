"""Does the unit move? Decided so that a mast between high houses does not, and a van does.

Standing, there is a place where it stands: it follows the fixes slowly, so that drift over hours goes unnoticed. The
unit moves when it is further from there than errors explain, or when the receiver's speed (which is measured by
Doppler shift and hardly suffers from reflections) says so while it leaves that place. Fixes in a row have to agree: a
few, or ten times as many when the receiver says that it hardly moves. Moving, it stands again when it has kept near
one place, and slow, for `STILL_S`.
"""

from edge_agent.position.fixes import Fix
from edge_agent.position.geodesy import between, distance_m

AGREEING = 3
"""Fixes in a row that have to say that the unit moves; one a second as a rule."""
AGREEING_IN_PLACE = 30
"""As many of a receiver that says that it hardly moves: then it is reflections, as a rule."""
STILL_S = 60.0

_LEAST_STEP_US = 900_000
_FAR_M = 30.0
_LEAVING_M = 10.0
_FAST_MPS = 3.0
_SLOW_MPS = 1.5
_IN_PLACE_MPS = 1.0
_FOLLOW_S = 300.0
_NEAR_M = 20.0


class Movement:
    """Takes the believed fixes in order."""

    def __init__(self) -> None:
        self.moving = False
        """As of the last fix."""
        self._stands: tuple[float, float] | None = None
        self._error_m = 0.0
        self._taken_us = 0
        self._agreed = 0.0
        self._still_since_us: int | None = None

    def take(self, fix: Fix) -> bool:
        """The next fix; whether the unit moves."""
        if self._stands is not None and fix.monotonic_us - self._taken_us < _LEAST_STEP_US:
            return self.moving  # gpsd tells of one fix several times, and some receivers of ten a second
        if self._stands is None:
            self._stand_at(fix)
        elif self.moving:
            self._look_for_rest(fix, self._stands)
        else:
            self._look_for_leaving(fix, self._stands)
        self._taken_us = fix.monotonic_us
        return self.moving

    def rest(self) -> None:
        """Nothing is known for so long that the unit no longer counts as moving; the next fix is where it stands."""
        self.moving, self._stands, self._agreed = False, None, 0.0

    def _stand_at(self, fix: Fix) -> None:
        self._stands, self._error_m = fix.place, fix.error_m
        self._agreed, self._still_since_us = 0.0, None

    def _look_for_leaving(self, fix: Fix, stands: tuple[float, float]) -> None:
        away_m = distance_m(stands, fix.place)
        errors_m = fix.error_m + self._error_m
        is_fast = (fix.speed_mps or 0.0) > _FAST_MPS and away_m > _LEAVING_M
        in_place = fix.speed_mps is not None and fix.speed_mps < _IN_PLACE_MPS
        weight = 1 / AGREEING_IN_PLACE if in_place else 1 / AGREEING
        self._agreed = self._agreed + weight if is_fast or away_m > _FAR_M + errors_m else 0.0
        if self._agreed > 1 - weight / 2:
            self.moving = True
            self._stand_at(fix)
            return
        share = min((fix.monotonic_us - self._taken_us) / 1e6 / _FOLLOW_S, 1.0)
        self._stands = between(stands, fix.place, share)
        self._error_m += (fix.error_m - self._error_m) * share

    def _look_for_rest(self, fix: Fix, near: tuple[float, float]) -> None:
        """`near` is where the unit may have come to rest."""
        is_slow = (fix.speed_mps or 0.0) < _SLOW_MPS
        if not is_slow or distance_m(near, fix.place) > _NEAR_M + 2 * fix.error_m:
            self._stand_at(fix)
        elif self._still_since_us is None:
            self._still_since_us = fix.monotonic_us
        elif fix.monotonic_us - self._still_since_us >= STILL_S * 1e6:
            self.moving = False
            self._stand_at(fix)
