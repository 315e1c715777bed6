"""Tells people: each channel in a task of its own, from the queue in the registry, each notice at least once.

A batch is fixed and stored before its first attempt, so that each repetition, also after a kill, is the same under
the same id. A channel that is down is tried again with capped, jittered delays; what it missed for `GIVE_UP_US` is
given up and counted in its next message. Nothing here holds anything else up.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence

from csu import stored_notices
from csu.alarm_book import AlarmBook
from csu.backoff import delay_s
from csu.errors import NotifyError, RegistryError
from csu.notify_channel import Batch, Channel, is_wanted
from csu.notify_timing import Timing
from csu.registry import Registry
from csu.severity import CENTRE, NOTIFY_FAILING
from csu.stored_notices import ChannelPlace, Notice
from edge_agent.clock import Clock
from edge_agent.contract.ids import make_uuid7

_log = logging.getLogger(__name__)

FIRST_RETRY_S = 5.0
MAX_RETRY_S = 900.0
FAILING_AFTER_US = 3_600_000_000
GIVE_UP_US = 48 * 3_600_000_000
_MAX_IDLE_S = 60.0
_READ = 1000
_SKIP = 50
"""Notices that are not a channel's before it notes that it is past them."""


class ChannelRunner:
    """One channel."""

    def __init__(
        self, registry: Registry, channel: Channel, clock: Clock, on_failing: Callable[[str, bool], None]
    ) -> None:
        self._registry = registry
        self._channel = channel
        self._clock = clock
        self._on_failing = on_failing
        self._timing = Timing(channel.pace)
        self._seen = 0
        self._wake = asyncio.Event()

    @property
    def name(self) -> str:
        """Of the channel."""
        return self._channel.settings.name

    def wake(self) -> None:
        """Something may have to be told."""
        self._wake.set()

    async def run(self) -> None:
        """Tell until cancelled."""
        failures = 0
        while True:
            try:
                await self._registry.run(stored_notices.open_channel, self.name)
                while True:
                    self._wake.clear()
                    await self._wait(await self._step())
                    failures = 0
            except RegistryError as error:
                failures += 1
                _log.warning("notifications by %s wait: %s", self.name, error)
                await self._clock.async_sleep(delay_s(failures, 1.0, 60.0))

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _step(self) -> float:
        """Do what is due; seconds until there is something to do again."""
        place = await self._registry.run(stored_notices.skip_lost, self.name)
        if place.batch_id is not None and place.batch_end is not None:
            notices = await self._registry.run(stored_notices.notices_after, place.done_number, _READ)
            await self._deliver(place, [one for one in notices if one.number <= place.batch_end])
            return 0.0
        if await self._look(place.done_number):
            return 0.0
        due_us = self._timing.due_us()
        if due_us is None:
            if self._seen - place.done_number >= _SKIP:
                await self._registry.run(stored_notices.end_batch, self.name, self._seen)
            return _MAX_IDLE_S
        idle_s = (due_us - self._clock.monotonic_us()) / 1e6
        if idle_s <= 0:
            await self._begin(place)
        return max(0.0, min(idle_s, _MAX_IDLE_S))

    async def _look(self, done_number: int) -> bool:
        """Take notice of what is new; whether there may be more of it."""
        new = await self._registry.run(stored_notices.notices_after, max(done_number, self._seen), _READ)
        if new:
            self._seen = new[-1].number
            self._timing.see(self._wanted(new), self._clock.monotonic_us())
        return len(new) == _READ

    async def _begin(self, place: ChannelPlace) -> None:
        """Fix what the next message tells of."""
        notices = await self._registry.run(stored_notices.notices_after, place.done_number, _READ)
        wanted = self._wanted(notices)[: self._channel.pace.batch]
        if wanted:
            batch_id = make_uuid7(self._clock.wall_us())
            await self._registry.run(stored_notices.begin_batch, self.name, batch_id, wanted[-1].number)
        else:
            end = notices[-1].number if notices else self._seen
            await self._registry.run(stored_notices.end_batch, self.name, end)
            self._timing.skipped(end)

    def _wanted(self, notices: Sequence[Notice]) -> list[Notice]:
        return [one for one in notices if is_wanted(self._channel.settings, one)]

    async def _deliver(self, place: ChannelPlace, notices: Sequence[Notice]) -> None:
        """Send a batch until it is taken, or given up."""
        wanted = self._wanted(notices)
        end = place.batch_end or place.done_number
        is_told = bool(wanted) and await self._send(place, wanted)
        left_out = place.left_out if is_told else -len(wanted)
        await self._registry.run(stored_notices.end_batch, self.name, end, left_out)
        self._timing.sent(self._clock.monotonic_us(), end)

    async def _send(self, place: ChannelPlace, notices: Sequence[Notice]) -> bool:
        """Whether it was taken in the end."""
        began_us, failures = self._clock.monotonic_us(), 0
        while True:
            batch = Batch(place.batch_id or "", notices, place.left_out, self._clock.wall_us())
            try:
                await self._channel.send(batch)
            except NotifyError as error:
                failures += 1
                self._report(error, failures)
            except Exception:  # noqa: BLE001 -- one odd notice must not end the centre, nor the channel
                _log.exception("notifications by %s: %d are given up", self.name, len(notices))
                return False
            else:
                self._on_failing(self.name, False)
                return True
            failing_us = self._clock.monotonic_us() - began_us
            if failing_us >= GIVE_UP_US:
                _log.error("notifications by %s: given up after two days: %d", self.name, len(notices))
                return False
            if failing_us >= FAILING_AFTER_US:
                self._on_failing(self.name, True)
            await self._clock.async_sleep(delay_s(failures, FIRST_RETRY_S, MAX_RETRY_S))

    def _report(self, error: NotifyError, failures: int) -> None:
        if failures == 1:
            _log.warning("notifications by %s: %s; trying again", self.name, error)
        else:
            _log.debug("notifications by %s: %s (%d)", self.name, error, failures)


class Notifier:
    """All channels."""

    def __init__(self, registry: Registry, alarms: AlarmBook, channels: Sequence[Channel], clock: Clock) -> None:
        self._registry = registry
        self._alarms = alarms
        self._clock = clock
        self._runners = [ChannelRunner(registry, channel, clock, self._on_failing) for channel in channels]
        self._failing: set[str] = set()
        self._changed = asyncio.Event()

    def wake(self) -> None:
        """Something may have to be told."""
        for runner in self._runners:
            runner.wake()

    async def run(self) -> None:
        """Tell until cancelled."""
        names = tuple(runner.name for runner in self._runners)
        await self._forget(names)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch(), name="notifier")
            for runner in self._runners:
                tasks.create_task(runner.run(), name=f"notify {runner.name}")

    async def _forget(self, names: tuple[str, ...]) -> None:
        failures = 0
        while True:
            try:
                await self._registry.run(stored_notices.forget_channels, names)
            except RegistryError as error:
                failures += 1
                _log.warning("notifications wait: %s", error)
                await self._clock.async_sleep(delay_s(failures, 1.0, 60.0))
            else:
                return

    def _on_failing(self, name: str, is_failing: bool) -> None:
        before = frozenset(self._failing)
        (self._failing.add if is_failing else self._failing.discard)(name)
        if before != self._failing:
            self._changed.set()

    async def _watch(self) -> None:
        """Raise and clear `notify-failing`; also what an earlier life of the centre left open."""
        failures = 0
        while True:
            self._changed.clear()
            try:
                await self._settle()
                failures = 0
                await self._changed.wait()
            except RegistryError as error:
                failures += 1
                _log.warning("the alarm of failing notifications waits: %s", error)
                await self._clock.async_sleep(delay_s(failures, 1.0, 60.0))

    async def _settle(self) -> None:
        if self._failing:
            details = {"channels": sorted(self._failing)}
            await self._alarms.raise_own(CENTRE, NOTIFY_FAILING, self._clock.wall_us(), details)
        else:
            await self._alarms.clear_own(CENTRE, NOTIFY_FAILING)
