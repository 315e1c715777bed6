"""Where the unit is: what gpsd says, what is remembered, and what the settings say, made into one sight."""

import logging
from dataclasses import dataclass

from edge_agent.clock import Clock
from edge_agent.contract.last_place import LastPlace
from edge_agent.contract.messages import PositionFix
from edge_agent.limiter import RateLimiter
from edge_agent.position.fixes import Fix, FixFilter
from edge_agent.position.gnss_time import GnssReading, GnssTime
from edge_agent.position.movement import Movement
from edge_agent.position.reports import Devices, Gst, Report, Sky, TimeOffset, Tpv, Trouble, Version
from edge_agent.settings import PositionSettings

logger = logging.getLogger(__name__)

FIX_HOLDS_S = 10.0
"""A fix that is older is no fix any more; a bridge is shorter."""
MOVING_HOLDS_S = 120.0
"""So long without a fix does a unit that moved count as moving: a tunnel is longer than that at walking pace only."""
SPOKE_HOLDS_S = 6.0
"""A receiver that has not reported for longer is silent."""

BAD_HOLDS_S = 60.0
"""So long does a line that is no report explain why nothing else is known."""

_NO_RECEIVER = "gpsd has no receiver"
_LOGGED_AT_ONCE, _LOGGED_EVERY_S = 10, 60.0
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Place:
    """A place on the ground; metres above the ellipsoid, and the radius of the error at 95 %."""

    longitude_deg: float
    latitude_deg: float
    altitude_m: float | None
    accuracy_m: float | None

    @property
    def point(self) -> tuple[float, float]:
        """Longitude and latitude."""
        return self.longitude_deg, self.latitude_deg


@dataclass(frozen=True, slots=True)
class Sight:
    """Where the unit is, as far as is known now.

    Attributes:
        fix: how the place is known; `none` with a place means the last known one.
        place: None when none is known.
        source: `gnss`, `settings` or `none`.
        fixed_us: when the place was fixed, on this boot's monotonic clock; None for settings and earlier boots.
        speed_mps: of a present fix.
        moving: it moves.
        satellites_used: of the last seconds; None when the receiver does not tell.
        satellites_seen: as above.
        trouble: why the receiver has no fix; empty when it has one.
    """

    fix: PositionFix
    place: Place | None
    source: str
    fixed_us: int | None = None
    speed_mps: float | None = None
    moving: bool = False
    satellites_used: int | None = None
    satellites_seen: int | None = None
    trouble: str = ""


def fixed_place(settings: PositionSettings | None) -> Place | None:
    """The place that the settings give."""
    if settings is None or settings.longitude_deg is None or settings.latitude_deg is None:
        return None
    return Place(settings.longitude_deg, settings.latitude_deg, settings.altitude_m, settings.accuracy_m)


class Locator:
    """Listens to gpsd (`gpsd.ReportSink`) and says where the unit is; all on one event loop.

    Args:
        settings: `[position]`, with a receiver.
        last: the last place of an earlier life.
        boot_id: of this boot; tells whether the age of `last` can be reckoned.
        clock: the clocks.
    """

    def __init__(self, settings: PositionSettings, last: LastPlace | None, boot_id: str, clock: Clock) -> None:
        host = (settings.gpsd_address or ("", 0))[0]
        self._fixed = fixed_place(settings)
        self._last = last
        self._last_us = last.monotonic_us if last is not None and last.boot_id == boot_id else None
        self._clock = clock
        self._filter = FixFilter()
        self._movement = Movement()
        self._time = GnssTime(is_same_machine=host in _LOOPBACK)
        self._fix: Fix | None = None
        self._satellites: tuple[Sky, int] | None = None
        self._spoke_us: int | None = None
        self._begun_us = clock.monotonic_us()
        self._gone = "gpsd has not been reached yet"
        self._said = ""
        self._log_budget = RateLimiter(clock, _LOGGED_AT_ONCE, _LOGGED_EVERY_S)
        self._receivers: int | None = None
        self._bad_line: tuple[str, int] | None = None
        self.bad_lines = 0
        """Lines that were no reports, or impossible ones."""

    # -- gpsd.ReportSink

    def on_report(self, report: Report, arrived_us: int) -> None:
        """See `gpsd.ReportSink`."""
        match report:
            case Tpv():
                self._take_tpv(report, arrived_us)
            case Sky() if report.seen is not None:
                self._satellites = (report, arrived_us)
            case Gst():
                self._filter.take_errors(report, arrived_us)
            case TimeOffset():
                self._time.take_offset(report, arrived_us, self._clock.wall_us())
            case Version():
                self._gone, self._receivers = "", None
                self._say(f"gpsd {report.release} answers")
            case Devices():
                self._receivers = report.count
                if not report.count:
                    self._say(_NO_RECEIVER)
            case Trouble():
                self._say(f"gpsd: {report.message}")

    def on_bad_line(self, reason: str) -> None:
        """See `gpsd.ReportSink`."""
        self.bad_lines += 1
        words = f"gpsd says what cannot be understood: {reason}"
        self._bad_line = words, self._clock.monotonic_us()
        self._say(words)

    def on_gone(self, reason: str) -> None:
        """See `gpsd.ReportSink`."""
        self._gone = reason
        self._say(reason)

    def _say(self, what: str) -> None:
        """Once, when it is news, and a few times at once; a receiver may be of another opinion each second."""
        if what == self._said:
            return
        self._said = what
        left_out = self._log_budget.take()
        if left_out is not None:
            unsaid = f" ({left_out} such lines were left out)" if left_out else ""
            logger.info("position: %s%s", "".join(one if one.isprintable() else " " for one in what), unsaid)

    def _take_tpv(self, tpv: Tpv, arrived_us: int) -> None:
        self._spoke_us = arrived_us
        self._time.take_fix(tpv, arrived_us)
        before = self._filter.trouble
        fix = self._filter.take(tpv, arrived_us)
        if self._filter.trouble != before:
            self._say(self._filter.trouble or "the receiver has a fix")
        if fix is None:
            return
        if self._fix is not None and fix.monotonic_us - self._fix.monotonic_us > MOVING_HOLDS_S * 1e6:
            self._movement.rest()
        self._fix = fix
        self._movement.take(fix)

    # -- what is known

    @property
    def fix(self) -> Fix | None:
        """The last fix of this life of the link, however old."""
        return self._fix

    @property
    def refused(self) -> dict[str, int]:
        """How often, by reason, a claimed fix was not believed."""
        return dict(self._filter.refused)

    def silent_s(self) -> float:
        """For how long the receiver has not said anything; 0 while it speaks."""
        since_us = self._begun_us if self._spoke_us is None else self._spoke_us
        silent_us = self._clock.monotonic_us() - since_us
        return 0.0 if self._spoke_us is not None and silent_us <= SPOKE_HOLDS_S * 1e6 else silent_us / 1e6

    def fixless_s(self) -> float:
        """For how long there has been no fix."""
        since_us = self._begun_us if self._fix is None else self._fix.monotonic_us
        return (self._clock.monotonic_us() - since_us) / 1e6

    def gnss_reading(self) -> GnssReading | None:
        """UTC by satellites, when the receiver has a fix and its time can be believed."""
        now_us = self._clock.monotonic_us()
        return self._time.reading(now_us) if self._is_fixed(now_us) else None

    def trouble(self) -> str:
        """Why there is no fix; empty when there is one."""
        now_us = self._clock.monotonic_us()
        if self._is_fixed(now_us):
            return ""
        if self.silent_s() > 0 or self._spoke_us is None:
            nothing = "the receiver says nothing" if self._receivers != 0 else _NO_RECEIVER
            return self._gone or self._last_bad_line(now_us) or nothing
        return self._filter.trouble or "the receiver's last fix is old"

    def _last_bad_line(self, now_us: int) -> str:
        if self._bad_line is None or now_us - self._bad_line[1] > BAD_HOLDS_S * 1e6:
            return ""
        return self._bad_line[0]

    def sight(self) -> Sight:
        """Where the unit is now."""
        now_us = self._clock.monotonic_us()
        used, seen = self._satellite_counts(now_us)
        if self._fix is not None:
            return self._by_satellites(self._fix, now_us, used, seen)
        trouble = self.trouble()
        if self._last is not None:
            last = self._last
            place = Place(last.longitude_deg, last.latitude_deg, last.altitude_m, last.accuracy_m)
            return Sight("none", place, "gnss", self._last_us, None, False, used, seen, trouble)
        if self._fixed is not None:
            return Sight("fixed", self._fixed, "settings", None, None, False, used, seen, trouble)
        return Sight("none", None, "none", None, None, False, used, seen, trouble)

    def _by_satellites(self, fix: Fix, now_us: int, used: int | None, seen: int | None) -> Sight:
        is_fixed = self._is_fixed(now_us)
        moving = self._movement.moving and now_us - fix.monotonic_us <= MOVING_HOLDS_S * 1e6
        kind: PositionFix = "none" if not is_fixed else "3d" if fix.is_3d else "2d"
        return Sight(
            fix=kind,
            place=Place(fix.longitude_deg, fix.latitude_deg, fix.altitude_m, fix.accuracy_m),
            source="gnss",
            fixed_us=fix.monotonic_us,
            speed_mps=fix.speed_mps if is_fixed else None,
            moving=moving,
            satellites_used=used,
            satellites_seen=seen,
            trouble=self.trouble(),
        )

    def _is_fixed(self, now_us: int) -> bool:
        return self._fix is not None and now_us - self._fix.monotonic_us <= FIX_HOLDS_S * 1e6

    def _satellite_counts(self, now_us: int) -> tuple[int | None, int | None]:
        if self._satellites is None or now_us - self._satellites[1] > FIX_HOLDS_S * 1e6:
            return None, None
        return self._satellites[0].used, self._satellites[0].seen
