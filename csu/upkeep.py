"""What the centre looks after by itself: its own alarms, bounds of the history, the hour of the daily summary."""

import asyncio
import logging
import shutil
from collections.abc import Awaitable, Callable
from datetime import time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from csu import stored_history, stored_notices
from csu.alarm_book import AlarmBook
from csu.day_summary import local_time
from csu.errors import CsuError
from csu.fleet_hearing import Hearing
from csu.registry import Registry
from csu.severity import BROKER_LOST, CENTRE, DISK_LOW
from csu.views import DaySummary
from edge_agent.clock import Clock

_log = logging.getLogger(__name__)

LOOK_S = 20.0
BROKER_LOST_AFTER_US = 60_000_000
DISK_LOW_SHARE = 0.03
DISK_LOW_BYTES = 1_000_000_000
_DISK_ENOUGH = 1.2
"""So many times the limits have to be free before the alarm ends."""
_TRIM_INTERVAL_US = 3_600_000_000


class Upkeep:
    """Looks every `LOOK_S`; what fails is looked at the next time."""

    def __init__(
        self,
        registry: Registry,
        alarms: AlarmBook,
        hearing: Hearing,
        directory: Path,
        zone: ZoneInfo,
        clock: Clock,
        summarise: Callable[[str | None], Awaitable[DaySummary]],
    ) -> None:
        self._registry = registry
        self._alarms = alarms
        self._hearing = hearing
        self._directory = directory
        self._zone = zone
        self._clock = clock
        self._summarise = summarise
        self._away_us: int | None = None
        self._trimmed_us: int | None = None
        self.summary_at: time | None = None
        """Local time from which on the summary of the day before is told; None: it is not."""
        self.on_notice: Callable[[], None] = lambda: None
        """Called when there is something to be told."""

    async def run(self) -> None:
        """Look after things until cancelled."""
        while True:
            for look in (self.look_at_broker, self.look_at_disk, self.tell_summary, self.trim):
                try:
                    await look()
                except (CsuError, OSError, ValueError, OverflowError) as error:  # a clock beyond the calendar, too
                    _log.warning("upkeep: %s; looked at again", error)
            await self._clock.async_sleep(LOOK_S)

    async def look_at_broker(self) -> None:
        """Raise or clear `broker-lost`."""
        now_us = self._clock.monotonic_us()
        if self._hearing.is_linked:
            self._away_us = None
            await self._alarms.clear_own(CENTRE, BROKER_LOST)
            return
        self._away_us = now_us if self._away_us is None else self._away_us
        away_us = now_us - self._away_us
        if away_us >= BROKER_LOST_AFTER_US:
            await self._alarms.raise_own(CENTRE, BROKER_LOST, self._clock.wall_us() - away_us, {})

    async def look_at_disk(self) -> None:
        """Raise or clear `disk-low`."""
        usage = await asyncio.to_thread(shutil.disk_usage, self._directory)
        limit_bytes = max(DISK_LOW_BYTES, DISK_LOW_SHARE * usage.total)
        if usage.free < limit_bytes:
            details = {"free_bytes": usage.free, "total_bytes": usage.total}
            await self._alarms.raise_own(CENTRE, DISK_LOW, self._clock.wall_us(), details)
        elif usage.free >= limit_bytes * _DISK_ENOUGH:
            await self._alarms.clear_own(CENTRE, DISK_LOW)

    async def tell_summary(self) -> None:
        """Hand yesterday's summary to the channels once its hour has come; after a stop of the centre, late."""
        if self.summary_at is None:
            return
        now_us = self._clock.wall_us()
        local = local_time(now_us, self._zone)
        day = (local.date() - timedelta(1)).isoformat()
        if local.time() < self.summary_at or await self._registry.run(stored_notices.is_summary_made, day):
            return
        summary = await self._summarise(day)
        if await self._registry.run(stored_notices.add_summary, day, summary.to_object(), now_us):
            self.on_notice()

    async def trim(self) -> None:
        """Once an hour, keep the bounds of every unit's history; batches keep those of their own unit."""
        now_us = self._clock.monotonic_us()
        if self._trimmed_us is not None and now_us - self._trimmed_us < _TRIM_INTERVAL_US:
            return
        self._trimmed_us = now_us
        for unit_id, kind in await self._registry.run(stored_history.lines):
            while await self._registry.run(stored_history.trim, unit_id, kind):
                await self._clock.async_sleep(0)
