"""Watching over the fleet, put together: standing, alarms, history, the day's summary, notifications."""

import asyncio
from collections.abc import Callable
from datetime import date
from pathlib import Path
from zoneinfo import ZoneInfo

from csu.alarm_book import AlarmBook
from csu.day_summary import day_of, summarise
from csu.errors import RequestRefusedError
from csu.feed import Feed
from csu.fleet import Fleet
from csu.history_book import HistoryBook
from csu.notifier import Notifier
from csu.notify_channel import Channel
from csu.notify_mail import make_mail
from csu.notify_settings import NotifySettings
from csu.notify_webhook import make_webhook
from csu.notify_words import Words
from csu.registry import Registry
from csu.upkeep import Upkeep
from csu.views import DaySummary
from edge_agent.clock import Clock


class Watching:
    """The parts; `load` comes first, `run` goes on until cancelled."""

    def __init__(
        self,
        registry: Registry,
        feed: Feed,
        clock: Clock,
        zone: ZoneInfo,
        directory: Path,
        is_connected: Callable[[], bool],
        broker_began_us: Callable[[], int | None],
    ) -> None:
        """Prepare.

        Args:
            registry: the centre's.
            feed: watchers are told there.
            clock: of this machine.
            zone: of days and of the hour of their summary.
            directory: of which the free space is watched.
            is_connected: whether the centre can publish now.
            broker_began_us: when the broker was started last, monotonic clock; None when that is not known.
        """
        self._registry = registry
        self._feed = feed
        self._zone = zone
        self._clock = clock
        self.alarms = AlarmBook(registry, feed, clock)
        self.fleet = Fleet(registry, self.alarms, feed, clock, is_connected, broker_began_us)
        self.history = HistoryBook(registry)
        self._notifier: Notifier | None = None
        self.upkeep = Upkeep(registry, self.alarms, self.fleet.hearing, directory, zone, clock, self.summarise)

    async def load(self) -> None:
        """Read what earlier lives of the centre left.

        Raises:
            RegistryError: the registry cannot be read.
        """
        await self.alarms.load()
        await self.fleet.load()

    async def notify(self, settings: NotifySettings) -> None:
        """Tell people too, from `run` on.

        Raises:
            CsuSettingsError: a file that the settings name cannot be read any more.
        """
        words = Words(settings.language, self._zone)
        channels: list[Channel] = [await make_webhook(webhook, words) for webhook in settings.webhook]
        channels += [await make_mail(mail, words) for mail in settings.mail]
        self._notifier = notifier = Notifier(self._registry, self.alarms, channels, self._clock)
        self._feed.listen(lambda item: notifier.wake() if item.get("kind") == "alarm" else None)
        self.upkeep.on_notice = notifier.wake
        self.upkeep.summary_at = settings.summary_time

    async def run(self) -> None:
        """Watch until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            if self._notifier is not None:
                tasks.create_task(self._notifier.run(), name="notifier")
            tasks.create_task(self.fleet.run(), name="fleet")
            tasks.create_task(self.upkeep.run(), name="upkeep")

    async def summarise(self, day: str | None) -> DaySummary:
        """A day (`YYYY-MM-DD`) of the centre's zone; None for today.

        Raises:
            RequestRefusedError: not a day.
            RegistryError: the registry cannot be read.
        """
        now_us = self._clock.wall_us()
        try:
            wanted = day_of(now_us, self._zone) if day is None else date.fromisoformat(day)
        except ValueError as error:
            raise RequestRefusedError("parameters-invalid", f"day: {day!r:.20} is not YYYY-MM-DD") from error
        return await summarise(self._registry, await self.fleet.view(), wanted, self._zone, now_us)
