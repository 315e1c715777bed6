"""Watches the recorders and the probes; publishes what changed, and everything now and then."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from edge_agent.clock import Clock
from edge_agent.contract.messages import CameraCoverage, Health, Position, Probe
from edge_agent.contract.ring_protocol import RecorderState
from edge_agent.errors import RingError
from edge_agent.uplink.events import AlarmKey, Events
from edge_agent.uplink.ports import RingPort
from edge_agent.uplink.publisher import Publisher

logger = logging.getLogger(__name__)

POLL_INTERVAL_S = 5.0
HEALTH_INTERVAL_S = 300.0
COVERAGE_POLL_S = 10.0
COVERAGE_INTERVAL_S = 600.0
_PROBES = ("camera", "storage", "power", "network", "clock", "system")

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


Prober = Callable[[Mapping[str, RecorderSight]], HealthReport]
"""Runs every probe, given what the recorders say of themselves; blocks for some milliseconds."""


@dataclass(slots=True)
class _Told:
    """What was published last, and when."""

    signature: object = None
    at_us: int | None = None

    def is_due(self, signature: object, now_us: int, interval_s: float) -> bool:
        if self.at_us is not None and signature == self.signature and now_us - self.at_us < interval_s * 1e6:
            return False
        self.signature, self.at_us = signature, now_us
        return True


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
    ) -> None:
        self._rings = rings
        self._prober = prober
        self._publisher = publisher
        self._events = events
        self._position = position
        self._clock = clock
        self._health_told = _Told()
        self._coverage_told = _Told()
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
            cameras = [camera for ring in self._rings.values() if (camera := await _coverage_of(ring)) is not None]
            shape = tuple(_shape_of(camera) for camera in cameras)
            if cameras and self._coverage_told.is_due(shape, self._clock.monotonic_us(), COVERAGE_INTERVAL_S):
                self._publisher.put_coverage(tuple(cameras))
            await self._clock.async_sleep(COVERAGE_POLL_S)

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
        states = _states_of(report.health)
        if self._health_told.is_due(states, self._clock.monotonic_us(), HEALTH_INTERVAL_S):
            self._publisher.put_health(report.health)
        return report.health


def _states_of(health: Health) -> tuple[str, ...]:
    probes: list[Probe] = [getattr(health, name) for name in _PROBES]
    return tuple(probe.state for probe in probes)


def _shape_of(camera: CameraCoverage) -> tuple[str, bool, int]:
    """What makes coverage worth telling at once: the first footage, and a gap more or less.

    Not the gaps' instants: the oldest is cut at the day's edge, which moves.
    """
    return camera.camera, camera.oldest_us is not None, sum(not interval.held for interval in camera.last_24h)


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
