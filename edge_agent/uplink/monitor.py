"""Watches the recorders and the probes; publishes what changed, and everything rarely (`telling`)."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from edge_agent.clock import Clock
from edge_agent.contract.messages import CameraCoverage, Health, HistoryKind, Position
from edge_agent.contract.ring_protocol import RecorderState
from edge_agent.errors import RingError
from edge_agent.uplink.events import Events
from edge_agent.uplink.ports import RingPort
from edge_agent.uplink.publisher import Publisher
from edge_agent.uplink.raised_alarms import AlarmKey
from edge_agent.uplink.telling import COVERAGE_POLICY, HEALTH_POLICY, CoverageShape, Teller, meaning_of

logger = logging.getLogger(__name__)

POLL_INTERVAL_S = 5.0
COVERAGE_POLL_S = 10.0
HISTORY_INTERVAL_S = 60.0
RENEW_AFTER_S = 600.0
"""What was told longer ago is told anew when a connection begins: the line was away, and time has passed."""

RecorderSight = RecorderState | RingError
"""A recorder's figures, or why there are none."""


class HealthReport(Protocol):
    """What the probes say."""

    @property
    def health(self) -> Health:
        """For `up/health`."""
        ...

    @property
    def alarms(self) -> Mapping[AlarmKey, dict[str, Any] | None]:
        """What was looked at: details where something is wrong, None where all is well."""
        ...


class HealthHistory(Protocol):
    """Takes samples for later (`history.History`)."""

    def note(self, kind: HistoryKind, body: dict[str, Any]) -> None:
        """Take notice of a sample that was made just now; never waits, never fails."""
        ...


Prober = Callable[[Mapping[str, RecorderSight]], HealthReport]
"""Runs every probe, given what the recorders say of themselves; blocks for some milliseconds."""


class Monitor:
    """Polls for ever; `check` looks at everything at once for `unit.check`."""

    def __init__(
        self,
        rings: Mapping[str, RingPort],
        prober: Prober,
        publisher: Publisher,
        events: Events,
        position: Callable[[], Position],
        clock: Clock,
        history: HealthHistory | None = None,
    ) -> None:
        self._rings = rings
        self._prober = prober
        self._publisher = publisher
        self._events = events
        self._position = position
        self._clock = clock
        self._history = history
        self._noted_us: int | None = None
        self._noted: object = None
        self._health_teller = Teller(HEALTH_POLICY)
        self._coverage_teller = Teller(COVERAGE_POLICY)
        self._shape = CoverageShape()
        self._coverages: dict[str, CameraCoverage] = {}  # the last of each camera, also of one that is silent now
        self._probing = asyncio.Lock()  # one run of the probes at a time: their rates are differences

    async def run_health(self) -> None:
        """Poll recorders and probes for ever."""
        self._publisher.put_position(self._position())
        self._publisher.put_alarms(self._events.raised)
        while True:
            await self._look()
            await self._clock.async_sleep(POLL_INTERVAL_S)

    async def run_coverage(self) -> None:
        """Ask the rings for their coverage for ever."""
        while True:
            for name, ring in self._rings.items():
                coverage = await _coverage_of(ring)
                if coverage is not None:
                    self._coverages[name] = coverage
            self._tell_coverage()
            await self._clock.async_sleep(COVERAGE_POLL_S)

    def _tell_coverage(self) -> None:
        cameras = tuple(self._coverages[name] for name in self._rings if name in self._coverages)
        signature = tuple(map(self._shape.of, cameras))
        if cameras and self._coverage_teller.is_due(signature, self._clock.monotonic_us()):
            self._coverage_teller.note_size(self._publisher.put_coverage(cameras))

    async def check(self) -> dict[str, Any]:
        """Every probe now, for `unit.check`."""
        health = await self._look()
        return health.to_object() | {"alarms": [alarm.to_object() for alarm in self._events.raised]}

    async def _look(self) -> Health:
        async with self._probing:
            recorders = dict(zip(self._rings, await asyncio.gather(*map(_sight, self._rings.values())), strict=True))
            report = await asyncio.to_thread(self._prober, recorders)
        if await self._events.observe(report.alarms):
            self._publisher.put_alarms(self._events.raised)
        meaning, now_us = meaning_of(report.health), self._clock.monotonic_us()
        self._note(report.health, meaning, now_us)
        if self._health_teller.is_due(meaning, now_us):
            self._publisher.put_health(report.health)
        return report.health

    def _note(self, health: Health, meaning: object, now_us: int) -> None:
        """Keep a sample a minute, and each change, for what nobody hears now."""
        is_young = self._noted_us is not None and now_us - self._noted_us < HISTORY_INTERVAL_S * 1e6
        if self._history is None or (is_young and meaning == self._noted):
            return
        self._noted, self._noted_us = meaning, now_us
        self._history.note("health", health.to_object())

    def on_online(self) -> None:
        """A connection is there: the next look is told, unless the last one that was is young."""
        self._health_teller.renew(self._clock.monotonic_us(), RENEW_AFTER_S)


async def _sight(ring: RingPort) -> RecorderSight:
    try:
        return await ring.state()
    except RingError as error:
        return error


async def _coverage_of(ring: RingPort) -> CameraCoverage | None:
    try:
        return await ring.coverage()
    except RingError as error:
        logger.debug("no coverage: %s", error)
        return None
