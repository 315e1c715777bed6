"""The outgoing half of a link in simulated time, on a line of a given rate."""

import asyncio
import heapq
import itertools
import json
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from edge_agent.clock import FakeClock
from edge_agent.contract.event_names import EventName
from edge_agent.contract.messages import Health, PointGeometry, Position, PositionProperties, Probe
from edge_agent.contract.names import DEFAULT_PREFIX, Topics
from edge_agent.contract.ring_protocol import RecorderState
from edge_agent.errors import RingError
from edge_agent.uplink.boot_clocks import BootClocks
from edge_agent.uplink.database import LinkDatabase
from edge_agent.uplink.events import Events
from edge_agent.uplink.fake_wire import FakeBroker
from edge_agent.uplink.history import History
from edge_agent.uplink.ledger import Ledger
from edge_agent.uplink.monitor import Monitor
from edge_agent.uplink.outbox import Pump, RetainedTopics, in_order
from edge_agent.uplink.publisher import Publisher
from edge_agent.uplink.raised_alarms import AlarmKey
from edge_agent.uplink.replies import LooseReply, Replies
from edge_agent.uplink.session import Session
from edge_agent.uplink.stamps import ClockBelief, SequenceCounter, Stamper
from edge_agent.uplink.wire import Outgoing, WireOptions
from tests.support.fake_recorder import make_state

BYTES_PER_S = 32_000
PACKET_BYTES = 60
ROUND_TRIP_S = 0.3
TOPICS = Topics(DEFAULT_PREFIX, "nomad-07")


class EventClock(FakeClock):
    """Time that jumps to whatever happens next, when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()

    async def async_sleep(self, seconds: float) -> None:
        """Return when the test has come to this instant."""
        wakes: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        deadline_us = self.monotonic_us() + round(seconds * 1e6)
        heapq.heappush(self._sleepers, (deadline_us, next(self._numbers), wakes))
        await wakes

    def jump(self) -> None:
        """Come to the next instant at which somebody wakes."""
        deadline_us, _, wakes = heapq.heappop(self._sleepers)
        self.advance(max(deadline_us - self.monotonic_us(), 0) / 1e6)
        if not wakes.done():
            wakes.set_result(None)


@dataclass
class Line:
    """One message after another, at the line's rate."""

    clock: FakeClock
    free_us: int = 0
    seen: list[tuple[int, Outgoing]] = field(default_factory=list)

    async def transmit(self, message: Outgoing) -> None:
        now_us = self.clock.monotonic_us()
        size_bytes = len(message.payload) + len(message.topic) + PACKET_BYTES
        self.free_us = max(self.free_us, now_us) + round(size_bytes / BYTES_PER_S * 1e6)
        arrives_us = self.free_us + round(ROUND_TRIP_S / 2 * 1e6)
        await self.clock.async_sleep((arrives_us - now_us) / 1e6)
        self.seen.append((arrives_us, message))
        await self.clock.async_sleep(ROUND_TRIP_S / 2)


class FakeRecorder:
    """A recorder that says whether its camera is there."""

    def __init__(self) -> None:
        self.recording = True

    async def state(self) -> RecorderState:
        cause = None if self.recording else "camera-lost"
        return make_state(recording=self.recording, storage_ok=True, warnings=(), since_us=1, cause=cause)


@dataclass(frozen=True)
class Report:
    health: Health
    alarms: Mapping[AlarmKey, dict[str, Any] | None]


def probe(recorders: Mapping[str, RecorderState | RingError], clock: FakeClock) -> Report:
    """Health of the size that a unit's has, and the camera's alarm."""
    state = recorders["main"]
    assert isinstance(state, RecorderState)
    figures = {f"figure_{number}": clock.wall_us() % 1_000_003 / 7 for number in range(45)}
    ok = Probe(state="ok")
    health = Health(
        at=clock.wall_us(),
        camera=Probe.model_validate({"state": "ok" if state.recording else "critical"} | figures),
        storage=ok,
        power=ok,
        network=ok,
        clock=ok,
        system=ok,
    )
    lost = None if state.recording else {"cause": "camera-lost"}
    return Report(health, {(EventName.CAMERA_LOST.value, "main"): lost})


class Unit:
    """The outgoing half of a link."""

    def __init__(self, database: LinkDatabase, clock: EventClock, counter: SequenceCounter) -> None:
        self.database, self.clock, self.wake = database, clock, asyncio.Event()
        self.stamper = Stamper("nomad-07", "a" * 32, clock, ClockBelief("chrony", 4_001), counter)
        self.ledger = Ledger(database, clock)
        self.retained = RetainedTopics(self.wake)
        clocks = BootClocks(database, self.stamper)
        self.replies = Replies(self.ledger, self.stamper, TOPICS, self.wake)
        self.events = Events(database, self.stamper, TOPICS, self.wake, clocks)
        self.history = History(database, self.stamper, clocks, TOPICS, self.wake)
        self.publisher = Publisher(TOPICS, self.retained, self.stamper, "1.0", "d-1")
        self.recorder = FakeRecorder()
        self.monitor = Monitor(
            {"main": self.recorder},  # type: ignore[dict-item]  # -- its state is all that is asked of it
            lambda recorders: probe(recorders, clock),
            self.publisher,
            self.events,
            lambda: position_of(clock, 0),
            clock,
            self.history,
        )
        self.broker = FakeBroker()
        self.line = Line(clock)
        self.broker.transmit = self.line.transmit

    async def on_online(self, session_present: bool) -> None:
        """As the link does."""
        self.events.reconnected()
        self.history.reconnected()
        await self.publisher.on_online(session_present)

    @asynccontextmanager
    async def online(self) -> AsyncIterator[None]:
        """A session and a pump as the link wires them."""
        session = Session(
            WireOptions("u", Outgoing("w", b"")), "d/#", self.broker.factory, self.clock, witness=self.history
        )
        sources = in_order(TOPICS, self.retained, self.replies, self.events, self.history)
        tasks = {
            asyncio.create_task(session.run(self)),
            asyncio.create_task(Pump(session, sources, self.wake).run()),
            asyncio.create_task(self.history.run()),
            asyncio.create_task(self.events.run(lambda: session.is_online)),
        }
        try:
            yield
        finally:
            self.broker.transmit = None
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def settle(self) -> None:
        """Let everything happen that takes no time."""
        for _ in range(6):
            await self.database.read(lambda _connection: None)
            await asyncio.sleep(0)

    async def waiting(self) -> int:
        def count(connection: sqlite3.Connection) -> int:
            tables = ("events", "history", "history_batches")
            return sum(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables)

        return await self.database.read(count)


def position_of(clock: FakeClock, number: int) -> Position:
    properties = PositionProperties(fix="3d", accuracy_m=3.5, source="gnss", deployment_id="d-1", at=clock.wall_us())
    return Position(geometry=PointGeometry(coordinates=(4.85 + number / 1e4, 45.76, 170.0)), properties=properties)


@dataclass
class Returned:
    """What arrived, and how many seconds after the return."""

    arrivals: list[tuple[float, str, dict[str, Any], int]]

    def named(self, name: str) -> list[dict[str, Any]]:
        return [body for _, topic, body, _ in self.arrivals if topic == name]

    def samples(self, kind: str) -> list[dict[str, Any]]:
        return [sample for body in self.named("history") if body["kind"] == kind for sample in body["samples"]]

    def times_s(self, name: str) -> list[float]:
        return [at_s for at_s, topic, _, _ in self.arrivals if topic == name]


async def come_back(unit: Unit, ask_after_s: float) -> tuple[Returned, float]:
    """The line is there again; what arrived, and how long a command's reply took in the midst of it."""
    began_us = unit.clock.monotonic_us()
    asked_us = 0
    async with unit.online():
        while await unit.waiting() or not asked_us:
            await unit.settle()
            unit.clock.jump()
            if not asked_us and unit.clock.monotonic_us() - began_us >= ask_after_s * 1e6:
                asked_us = unit.clock.monotonic_us()
                unit.replies.queue_loose(LooseReply("in-the-midst", "unit.check", "done"))
            assert unit.clock.monotonic_us() - began_us < 600e6, "ten minutes are over"
    arrivals = [
        (
            (at_us - began_us) / 1e6,
            message.topic.removeprefix(TOPICS.up("")),
            json.loads(message.payload),
            len(message.payload),
        )
        for at_us, message in unit.line.seen
    ]
    answered_us = next(at_us for at_us, message in unit.line.seen if b"in-the-midst" in message.payload)
    return Returned(arrivals), (answered_us - asked_us) / 1e6
