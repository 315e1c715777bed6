"""The link's part about position: from gpsd to the recorders, and to the supervision centre.

The feed needs no supervision centre: a unit that records alone knows where it is. The reporter says it to the centre
(`up/position`, history, alarms) and lets GNSS vouch for the link's clock.
"""

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from typing import Any

from edge_agent.buffer.client import RingClient
from edge_agent.clock import Clock, read_boot_id
from edge_agent.clock_source import ClockReading
from edge_agent.contract.event_names import EventName
from edge_agent.contract.messages import Position
from edge_agent.contract.ring_protocol import PositionNotice
from edge_agent.errors import RingError
from edge_agent.paths import ring_socket
from edge_agent.position.clock_checks import Dispute, vouched_by_gnss
from edge_agent.position.fixed import fixed_position
from edge_agent.position.gpsd import GpsdClient
from edge_agent.position.last_known import LastPlaceKeeper, load_last_place
from edge_agent.position.locator import Locator
from edge_agent.position.telling import Telling, alarms_of, notice_of, offer_of, position_body
from edge_agent.settings import PositionSettings, Settings
from edge_agent.uplink.events import Events
from edge_agent.uplink.history import History
from edge_agent.uplink.publisher import Publisher
from edge_agent.uplink.raised_alarms import AlarmKey

logger = logging.getLogger(__name__)

LOOK_S = 1.0
NOTICE_INTERVAL_S = 5.0
"""A recorder that started again knows where it is after so long."""
OFFER_INTERVAL_S = 15.0
KEEP_LOOK_S = 5.0
ANSWER_TIMEOUT_S = 4.0


class PositionFeed:
    """gpsd, and what the recorders are told of it.

    Args:
        settings: of the unit.
        receiver: `[position]`, with gpsd.
        clock: the clocks.
    """

    def __init__(self, settings: Settings, receiver: PositionSettings, clock: Clock) -> None:
        data_dir, boot_id = settings.unit.data_dir, read_boot_id()
        host, port = receiver.gpsd_address or ("", 0)
        self.locator = Locator(receiver, load_last_place(data_dir, receiver), boot_id, clock)
        self._client = GpsdClient(host, port, self.locator, clock)
        self._keeper = LastPlaceKeeper(data_dir, receiver, boot_id, clock)
        self._boot_id = boot_id
        self._clock = clock
        self._rings = [
            RingClient(ring_socket(data_dir, camera.name), answer_timeout_s=ANSWER_TIMEOUT_S)
            for camera in settings.rings
        ]

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._client.run(), name="gpsd")
            group.create_task(self._keep_last(), name="last known place")
            for ring in self._rings:
                group.create_task(self._tell_places(ring), name=f"places to {ring.socket_path.stem}")
                group.create_task(self._offer_time(ring), name=f"time to {ring.socket_path.stem}")

    async def _tell_places(self, ring: RingClient) -> None:
        """Each second while the unit moves, and a few seconds apart otherwise."""
        told: PositionNotice | None = None
        told_us = 0
        while True:
            notice, now_us = notice_of(self.locator.sight()), self._clock.monotonic_us()
            is_due = told is None or told.moving or notice.moving or now_us - told_us >= NOTICE_INTERVAL_S * 1e6
            if is_due and await _reaches(ring.place(notice)):
                told, told_us = notice, now_us
            await self._clock.async_sleep(LOOK_S)

    async def _offer_time(self, ring: RingClient) -> None:
        while True:
            reading = self.locator.gnss_reading()
            offer = None if reading is None else offer_of(reading, self._boot_id)
            if offer is not None:
                await _reaches(ring.offer_clock(offer))
            await self._clock.async_sleep(OFFER_INTERVAL_S)

    async def _keep_last(self) -> None:
        try:
            while True:
                fix = self.locator.fix
                if fix is not None and self._keeper.is_due(fix):
                    await asyncio.to_thread(self._keeper.store, fix)
                await self._clock.async_sleep(KEEP_LOOK_S)
        finally:
            fix = self.locator.fix
            if fix is not None and self._keeper.is_worth_it(fix):
                await asyncio.to_thread(self._keeper.store, fix)


async def _reaches(call: Coroutine[Any, Any, None]) -> bool:
    """Whether a recorder took it; one that is not there gets the next one."""
    try:
        await call
    except RingError as error:
        logger.debug("a recorder was not reached: %s", error)
        return False
    return True


def make_feed(settings: Settings, clock: Clock) -> PositionFeed | None:
    """The feed of a unit that has a receiver."""
    receiver = settings.position
    return None if receiver is None or receiver.gpsd is None else PositionFeed(settings, receiver, clock)


class PositionReporter:
    """What the supervision centre is told of the unit's position.

    Args:
        settings: `[position]`, if there is any.
        feed: of a unit that has a receiver.
        deployment_id: under which the unit records.
        publisher: gets `up/position`.
        events: gets the alarms.
        history: notes each position.
        clock: the clocks.
    """

    def __init__(
        self,
        settings: PositionSettings | None,
        feed: PositionFeed | None,
        deployment_id: str,
        publisher: Publisher,
        events: Events,
        history: History,
        clock: Clock,
    ) -> None:
        self._locator = None if feed is None else feed.locator
        self._fixed = fixed_position(settings, deployment_id)
        self._deployment_id = deployment_id
        self._publisher = publisher
        self._events = events
        self._history = history
        self._clock = clock
        self._telling = Telling(clock)
        self._dispute = Dispute(clock)
        self._disputed: dict[AlarmKey, dict[str, Any] | None] = {}

    def current(self) -> Position:
        """`up/position` now."""
        if self._locator is None:
            return self._fixed
        return position_body(self._locator.sight(), self._deployment_id, self._clock)

    def vouch(self, reading: ClockReading) -> ClockReading:
        """The machine's clock as it was read, vouched for by GNSS where nobody else does."""
        gnss = None if self._locator is None else self._locator.gnss_reading()
        ahead_s = self._dispute.look(reading, gnss)
        if ahead_s is not None:
            details = {"gnss_ahead_s": round(ahead_s, 3), "clock_source": reading.source}
            self._disputed[EventName.CLOCK_DISPUTED, None] = details if ahead_s else None
        return vouched_by_gnss(reading, gnss)

    async def run(self) -> None:
        """Until cancelled. A unit without a receiver says where it is once, and raises no alarm about it."""
        if self._locator is None:
            self._publisher.put_position(self._fixed)
            await self._observe(dict.fromkeys(_ALARMS))
            return
        while True:
            sight = self._locator.sight()
            if self._telling.is_due(sight):
                body = position_body(sight, self._deployment_id, self._clock)
                self._publisher.put_position(body)
                self._history.note("position", body.to_object())
            await self._observe(alarms_of(self._locator) | self._disputed)
            await self._clock.async_sleep(LOOK_S)

    async def _observe(self, seen: Mapping[AlarmKey, dict[str, Any] | None]) -> None:
        if await self._events.observe(seen):
            self._publisher.put_alarms(self._events.raised)


_ALARMS: tuple[AlarmKey, ...] = (
    (EventName.GNSS_SILENT, None),
    (EventName.FIX_LOST, None),
    (EventName.CLOCK_DISPUTED, None),
)
