"""What the link tells the centre of its position: alarms once, and GNSS as a witness of its clock."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from edge_agent.clock import FakeClock
from edge_agent.clock_source import ClockReading
from edge_agent.contract.event_names import EventName
from edge_agent.contract.messages import Alarm
from edge_agent.contract.names import Topics
from edge_agent.link_position import PositionFeed, PositionReporter, make_feed
from edge_agent.settings import PositionSettings, Settings
from edge_agent.uplink.boot_clocks import BootClocks
from edge_agent.uplink.database import LinkDatabase
from edge_agent.uplink.events import Events
from edge_agent.uplink.history import History
from edge_agent.uplink.outbox import RetainedTopics
from edge_agent.uplink.publisher import Publisher
from edge_agent.uplink.stamps import Stamper
from tests.support.polling import until
from tests.unit.position.reports import tpv


class Board(Publisher):
    """Remembers every list of alarms that is published."""

    lists: list[list[str]]

    def put_alarms(self, alarms: tuple[Alarm, ...]) -> None:
        self.lists.append([alarm.name for alarm in alarms])
        super().put_alarms(alarms)


class Rig:
    """A reporter, its feed without a gpsd, and the book of alarms."""

    def __init__(self, settings: Settings, database: LinkDatabase, stamper: Stamper, topics: Topics) -> None:
        clock = stamper.clock
        assert isinstance(clock, FakeClock)
        wake, self.clock = asyncio.Event(), clock
        clocks = BootClocks(database, stamper)
        self.events = Events(database, stamper, topics, wake, clocks)
        history = History(database, stamper, clocks, topics, wake)
        self.board = Board(topics, RetainedTopics(wake), stamper, "0.1.0", "bench")
        self.board.lists = []
        self.feed = make_feed(settings, clock)
        self.reporter = PositionReporter(
            settings.position, self.feed, "bench", self.board, self.events, history, clock
        )

    @property
    def locator_of_feed(self) -> PositionFeed:
        assert self.feed is not None
        return self.feed

    def alarms(self) -> list[str]:
        return [alarm.name for alarm in self.events.raised]

    def raised(self, name: str) -> bool:
        return name in self.alarms()

    def report(self, second: float) -> None:
        self.locator_of_feed.locator.on_report(tpv(second), self.clock.monotonic_us())

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Time passes as fast as it can meanwhile."""
        task = asyncio.create_task(self.reporter.run())
        yield
        task.cancel()
        await asyncio.wait({task})


def make_settings(directory: Path, position: PositionSettings | None) -> Settings:
    tables = {"unit": {"id": "nomad-07", "data_dir": directory}, "camera": [{"name": "main", "source": "test:"}]}
    return Settings.model_validate(tables).model_copy(update={"position": position})


@pytest.fixture
def rig(tmp_path: Path, database: LinkDatabase, stamper: Stamper, topics: Topics) -> Rig:
    return Rig(make_settings(tmp_path, PositionSettings(gpsd="127.0.0.1")), database, stamper, topics)


async def test_a_silent_receiver_is_raised_once_and_cleared_once(rig: Rig) -> None:
    async with rig.running():
        await until(lambda: [EventName.GNSS_SILENT] in rig.board.lists, what="the alarm, stored and told")
        rig.report(0)
        await until(lambda: len(rig.board.lists) > 1, what="its end")
        assert rig.board.lists[:2] == [[EventName.GNSS_SILENT], []]


async def test_alarms_of_a_receiver_that_was_taken_out_of_the_settings_end(
    rig: Rig, tmp_path: Path, database: LinkDatabase, stamper: Stamper, topics: Topics
) -> None:
    async with rig.running():
        await until(lambda: [EventName.GNSS_SILENT] in rig.board.lists, what="the alarm, stored and told")
    bare = Rig(make_settings(tmp_path, None), database, stamper, topics)
    await bare.events.load()
    assert bare.raised(EventName.GNSS_SILENT)
    await bare.reporter.run()
    assert bare.alarms() == []


async def test_gnss_vouches_for_the_links_clock_and_disputes_are_told(rig: Rig) -> None:
    begun_us = rig.clock.wall_us()
    for second in range(12):
        rig.clock.advance(1)
        now_s = (rig.clock.wall_us() - begun_us) / 1e6
        rig.locator_of_feed.locator.on_report(
            tpv(second, time_us=begun_us + round(now_s * 1e6) - 300_000), rig.clock.monotonic_us()
        )
    reading = ClockReading(rig.clock.monotonic_us(), rig.clock.wall_us(), "unknown", None)
    vouched = rig.reporter.vouch(reading)
    assert vouched.source == "gnss"
    assert vouched.bound_us is not None
    assert vouched.bound_us < 2_000_000
    ahead = ClockReading(reading.monotonic_us, reading.wall_us + 60_000_000, "unknown", None)
    assert rig.reporter.vouch(ahead).source == "unknown"


async def test_a_link_without_a_receiver_takes_its_clock_as_it_is(
    tmp_path: Path, database: LinkDatabase, stamper: Stamper, topics: Topics
) -> None:
    fixed = PositionSettings(longitude_deg=4.8, latitude_deg=45.7)
    rig = Rig(make_settings(tmp_path, fixed), database, stamper, topics)
    assert rig.feed is None
    reading = ClockReading(rig.clock.monotonic_us(), rig.clock.wall_us(), "unknown", None)
    assert rig.reporter.vouch(reading) == reading
    assert rig.reporter.current().properties.fix == "fixed"
