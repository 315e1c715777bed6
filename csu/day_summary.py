"""One day of the fleet, from midnight to midnight of the centre's time zone: 23, 24 or 25 hours long."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from csu import stored_day
from csu.errors import RequestRefusedError
from csu.registry import Registry
from csu.stored_day import DaySums
from csu.views import DaySummary, FleetView, UnitSummary

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)


def local_time(instant_us: int, zone: ZoneInfo) -> datetime:
    """Date and time of day in a zone."""
    return (_EPOCH + timedelta(microseconds=instant_us)).astimezone(zone)


def day_of(instant_us: int, zone: ZoneInfo) -> date:
    """The local date at an instant."""
    return local_time(instant_us, zone).date()


def bounds_us(day: date, zone: ZoneInfo) -> tuple[int, int]:
    """When a local day begins and ends.

    Where clocks are put forward at midnight, the day begins with the first instant that there is.

    Raises:
        RequestRefusedError: a day at the edge of the calendar.
    """
    try:
        start, end = (
            datetime(one.year, one.month, one.day, tzinfo=zone).astimezone(UTC) for one in (day, day + timedelta(1))
        )
    except (OverflowError, ValueError) as error:
        raise RequestRefusedError("parameters-invalid", f"day: {day} is at the edge of the calendar") from error
    return (start - _EPOCH) // _US, (end - _EPOCH) // _US


async def summarise(registry: Registry, fleet: FleetView, day: date, zone: ZoneInfo, now_us: int) -> DaySummary:
    """One day, as far as it has passed.

    Args:
        registry: the centre's.
        fleet: how the units stand now.
        day: a local date of `zone`.
        zone: the centre's.
        now_us: the present.

    Raises:
        RequestRefusedError: a day at the edge of the calendar.
        RegistryError: the registry cannot be read.
    """
    start_us, end_us = bounds_us(day, zone)
    sums = await registry.run(stored_day.load, start_us, end_us, now_us)
    held_s = sum(camera.held_s for cameras in sums.coverage.values() for camera in cameras)
    lost_s = sum(camera.lost_s for cameras in sums.coverage.values() for camera in cameras)
    return DaySummary(
        day=day.isoformat(),
        zone=zone.key,
        units=len(fleet.units),
        standing_now=fleet.counts,
        recorded_share=round(held_s / (held_s + lost_s), 5) if held_s + lost_s > 0 else None,
        lost_s=round(lost_s),
        alarms_raised=sum(sums.alarms.values()),
        alarms_open=sums.alarms_open,
        alarms_unacknowledged=sums.alarms_unacknowledged,
        clips_delivered=sum(sums.delivered.values()),
        clips_failed=sum(sums.failed.values()),
        not_recording=fleet.not_recording,
        not_heard=fleet.not_heard,
        rows=tuple(_row(unit, sums) for unit in fleet.units),
    )


def _row(unit: UnitSummary, sums: DaySums) -> dict[str, Any]:
    cameras = sums.coverage.get(unit.unit_id, [])
    return {
        "unit_id": unit.unit_id,
        "standing": unit.standing,
        "held_s": round(sum(camera.held_s for camera in cameras)),
        "lost_s": round(sum(camera.lost_s for camera in cameras)),
        "alarms": sums.alarms.get(unit.unit_id, 0),
        "clips": sums.delivered.get(unit.unit_id, 0),
        "offline_s": sums.offline_s.get(unit.unit_id, 0),
    }
