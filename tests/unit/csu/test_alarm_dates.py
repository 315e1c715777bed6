"""Alarms of a unit whose wall clock is wrong when they are raised: one record each, dated right at last.

The unit's side is the link's own book of alarms on its database, over restarts and boots; what it says goes to the
centre's registry.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from csu.registry import Registry
from edge_agent.clock import FakeClock
from edge_agent.contract.messages import Alarms, Event
from edge_agent.contract.names import Topics
from edge_agent.uplink.boot_clocks import BootClocks
from edge_agent.uplink.database import LinkDatabase
from edge_agent.uplink.events import Events
from edge_agent.uplink.raised_alarms import AlarmKey
from edge_agent.uplink.stamps import ClockBelief, SequenceCounter, Stamper
from tests.unit.csu.watched import NOW_US, UNIT, Watched, watched

KEY: AlarmKey = ("camera-lost", "main")
LOST: dict[AlarmKey, dict[str, Any] | None] = {KEY: {"cause": "absent"}}
FOUND: dict[AlarmKey, dict[str, Any] | None] = {KEY: None}
WRONG_S = [-NOW_US / 1e6 + 40, -3 * 86_400, 3600, 2 * 365 * 86_400]
"""1970, a clock that stood for three days, one that is an hour ahead, one that somebody set to another year."""


class Unit:
    """A link that says what it knows when it is online; `learn` vouches for its clock and sets it."""

    def __init__(self, bench: Watched, database: LinkDatabase, directory: Path, wrong_s: float) -> None:
        self.bench, self.database, self.directory = bench, database, directory
        self.is_online = True
        self.wrong_s = wrong_s
        self.boots = 0
        self.seen: set[str] = set()

    async def boot(self) -> "Unit":
        """The machine starts, and its clock is wrong."""
        self.boots += 1
        self.clock = FakeClock(self.bench.clock.wall_us() + round(self.wrong_s * 1e6))
        self.belief = ClockBelief()
        await self.start_link()
        return self

    async def start_link(self) -> None:
        boot_id = f"{self.boots:032x}"
        counter = await asyncio.to_thread(SequenceCounter, self.directory / "link.seq", boot_id)
        stamper = Stamper(UNIT, boot_id, self.clock, self.belief, counter)
        self.clocks = BootClocks(self.database, stamper)
        await self.clocks.load()
        self.events = Events(self.database, stamper, Topics("csu/v1", UNIT), asyncio.Event(), self.clocks)
        await self.events.load()
        await self.say_list()

    async def learn(self) -> None:
        """Somebody vouches for the clock, which is right from now on."""
        self.clock.step_wall((self.bench.clock.wall_us() - self.clock.wall_us()) / 1e6)
        self.belief.source = "chrony"
        await self.clocks.look()

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.bench.clock.advance(seconds)

    async def look(self, seen: dict[AlarmKey, dict[str, Any] | None]) -> None:
        """As the monitor does: what changed is listed, then the event follows."""
        if await self.events.observe(seen):
            await self.say_list()
        await self.say_events()

    async def come_back(self) -> None:
        self.is_online = True
        self.events.reconnected()
        await self.say_list()
        await self.say_events()

    async def say_list(self) -> None:
        if self.is_online:
            body = Alarms(at=self.clock.wall_us(), alarms=self.events.raised).to_json()
            await self.bench.hear("alarms", Alarms.from_json(body))

    async def say_events(self) -> None:
        while self.is_online and (item := await self.events.next()) is not None:
            await self.bench.hear_event(Event.from_json(item.messages[0].payload))
            await self.events.sent(item)


@pytest.fixture
async def bench(registry: Registry) -> Watched:
    return await watched(registry)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[LinkDatabase]:
    opened = await LinkDatabase.open(tmp_path / "link.db", NOW_US)
    yield opened
    await opened.close()


@pytest.fixture(params=WRONG_S)
async def unit(request: pytest.FixtureRequest, bench: Watched, database: LinkDatabase, tmp_path: Path) -> Unit:
    """One that lost its camera while its clock was wrong."""
    unit = await Unit(bench, database, tmp_path, request.param).boot()
    await unit.look(LOST)
    return unit


async def known(bench: Watched) -> list[tuple[int, int | None]]:
    """When each record was raised and cleared, in seconds from the start, newest first."""
    records = await bench.alarms.list(UNIT, None, 100)
    return [
        (
            round((one.raised_us - NOW_US) / 1e6),
            None if one.cleared_us is None else round((one.cleared_us - NOW_US) / 1e6),
        )
        for one in records
    ]


@pytest.mark.parametrize("between", ["nothing", "restart", "restart when known"])
async def test_an_alarm_that_was_told_with_a_wrong_time_is_dated_anew(
    bench: Watched, unit: Unit, between: str
) -> None:
    unit.advance(60)
    if between == "restart":
        await unit.start_link()
        await unit.look(LOST)
    unit.advance(60)
    await unit.learn()
    if between == "restart when known":
        await unit.start_link()
    await unit.look(LOST)
    assert await known(bench) == [(0, None)]
    unit.advance(60)
    await unit.look(FOUND)
    assert await known(bench) == [(0, 180)]
    unit.advance(60)
    await unit.look(LOST)
    assert await known(bench) == [(240, None), (0, 180)]


async def test_one_that_ends_before_the_centre_hears_again_is_one(bench: Watched, unit: Unit) -> None:
    unit.is_online = False
    unit.advance(120)
    await unit.learn()
    await unit.look(FOUND)
    unit.advance(60)
    await unit.look(LOST)
    unit.advance(60)
    await unit.come_back()
    assert await known(bench) == [(180, None), (0, 120)]


@pytest.mark.parametrize("learns", [True, False])
async def test_an_alarm_of_an_earlier_boot_stays_one(bench: Watched, unit: Unit, learns: bool) -> None:
    wrong_s = unit.wrong_s
    unit.advance(60)
    if learns:
        await unit.learn()
    unit.wrong_s = -wrong_s / 2
    await unit.boot()
    await unit.look(LOST)
    unit.advance(60)
    await unit.learn()
    await unit.look(LOST)
    assert len(await known(bench)) == 1
    await unit.look(FOUND)
    ((raised_s, cleared_s),) = await known(bench)
    assert cleared_s == 120
    assert raised_s in ([0] if learns or wrong_s > 0 else [0, round(wrong_s)])


async def test_what_older_software_left_behind_is_read(
    bench: Watched, database: LinkDatabase, tmp_path: Path
) -> None:
    unit = await Unit(bench, database, tmp_path, 0).boot()
    await unit.look(LOST)
    older = ("camera-lost", "main", NOW_US + 5_000_000, json.dumps({"cause": "absent"}))
    await database.write(lambda connection: connection.execute("REPLACE INTO alarms VALUES (?,?,?,?)", older))
    await unit.start_link()
    (alarm,) = unit.events.raised
    assert (alarm.since_us, alarm.event_id) == (NOW_US + 5_000_000, None)
    await unit.look(FOUND)
    assert unit.events.raised == ()
