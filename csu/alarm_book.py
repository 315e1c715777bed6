"""The alarms of the fleet: kept in the registry, the open ones in memory, each change told to watchers.

An alarm that was cleared before anybody took notice stays unacknowledged, as ISA-18.2 has it: what broke in the night
and mended itself is seen in the morning.
"""

from collections.abc import Callable
from typing import Any

from csu import stored_alarms
from csu.feed import Feed
from csu.paging import Key
from csu.registry import Registry
from csu.stored_alarms import AlarmChanges
from csu.views import AlarmRecord
from edge_agent.clock import Clock


class AlarmBook:
    """Used on the event loop only; `load` comes first."""

    def __init__(self, registry: Registry, feed: Feed, clock: Clock) -> None:
        self._registry = registry
        self._feed = feed
        self._clock = clock
        self._open: dict[str, dict[str, AlarmRecord]] = {}
        self._unacknowledged: dict[str, int] = {}
        self.on_change: Callable[[str], None] = lambda _unit_id: None
        """Called with the unit of every change, once memory has it."""

    async def load(self) -> None:
        """Read what is open, and what nobody has acknowledged.

        Raises:
            RegistryError: the registry cannot be read.
        """
        self._open.clear()
        for alarm in await self._registry.run(stored_alarms.load_open):
            self._open.setdefault(alarm.unit_id, {})[alarm.alarm_id] = alarm
        self._unacknowledged = await self._registry.run(stored_alarms.count_unacknowledged)

    def open_of(self, unit_id: str) -> tuple[AlarmRecord, ...]:
        """The open alarms of a unit, the centre's own about it too."""
        return tuple(self._open.get(unit_id, {}).values())

    def unacknowledged_of(self, unit_id: str) -> int:
        """How many of a unit's alarms nobody has acknowledged, closed ones too."""
        return self._unacknowledged.get(unit_id, 0)

    async def list(
        self, unit_id: str | None, is_open: bool | None, limit: int, before: Key | None = None
    ) -> "list[AlarmRecord]":
        """Alarms newest first.

        Args:
            unit_id: of one unit; None for all, those of the centre about itself too.
            is_open: only open ones, or only closed ones; None for both.
            limit: at most so many.
            before: `(raised_us, alarm_id)` of the last one of the page before.

        Raises:
            RegistryError: the registry cannot be read.
        """
        return await self._registry.run(stored_alarms.load_alarms, unit_id, is_open, limit, before)

    async def acknowledge(self, alarm_id: str, operator: str, note: str | None = None) -> AlarmRecord:
        """Keep who took notice of an alarm; again by the same changes nothing.

        Raises:
            RequestRefusedError: `unknown-alarm`, or `acknowledged-already` by another.
            RegistryError: it could not be stored.
        """
        now_us = self._clock.wall_us()
        changes = await self._registry.run(stored_alarms.acknowledge, alarm_id, operator, note, now_us)
        self.take(changes)
        return changes.records[0]

    async def raise_own(self, unit_id: str, name: str, raised_us: int, details: dict[str, Any]) -> None:
        """Raise an alarm of the centre's own; nothing happens while it is open.

        Raises:
            RegistryError: it could not be stored.
        """
        now_us = self._clock.wall_us()
        self.take(await self._registry.run(stored_alarms.raise_own, (unit_id, name, ""), raised_us, details, now_us))

    async def clear_own(self, unit_id: str, name: str) -> None:
        """End an alarm of the centre's own, if it is open.

        Raises:
            RegistryError: it could not be stored.
        """
        self.take(await self._registry.run(stored_alarms.clear_own, (unit_id, name, ""), self._clock.wall_us()))

    def take(self, changes: AlarmChanges) -> None:
        """Take over what was stored, and tell it."""
        mine = self._open.setdefault(changes.unit_id, {})
        for record in changes.records:
            if record.cleared_us is None:
                mine[record.alarm_id] = record
            else:
                mine.pop(record.alarm_id, None)
            self._feed.publish({"kind": "alarm"} | record.to_object())
        if changes.records:
            self._unacknowledged[changes.unit_id] = changes.unacknowledged
            self.on_change(changes.unit_id)
