"""How every unit stands: in memory, kept up to date by each message and by time, told to watchers when it changes.

A message marks its unit; a moment later the marked units are judged anew, however many messages came meanwhile, and
what changed is published. What changes by mere time (a word grows old) lies in a heap, so that nothing is ever
scanned for it; only a change of the centre's own connection judges all units.
"""

import asyncio
import heapq
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from csu import stored_units
from csu.alarm_book import AlarmBook
from csu.backoff import delay_s
from csu.errors import RegistryError, RequestRefusedError
from csu.feed import Feed
from csu.fleet_hearing import Hearing
from csu.fleet_standing import RANK, Verdict, judge
from csu.fleet_unit import Heard, Sight
from csu.records import FINAL_STATES, UnitRecord
from csu.registry import Registry
from csu.severity import NOT_HEARD
from csu.views import FleetView, Standing, UnitSummary
from edge_agent.clock import Clock
from edge_agent.contract.errors import ContractError
from edge_agent.contract.messages import Health, Position, Status
from edge_agent.contract.model import ContractModel

_log = logging.getLogger(__name__)

COALESCE_S = 0.02
HEARD_INTERVAL_US = 60_000_000
"""A summary in which only the time of the last message is new is told this often."""
_MAX_IDLE_S = 30.0
_SLICE = 100
"""Units judged before other tasks have their turn."""
_RECALLED: dict[str, type[ContractModel]] = {"status": Status, "health": Health, "position": Position}


@dataclass(slots=True)
class _Entry:
    """A unit, how it was judged last, and what watchers were told."""

    sight: Sight
    verdict: Verdict | None = None
    summary: UnitSummary | None = None
    told: UnitSummary | None = None
    told_us: int = 0
    due_us: int | None = None
    """The earliest time at which it lies in the heap."""


class Fleet:
    """Used on the event loop only; `load` comes first, `run` keeps it up to date."""

    def __init__(
        self,
        registry: Registry,
        alarms: AlarmBook,
        feed: Feed,
        clock: Clock,
        is_connected: Callable[[], bool],
        broker_began_us: Callable[[], int | None],
    ) -> None:
        """Prepare.

        Args:
            registry: for what earlier lives of the centre knew.
            alarms: their open ones belong to a unit's standing; lost units are alarmed of there.
            feed: watchers are told there.
            clock: ages are reckoned by its monotonic time.
            is_connected: whether the centre can publish now.
            broker_began_us: when the broker was started last, monotonic clock; None when that is not known.
        """
        self._registry = registry
        self._alarms = alarms
        self._feed = feed
        self._clock = clock
        self._is_connected = is_connected
        self.hearing = Hearing(broker_began_us, clock.monotonic_us())
        self._entries: dict[str, _Entry] = {}
        self._open_commands: dict[str, set[str]] = {}
        self._marked: dict[str, None] = {}
        self._untold: dict[str, None] = {}
        self._due: list[tuple[int, str]] = []
        self._hearing_due_us: int | None = None
        self._unsettled: dict[str, None] = {}
        self._wake = asyncio.Event()
        alarms.on_change = self.mark
        feed.listen(self._on_item)

    # -- what comes in

    async def load(self) -> None:
        """Read the enrolled units, and where they were when they were heard last.

        Raises:
            RegistryError: the registry cannot be read.
        """
        for unit in await self._registry.run(stored_units.load_units):
            self.add(unit.unit_id)
            self._recall(self._entries[unit.unit_id].sight, unit)
        for unit_id, command_id in await self._registry.run(stored_units.open_commands):
            self._open_commands.setdefault(unit_id, set()).add(command_id)

    def add(self, unit_id: str) -> None:
        """A unit was let in."""
        self._entries.setdefault(unit_id, _Entry(Sight(unit_id)))
        self.mark(unit_id)

    def remove(self, unit_id: str) -> None:
        """A unit was shut out."""
        self._entries.pop(unit_id, None)
        self._open_commands.pop(unit_id, None)
        self._feed.publish({"kind": "unit-removed", "unit_id": unit_id})

    def link(self, is_up: bool) -> None:
        """The centre's connection to the broker began or ended."""
        if is_up == self.hearing.is_linked:
            return  # an attempt that failed
        self.hearing.link(is_up, self._clock.monotonic_us())
        self._feed.publish({"kind": "service", "broker_connected": is_up})
        self._mark_all()

    def broker_began(self) -> None:
        """It became known when the broker was started, or that it was started anew."""
        self._mark_all()

    def hear(
        self,
        unit_id: str,
        model: ContractModel | None,
        *,
        is_retained: bool = False,
        is_new: bool = True,
        first_us: int | None = None,
    ) -> None:
        """A message of a unit, once it is stored; see `Heard` for what is said of it."""
        entry = self._entries.get(unit_id)
        if entry is None:
            return
        now_us, wall_us = self._clock.monotonic_us(), self._clock.wall_us()
        entry.sight.hear(model, Heard(wall_us, now_us, self.hearing.epoch, is_retained, is_new, first_us))
        self.mark(unit_id)

    def mark(self, unit_id: str) -> None:
        """Something of this unit may have changed."""
        if unit_id in self._entries:
            self._marked[unit_id] = None
            self._wake.set()

    def _mark_all(self) -> None:
        self._marked.update(dict.fromkeys(self._entries))
        self._wake.set()

    def _on_item(self, item: dict[str, Any]) -> None:
        if item.get("kind") != "command":
            return
        unit_id, commands = item["unit_id"], self._open_commands.setdefault(item["unit_id"], set())
        if item["state"] in FINAL_STATES:
            commands.discard(item["command_id"])
        else:
            commands.add(item["command_id"])
        self.mark(unit_id)

    def _recall(self, sight: Sight, unit: UnitRecord) -> None:
        for topic, state in unit.states.items():
            model = _RECALLED.get(topic)
            try:
                if model is not None:
                    sight.recall(model.from_object(state.body), state.heard_us)
            except ContractError as error:  # of an older version of the contract
                _log.debug("%s: stored %s: %s", unit.unit_id, topic, error)

    # -- what goes out

    async def view(self) -> FleetView:
        """All units, trouble first."""
        self._judge_marked(self._take_marked())
        summaries = sorted(
            (entry.summary for entry in self._entries.values() if entry.summary is not None),
            key=lambda one: (RANK[one.standing], one.unit_id),
        )
        counts: dict[Standing, int] = dict.fromkeys(RANK, 0)
        for summary in summaries:
            counts[summary.standing] += 1
        return FleetView(
            at=self._clock.wall_us(),
            broker_connected=self._is_connected(),
            counts=counts,
            units=tuple(summaries),
            not_recording=tuple(sorted(one.unit_id for one in summaries if self._may_not_record(one))),
            not_heard=tuple(sorted(one.unit_id for one in summaries if one.standing in {"lost", "unheard"})),
        )

    async def summary_of(self, unit_id: str) -> UnitSummary:
        """One unit.

        Raises:
            RequestRefusedError: it is not enrolled.
        """
        self._judge_marked(self._take_marked())
        entry = self._entries.get(unit_id)
        if entry is None or entry.summary is None:
            raise RequestRefusedError("unknown-unit", f"no unit {unit_id!r:.60} is enrolled here", 404)
        return entry.summary

    def _may_not_record(self, summary: UnitSummary) -> bool:
        """Online, and not of every camera known that it records; or away, and it did not when it was last heard."""
        if summary.online:
            return not summary.cameras or any(camera.recording is not True for camera in summary.cameras)
        last = self._entries[summary.unit_id].sight.cameras
        return summary.standing == "lost" and any(camera.recording is False for camera in last)

    # -- the loop

    async def run(self) -> None:
        """Judge what is marked or due until cancelled; what cannot be stored is tried again."""
        failures = 0
        while True:
            await self._wait(delay_s(failures, 0.5, 30.0) if failures else _MAX_IDLE_S)
            await self._clock.async_sleep(COALESCE_S)
            await self.refresh()
            try:
                await self.settle_alarms()
                failures = 0
            except RegistryError as error:
                failures += 1
                if failures == 1:
                    _log.warning("lost units cannot be alarmed of now: %s", error)

    async def _wait(self, at_most_s: float) -> None:
        times_us = [self._due[0][0]] if self._due else []
        times_us += [] if self._hearing_due_us is None else [self._hearing_due_us]
        idle_s = min([at_most_s, *((time_us - self._clock.monotonic_us()) / 1e6 for time_us in times_us)])
        try:
            async with asyncio.timeout(max(0.0, idle_s)):
                await self._wake.wait()
        except TimeoutError:
            return

    async def refresh(self) -> None:
        """Judge what is marked or due, and tell what changed."""
        self._wake.clear()
        unit_ids = self._take_marked()
        for start in range(0, len(unit_ids), _SLICE):
            self._judge_marked(unit_ids[start : start + _SLICE])
            await self._clock.async_sleep(0)
        untold, self._untold = self._untold, {}
        for unit_id in untold:
            self._tell(unit_id)

    def _take_marked(self) -> list[str]:
        """Units to be judged anew: marked, or something of theirs is due."""
        now_us = self._clock.monotonic_us()
        if self._hearing_due_us is not None and now_us >= self._hearing_due_us:
            self._mark_all()
        while self._due and self._due[0][0] <= now_us:
            unit_id = heapq.heappop(self._due)[1]
            if unit_id in self._entries:
                self._entries[unit_id].due_us = None
                self._marked[unit_id] = None
        marked, self._marked = list(self._marked), {}
        self._hearing_due_us = self.hearing.next_us(now_us)
        return marked

    def _judge_marked(self, unit_ids: Sequence[str]) -> None:
        now_us = self._clock.monotonic_us()
        for unit_id in unit_ids:
            entry = self._entries.get(unit_id)
            if entry is None:
                continue
            was_online = entry.verdict is not None and entry.verdict.is_online
            alarms = self._alarms.open_of(unit_id)
            entry.verdict = judge(entry.sight, alarms, self.hearing, now_us, was_online=was_online)
            entry.summary = self._summary_of(entry.sight, entry.verdict)
            next_us = entry.verdict.next_us
            if next_us is not None and next_us > now_us:
                self._look_again(entry, next_us)
            self._unsettled[unit_id] = self._untold[unit_id] = None

    def _look_again(self, entry: _Entry, due_us: int) -> None:
        """Judge a unit at a time; one that lies in the heap for earlier finds out then what comes next."""
        if entry.due_us is None or due_us < entry.due_us:
            entry.due_us = due_us
            heapq.heappush(self._due, (due_us, entry.sight.unit_id))

    def _summary_of(self, sight: Sight, verdict: Verdict) -> UnitSummary:
        return UnitSummary(
            unit_id=sight.unit_id,
            standing=verdict.standing,
            reasons=verdict.reasons,
            online=verdict.is_online,
            heard_us=sight.heard_us,
            place=sight.place,
            cameras=verdict.cameras,
            open_alarms=len(self._alarms.open_of(sight.unit_id)),
            unacknowledged_alarms=self._alarms.unacknowledged_of(sight.unit_id),
            open_commands=len(self._open_commands.get(sight.unit_id, ())),
            software_version=sight.software_version,
            deployment_id=sight.deployment_id,
        )

    def _tell(self, unit_id: str) -> None:
        entry = self._entries.get(unit_id)
        if entry is None or entry.summary is None or entry.summary == entry.told:
            return
        now_us = self._clock.monotonic_us()
        later_us = entry.told_us + HEARD_INTERVAL_US
        if entry.told is not None and now_us < later_us and _is_merely_heard(entry.told, entry.summary):
            self._look_again(entry, later_us)
            return
        entry.told, entry.told_us = entry.summary, now_us
        self._feed.publish({"kind": "unit"} | entry.summary.to_object())

    # -- the alarm of lost contact

    async def settle_alarms(self) -> None:
        """Raise and clear `not-heard`.

        Raises:
            RegistryError: it could not be stored; what is left is settled the next time.
        """
        while self._unsettled:
            unit_id = next(iter(self._unsettled))
            await self._settle(unit_id)
            self._unsettled.pop(unit_id, None)

    async def _settle(self, unit_id: str) -> None:
        entry = self._entries.get(unit_id)
        if entry is None or entry.verdict is None:
            return
        verdict = entry.verdict
        is_alarmed = any(alarm.name == NOT_HEARD for alarm in self._alarms.open_of(unit_id))
        if verdict.is_online and is_alarmed:
            await self._alarms.clear_own(unit_id, NOT_HEARD)
        elif verdict.alarm_us is not None and verdict.alarm_us <= self._clock.monotonic_us() and not is_alarmed:
            details = {"recording": [camera.name for camera in entry.sight.cameras if camera.recording]}
            await self._alarms.raise_own(unit_id, NOT_HEARD, verdict.lost_since_us or 0, details)


def _is_merely_heard(told: UnitSummary, now: UnitSummary) -> bool:
    """Whether nothing but the time of the last message is new."""
    return now.model_copy(update={"heard_us": told.heard_us}) == told
