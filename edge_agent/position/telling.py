"""What is told of a sight, to whom, and when: the centre (`up/position`), the recorders, and as alarms."""

from typing import Any

from edge_agent.clock import Clock
from edge_agent.contract.event_names import EventName
from edge_agent.contract.messages import PointGeometry, Position, PositionProperties
from edge_agent.contract.ring_protocol import EARLIEST_GNSS_US, LATEST_GNSS_US, ClockOffer, PositionNotice
from edge_agent.contract.segment_format import PositionStamp
from edge_agent.position.geodesy import distance_m
from edge_agent.position.gnss_time import GnssReading
from edge_agent.position.locator import Locator, Sight

CHANGE_M = 20.0
"""Told when the place is so much further from the one told last than errors explain."""
LEAST_INTERVAL_S = 10.0
"""Not more often than this, however fast the unit goes."""
INTERVAL_S = 3600.0
"""And at least so often."""
BURST = 10
REFILL_S = 300.0
"""A unit that stands tells of so many changes in a row, then one in so long: a receiver between high houses gains and
loses its fix for ever, and an idle line has 30 MB a month."""

SILENT_AFTER_S = 60.0
LOST_AFTER_S = 300.0
"""A receiver takes half a minute for its first fix, and minutes when it knows nothing; a tunnel is shorter."""

_DETAIL_LENGTH = 200


def position_body(sight: Sight, deployment_id: str, clock: Clock) -> Position:
    """`up/position`."""
    place = sight.place
    age_s = None if sight.fixed_us is None else round(max(clock.monotonic_us() - sight.fixed_us, 0) / 1e6, 1)
    is_last = place is not None and sight.fix == "none"
    properties = PositionProperties(
        fix=sight.fix,
        accuracy_m=None if place is None else place.accuracy_m,
        age_s=age_s,
        speed_mps=sight.speed_mps,
        source=sight.source,
        deployment_id=deployment_id,
        at=clock.wall_us(),
        last_known=True if is_last else None,
        satellites_used=sight.satellites_used,
        satellites_seen=sight.satellites_seen,
        detail=sight.trouble[:_DETAIL_LENGTH] or None,
    )
    if place is None:
        return Position(geometry=None, properties=properties)
    coordinates = place.point if place.altitude_m is None else (*place.point, place.altitude_m)
    return Position(geometry=PointGeometry(coordinates=coordinates), properties=properties)


def notice_of(sight: Sight) -> PositionNotice:
    """What the recorders are told."""
    place = sight.place
    if place is None:
        return PositionNotice(position=None, moving=False)
    stamp = PositionStamp(
        longitude_deg=place.longitude_deg,
        latitude_deg=place.latitude_deg,
        accuracy_m=place.accuracy_m,
        source=sight.source,
        fix=None if sight.fix == "fixed" else sight.fix,
    )
    return PositionNotice(position=stamp, monotonic_us=sight.fixed_us, moving=sight.moving)


def offer_of(reading: GnssReading, boot_id: str) -> ClockOffer | None:
    """What the recorders are told of the time; None when it is no time that a receiver can have seen."""
    if not EARLIEST_GNSS_US <= reading.utc_us < LATEST_GNSS_US:
        return None
    return ClockOffer(
        boot_id=boot_id, monotonic_us=reading.monotonic_us, utc_us=reading.utc_us, bound_us=reading.bound_us
    )


class Telling:
    """When `up/position` is due: on a change, and rarely otherwise."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._told: Sight | None = None
        self._told_us = 0
        self._spent = 0.0
        self._spent_us = 0

    def is_due(self, sight: Sight) -> bool:
        """Whether this sight is to be told now; if so it counts as told."""
        now_us = self._clock.monotonic_us()
        since_s = (now_us - self._told_us) / 1e6
        told = self._told
        is_news = told is None or (since_s >= LEAST_INTERVAL_S and _differs(told, sight))
        if not is_news and since_s < INTERVAL_S:
            return False
        if not (sight.moving or since_s >= INTERVAL_S or self._may_speak(now_us)):
            return False
        self._told, self._told_us = sight, now_us
        return True

    def _may_speak(self, now_us: int) -> bool:
        """Whether one more change fits the budget; if so it counts as spent."""
        spent = max(self._spent - (now_us - self._spent_us) / 1e6 / REFILL_S, 0.0)
        if spent > BURST - 1:
            return False
        self._spent, self._spent_us = spent + 1, now_us
        return True


def _differs(told: Sight, sight: Sight) -> bool:
    """A fix gained or lost, another source, or another place."""
    if (told.fix == "none", told.source, told.moving) != (sight.fix == "none", sight.source, sight.moving):
        return True
    if told.place is None or sight.place is None:
        return told.place is not sight.place
    error_m = max(told.place.accuracy_m or 0.0, sight.place.accuracy_m or 0.0)
    return distance_m(told.place.point, sight.place.point) > CHANGE_M + error_m


AlarmKey = tuple[str, str | None]


def alarms_of(locator: Locator) -> dict[AlarmKey, dict[str, Any] | None]:
    """What was looked at: details where something is wrong, None where all is well, nothing where one cannot tell."""
    silent_s, fixless_s = locator.silent_s(), locator.fixless_s()
    seen: dict[AlarmKey, dict[str, Any] | None] = {}
    reason: dict[str, Any] = {"reason": locator.trouble()[:_DETAIL_LENGTH]}
    if locator.bad_lines:
        reason["bad_lines"] = locator.bad_lines
    if silent_s >= SILENT_AFTER_S:
        seen[EventName.GNSS_SILENT, None] = reason
    elif silent_s == 0:
        seen[EventName.GNSS_SILENT, None] = None
        if not reason["reason"]:
            seen[EventName.FIX_LOST, None] = None
        elif fixless_s >= LOST_AFTER_S:
            seen[EventName.FIX_LOST, None] = reason | {"refused": locator.refused}
    return seen
