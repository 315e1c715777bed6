"""What nobody heard: what is kept of it, in what order it follows, and what becomes of it on the way."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from edge_agent.clock import FakeClock
from edge_agent.contract.messages import History as Batch
from edge_agent.contract.model import MAX_MESSAGE_BYTES
from edge_agent.contract.names import Topics
from edge_agent.contract.times import parse_utc
from edge_agent.uplink import history as history_module
from edge_agent.uplink import stored_history
from edge_agent.uplink.boot_clocks import BootClocks
from edge_agent.uplink.database import LinkDatabase
from edge_agent.uplink.fake_wire import FakeBroker
from edge_agent.uplink.history import History
from edge_agent.uplink.outbox import Item, Pump
from edge_agent.uplink.session import Session
from edge_agent.uplink.stamps import Stamper
from edge_agent.uplink.wire import Outgoing, WireOptions
from tests.support.polling import until

TOPIC = "csu/v1/nomad-07/up/history"


def health(number: int, state: str = "ok") -> dict[str, Any]:
    return {"schema": "health/1", "at": "1970-01-01T00:00:00.000Z", "system": {"state": state, "number": number}}


def position(number: int, fix: str = "3d") -> dict[str, Any]:
    return {"type": "Feature", "geometry": None, "properties": {"fix": fix, "number": number}}


@pytest.fixture
def history(database: LinkDatabase, stamper: Stamper, topics: Topics, wake: asyncio.Event) -> History:
    return History(database, stamper, BootClocks(database, stamper), topics, wake)


@dataclass
class Heard:
    """What a source handed out, one batch after another, each acknowledged at once."""

    batches: list[Batch]

    @property
    def numbers(self) -> list[int]:
        return [(sample.get("system") or sample["properties"])["number"] for sample in self.samples]

    @property
    def samples(self) -> list[dict[str, Any]]:
        return [sample for batch in self.batches for sample in batch.samples]


async def take(history: History) -> Item:
    item = await history.next()
    assert item is not None
    return item


def batch_of(item: Item) -> Batch:
    (message,) = item.messages
    assert message.topic == TOPIC
    assert not message.retain
    assert len(message.payload) <= MAX_MESSAGE_BYTES
    return Batch.from_json(message.payload)


async def drain(history: History) -> Heard:
    history.reconnected()
    batches = []
    while (item := await history.next()) is not None:
        batches.append(batch_of(item))
        await history.sent(item)
    return Heard(batches)


def note_health(history: History, clock: FakeClock, numbers: range, every_s: float = 300.0) -> None:
    for number in numbers:
        history.note("health", health(number))
        clock.advance(every_s)


async def rows_of(database: LinkDatabase, table: str) -> int:
    def count(connection: sqlite3.Connection) -> int:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])

    return await database.read(count)


async def test_what_is_noted_offline_follows_in_order_with_its_own_instants(
    history: History, clock: FakeClock
) -> None:
    began_us = clock.wall_us()
    note_health(history, clock, range(20))
    heard = await drain(history)
    assert heard.numbers == list(range(20))
    assert [parse_utc(sample["at"]) for sample in heard.samples] == [began_us + n * 300_000_000 for n in range(20)]
    assert {sample["boot_id"] for sample in heard.samples} == {"a" * 32}
    assert {sample["clock_source"] for sample in heard.samples} == {"chrony"}
    assert sum(batch.left_out for batch in heard.batches) == 0


async def test_nothing_is_written_and_nothing_sent_while_the_broker_answers(
    history: History, clock: FakeClock, database: LinkDatabase
) -> None:
    history.reconnected()
    for number in range(2000):
        history.note("health", health(number, "ok" if number % 2 else "warning"))
        clock.advance(60)
        history.heard(clock.monotonic_us() - 1)
    assert await history.next() is None
    assert await rows_of(database, "history") == 0
    history.ended()
    assert (await drain(history)).numbers == []


async def test_what_was_noted_on_a_half_open_connection_was_not_heard(history: History, clock: FakeClock) -> None:
    history.reconnected()
    history.note("health", health(1))
    clock.advance(10)
    history.heard(clock.monotonic_us())  # a ping that was sent after it was answered
    history.note("health", health(2))
    clock.advance(10)
    history.note("position", position(3))
    history.heard(clock.monotonic_us() - 15_000_000)  # the answer to something older
    history.ended()
    history.ended()
    assert (await drain(history)).numbers == [2, 3]


async def test_of_plain_samples_one_in_five_minutes_is_kept_and_every_change(
    history: History, clock: FakeClock
) -> None:
    for number in range(60):
        history.note("health", health(number, "critical" if number in {21, 22} else "ok"))
        clock.advance(60)
    heard = await drain(history)
    changes = {0, 21, 23}
    assert changes <= set(heard.numbers)
    plain = [number for number in heard.numbers if number not in changes]
    assert 12 <= len(plain) <= 13
    assert max(later - earlier for earlier, later in pairwise(plain)) <= 6


async def test_batches_hold_one_kind_each_and_fit(history: History, clock: FakeClock) -> None:
    for number in range(0, 200, 2):
        history.note("health", health(number) | {"padding": "é" * 600})
        history.note("position", position(number + 1))
        clock.advance(300)
    heard = await drain(history)
    assert sorted(heard.numbers) == list(range(200))
    for kind in ("health", "position"):
        numbers = Heard([batch for batch in heard.batches if batch.kind == kind]).numbers
        assert numbers == sorted(numbers)
    assert all(len(batch.to_json()) < stored_history.BATCH_BYTES + 600 for batch in heard.batches)
    firsts = [parse_utc(batch.samples[0]["at"]) for batch in heard.batches]
    assert firsts == sorted(firsts)


async def test_what_was_not_acknowledged_comes_again_under_the_same_id(history: History, clock: FakeClock) -> None:
    note_health(history, clock, range(100))
    history.reconnected()
    lost = [await take(history) for _ in range(history_module.WINDOW)]
    assert await history.next() is None  # the window is full
    note_health(history, clock, range(100, 110))
    history.ended()
    for item in lost:
        history.lost(item)
    heard = await drain(history)
    assert [batch.to_json() for batch in heard.batches[: len(lost)]] == [item.messages[0].payload for item in lost]
    assert heard.numbers == list(range(110))
    assert len({batch.history_id for batch in heard.batches}) == len(heard.batches)


async def test_a_batch_survives_the_link_and_is_deleted_once_it_has_settled(
    history: History, database: LinkDatabase, stamper: Stamper, topics: Topics, wake: asyncio.Event, clock: FakeClock
) -> None:
    note_health(history, clock, range(3))
    history.reconnected()
    first = batch_of(await take(history))
    reborn = History(database, stamper, BootClocks(database, stamper), topics, wake)
    again = await drain(reborn)
    assert again.batches == [first]
    assert await rows_of(database, "history_batches") == 1
    settling = asyncio.create_task(reborn.run())
    await until_rows(database, "history_batches", 0)
    settling.cancel()
    await asyncio.wait({settling})
    assert (await drain(reborn)).batches == []


async def until_rows(database: LinkDatabase, table: str, count: int) -> None:
    for _ in range(500):
        if await rows_of(database, table) == count:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{table} has {await rows_of(database, table)} rows, not {count}")


async def test_gathered_samples_are_written_now_and_then_at_once_with_a_change_and_at_the_end(
    history: History, database: LinkDatabase, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = asyncio.Event()

    async def sleep(_seconds: float) -> None:
        gate.clear()
        await gate.wait()

    async def look() -> None:
        await asyncio.sleep(0.01)
        gate.set()
        await asyncio.sleep(0.05)

    monkeypatch.setattr(clock, "async_sleep", sleep)
    running = asyncio.create_task(history.run())
    history.note("health", health(0))  # what the last life saw is not known: a change
    await look()
    assert await rows_of(database, "history") == 1
    history.note("health", health(1))
    await look()
    assert await rows_of(database, "history") == 1
    clock.advance(301)
    await look()
    assert await rows_of(database, "history") == 2
    history.note("health", health(2, "warning"))
    await look()
    assert await rows_of(database, "history") == 3
    clock.advance(301)
    history.note("health", health(3, "warning"))
    running.cancel()
    await asyncio.wait({running})
    assert await rows_of(database, "history") == 4


async def test_instants_of_a_boot_without_a_clock_are_told_right_once_it_is_known(
    history: History, clock: FakeClock, stamper: Stamper, database: LinkDatabase
) -> None:
    stamper.belief.source = "unknown"
    now_us = clock.wall_us()
    clock.step_wall(-40 * 365 * 86_400)
    history.note("health", health(1))
    clock.advance(3600)
    await history.keep()
    stamper.belief.source = "kernel"
    clock.step_wall(40 * 365 * 86_400)
    heard = await drain(history)
    assert [(parse_utc(sample["at"]), sample["clock_source"]) for sample in heard.samples] == [(now_us, "kernel")]


async def test_instants_of_an_earlier_boot_are_told_as_that_boot_knew_them(
    database: LinkDatabase, stamper: Stamper, topics: Topics, wake: asyncio.Event, clock: FakeClock
) -> None:
    first, second = BootClocks(database, stamper), BootClocks(database, stamper)
    before = History(database, stamper, first, topics, wake)
    true_us = clock.wall_us()
    stamper.belief.source = "unknown"
    clock.step_wall(-1_000_000)
    before.note("position", position(1))
    clock.step_wall(1_000_000)
    stamper.belief.source = "chrony"
    await first.look()
    await before.keep()

    later = Stamper(stamper.unit_id, "b" * 32, FakeClock(), stamper.belief, stamper.counter)
    second = BootClocks(database, later)
    await second.load()
    heard = await drain(History(database, later, second, topics, wake))
    (sample,) = heard.samples
    assert (parse_utc(sample["at"]), sample["boot_id"], sample["clock_source"]) == (true_us, "a" * 32, "chrony")
    assert sample["properties"]["at"] == sample["at"]
    assert heard.batches[0].boot_id == "b" * 32


@pytest.mark.parametrize("step_h", [-30, -2, 2, 30])
async def test_steps_of_the_wall_clock_change_neither_order_nor_what_is_kept(
    history: History, clock: FakeClock, step_h: int
) -> None:
    for number in range(48):
        clock.step_wall(step_h * 3600 if number % 2 else -step_h * 3600)
        history.note("health", health(number))
        clock.advance(300)
        await history.keep()
    heard = await drain(history)
    assert heard.numbers == list(range(48))
    instants = [parse_utc(sample["at"]) for sample in heard.samples]
    assert [later - earlier for earlier, later in pairwise(instants)] == [300_000_000] * 47


@pytest.mark.parametrize("refusal", ["query_only=1", "max_page_count=1"])
async def test_a_database_that_refuses_costs_nothing_until_memory_is_full(
    history: History, database: LinkDatabase, clock: FakeClock, refusal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_module, "MAX_IN_MEMORY", 50)
    await database.read(lambda connection: connection.execute(f"PRAGMA {refusal}").fetchall())
    for number in range(120):
        history.note("health", health(number) | {"padding": "x" * 4000})
        clock.advance(300)
        if number % 10 == 0:
            assert not await history.keep()
    await database.read(lambda connection: connection.execute("PRAGMA query_only=0").fetchall())
    await database.read(lambda connection: connection.execute("PRAGMA max_page_count=1000000").fetchall())
    heard = await drain(history)
    assert heard.numbers == [0, *range(71, 120)]  # the first is a change
    assert heard.batches[0].left_out == 70
    assert sum(batch.left_out for batch in heard.batches) == 70


async def test_a_database_that_is_locked_is_tried_again(
    history: History, database: LinkDatabase, clock: FakeClock, tmp_path: Path
) -> None:
    await database.read(lambda connection: connection.execute("PRAGMA busy_timeout=10").fetchall())
    other = sqlite3.connect(tmp_path / "link" / "link.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    note_health(history, clock, range(3))
    assert not await history.keep()
    other.execute("ROLLBACK")
    other.close()
    assert (await drain(history)).numbers == [0, 1, 2]


async def test_what_the_database_refused_at_the_return_follows_when_it_takes_it(
    history: History, database: LinkDatabase, clock: FakeClock, wake: asyncio.Event
) -> None:
    await database.read(lambda connection: connection.execute("PRAGMA query_only=1").fetchall())
    note_health(history, clock, range(3))
    running = asyncio.create_task(history.run())
    async with published(history, wake) as broker:
        await until(lambda: broker.connections == 1, what="the return")
        await asyncio.sleep(0.1)
        assert numbers_at(broker) == []
        await database.read(lambda connection: connection.execute("PRAGMA query_only=0").fetchall())
        await until(lambda: numbers_at(broker) == [0, 1, 2], what="what waited in memory")
    running.cancel()
    await asyncio.wait({running})


async def test_what_is_being_written_when_the_link_ends_is_written(
    history: History, clock: FakeClock, database: LinkDatabase
) -> None:
    note_health(history, clock, range(3))
    released = threading.Event()
    busy = asyncio.create_task(database.read(lambda _connection: released.wait(30)))
    keeping = asyncio.create_task(history.keep())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    keeping.cancel()
    await asyncio.wait({keeping})
    released.set()
    await busy
    assert await rows_of(database, "history") == 3


@pytest.mark.parametrize(("is_half_open", "kept"), [(False, 0), (True, 1)])
async def test_what_nobody_heard_at_the_links_end_is_kept(
    history: History, database: LinkDatabase, clock: FakeClock, is_half_open: bool, kept: int
) -> None:
    broker = FakeBroker()
    will = Outgoing("csu/v1/nomad-07/up/status", b"offline", retain=True)
    session = Session(WireOptions("nomad-07", will), "#", broker.factory, clock, witness=history)

    class Greeting:
        async def on_online(self, session_present: bool) -> None:
            history.reconnected()
            history.note("health", health(1))

    task = asyncio.create_task(session.run(Greeting()))
    await until(lambda: session.is_online, what="online")
    await asyncio.sleep(0)
    broker.withhold = is_half_open
    task.cancel()
    await asyncio.wait({task})
    await history.keep()
    assert await rows_of(database, "history") == kept


@pytest.mark.parametrize(
    "body", [{"figure": float("nan")}, {"text": "\ud800"}, {"text": "x" * 20_000}], ids=["nan", "surrogate", "long"]
)
async def test_a_sample_that_cannot_be_sent_is_counted(
    history: History, clock: FakeClock, body: dict[str, object]
) -> None:
    history.note("health", health(1) | body)
    note_health(history, clock, range(2, 3))
    heard = await drain(history)
    assert heard.numbers == [2]
    assert heard.batches[0].left_out == 1


@asynccontextmanager
async def published(history: History, wake: asyncio.Event) -> AsyncIterator[FakeBroker]:
    """A session and a pump whose only source is the history."""

    class Begin:
        async def on_online(self, session_present: bool) -> None:
            history.reconnected()

    broker = FakeBroker()
    session = Session(
        WireOptions("nomad-07", Outgoing("w", b"")), "d/#", broker.factory, FakeClock(), witness=history
    )
    tasks = {
        asyncio.create_task(session.run(Begin())),
        asyncio.create_task(Pump(session, (history,), wake).run()),
    }
    try:
        yield broker
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


def numbers_at(broker: FakeBroker) -> list[int]:
    """Numbers in the order in which the broker has them, a batch that came twice counted once."""
    batches = {
        message.payload: Batch.from_json(message.payload) for message in broker.published if message.topic == TOPIC
    }
    return [sample["system"]["number"] for batch in batches.values() for sample in batch.samples]


async def test_cuts_in_mid_delivery_lose_nothing_and_change_no_order(
    history: History, wake: asyncio.Event, clock: FakeClock
) -> None:
    for first in range(0, 400, 100):
        note_health(history, clock, range(first, first + 100))
        await history.keep()
    async with published(history, wake) as broker:
        for cut in range(1, 8):
            expected = cut * 20
            await until(lambda: len(numbers_at(broker)) >= expected, what="some batches")  # noqa: B023 -- awaited here
            broker.withhold = True
            wake.set()
            await asyncio.sleep(0.02)
            broker.cut()
            broker.withhold = False
        await until(lambda: 399 in numbers_at(broker), what="all of it")
    numbers = numbers_at(broker)
    assert numbers == sorted(set(numbers))
    assert len(numbers) == pytest.approx(288 + 112 / 6, abs=3)


@pytest.mark.parametrize("moment", ["history:kept:before", "history:sealed:before", "history:sealed:after"])
async def test_a_death_at_a_durable_step_sends_nothing_twice(
    database: LinkDatabase, stamper: Stamper, topics: Topics, wake: asyncio.Event, clock: FakeClock, moment: str
) -> None:
    class Death(BaseException):
        """The process ends here."""

    deadly = [False]

    def die(name: str) -> None:
        if deadly[0] and name == moment:
            raise Death

    dying = History(database, stamper, BootClocks(database, stamper), topics, wake, die)
    note_health(dying, clock, range(10))
    await dying.keep()
    dying.note("health", health(10))
    dying.reconnected()
    deadly[0] = True
    with pytest.raises(Death):
        await dying.next()
    reborn = History(database, stamper, BootClocks(database, stamper), topics, wake)
    numbers = (await drain(reborn)).numbers
    assert numbers == list(range(10 if moment == "history:kept:before" else 11))
