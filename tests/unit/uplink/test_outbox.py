"""What is published, in what order, and what happens to it when the connection ends first."""

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from edge_agent.clock import FakeClock
from edge_agent.contract.event_names import EventName
from edge_agent.contract.messages import Progress
from edge_agent.contract.names import Topics
from edge_agent.contract.times import parse_utc
from edge_agent.errors import LedgerError
from edge_agent.uplink import event_bound, outbox, stored_queue
from edge_agent.uplink import events as events_module
from edge_agent.uplink.database import LinkDatabase, Result, Work
from edge_agent.uplink.events import Events
from edge_agent.uplink.fake_wire import FakeBroker
from edge_agent.uplink.ledger import Ledger, Step, fail
from edge_agent.uplink.outbox import Item, Pump, RetainedTopics
from edge_agent.uplink.replies import LooseReply, Replies
from edge_agent.uplink.session import Session
from edge_agent.uplink.stamps import Stamper
from edge_agent.uplink.states import State
from edge_agent.uplink.wire import Inbound, Outgoing, WireOptions
from tests.support.patient_clock import PatientClock
from tests.support.polling import until
from tests.unit.uplink.test_ledger import new_command


class NobodyToGreet:
    async def on_online(self, session_present: bool) -> None:
        """Nothing is published at a connection's begin."""


@dataclass
class Out:
    """The outgoing half of a link on a broker in memory."""

    broker: FakeBroker
    retained: RetainedTopics
    replies: Replies
    events: Events

    def bodies(self, name: str) -> list[dict[str, object]]:
        return [
            json.loads(message.payload) for message in self.broker.published if message.topic.endswith(f"/{name}")
        ]


@pytest.fixture
def out(ledger: Ledger, database: LinkDatabase, stamper: Stamper, topics: Topics, wake: asyncio.Event) -> Out:
    replies = Replies(ledger, stamper, topics, wake)
    return Out(FakeBroker(), RetainedTopics(wake), replies, Events(database, stamper, topics, wake))


@asynccontextmanager
async def running(out: Out, wake: asyncio.Event) -> AsyncIterator[Session]:
    session = Session(WireOptions("nomad-07", Outgoing("w", b"")), "down/#", out.broker.factory, FakeClock())
    pump = Pump(session, (out.retained, out.replies, out.events), wake)
    tasks = {asyncio.create_task(session.run(NobodyToGreet())), asyncio.create_task(pump.run())}
    try:
        yield session
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def test_only_the_last_body_of_a_retained_topic_is_published(out: Out, wake: asyncio.Event) -> None:
    out.retained.put("t/health", b"1")
    out.retained.put("t/health", b"2")
    async with running(out, wake):
        await until(lambda: bool(out.broker.published), what="a publication")
        out.retained.put("t/health", b"2")
        out.retained.put("t/alarms", b"3")
        await until(lambda: len(out.broker.published) == 2, what="the other topic")
        out.retained.renew()
        await until(lambda: len(out.broker.published) == 4, what="both again")
    assert [message.payload for message in out.broker.published[:4]] == [b"2", b"3", b"2", b"3"]
    assert all(message.retain for message in out.broker.published[:4])


async def test_what_the_broker_did_not_acknowledge_is_published_again(
    out: Out, wake: asyncio.Event, ledger: Ledger, clock: FakeClock
) -> None:
    entry = await ledger.store(new_command(clock), fail("unknown-camera", "no", State.REJECTED, False))
    await out.replies.load()
    out.retained.put("t/health", b"{}")
    await out.events.occurred(EventName.COMMAND_REFUSED, {"code": "malformed"})
    out.replies.queue_loose(LooseReply("unknown", "unknown", "rejected"))
    out.broker.withhold = True
    async with running(out, wake):
        await until(lambda: len(out.broker.withheld) == 4, what="four publications")
        out.broker.withhold = False
        out.broker.cut()
        await until(lambda: len(out.broker.published) == 4, what="four publications again")
        assert out.broker.wire is not None
    assert await ledger.unsent_ids() == []
    assert {body["command_id"] for body in out.bodies("reply")} == {entry.command_id, "unknown"}
    assert [body["name"] for body in out.bodies("event")] == ["command-refused"]


async def test_a_reply_is_the_one_that_stands_when_it_is_sent(
    out: Out, wake: asyncio.Event, ledger: Ledger, clock: FakeClock
) -> None:
    entry = await ledger.store(new_command(clock))
    out.replies.queue(entry.command_id)
    planned = await ledger.advance(entry, Step(State.PLANNED, result={"clip": {}}))
    assert planned is not None
    running_entry = await ledger.advance(planned, Step(State.RUNNING))
    assert running_entry is not None
    out.replies.set_progress(entry.command_id, Progress(sent_bytes=1, total_bytes=4))
    async with running(out, wake):
        await until(lambda: bool(out.bodies("reply")), what="a reply")
        failed = await ledger.advance(running_entry, fail("upload-refused", "413: too much"))
        assert failed is not None
        out.replies.set_progress(entry.command_id, Progress(sent_bytes=2, total_bytes=4))
        await until(lambda: len(out.bodies("reply")) == 2, what="the end")
    first, last = out.bodies("reply")[:2]
    assert (first["state"], first["progress"]) == ("running", {"sent_bytes": 1, "total_bytes": 4})
    assert (last["state"], last.get("progress")) == ("failed", None)
    assert first["clock_bound_ms"] == 5
    assert first["seq"] != last["seq"]


async def test_a_topic_that_the_broker_denies_blocks_nothing(out: Out, wake: asyncio.Event) -> None:
    out.broker.denied.add("t/position")
    out.retained.put("t/position", b"{}")
    out.retained.put("t/health", b"{}")
    async with running(out, wake):
        await until(
            lambda: [message.topic for message in out.broker.published] == ["t/health"], what="the other topic"
        )


async def test_an_oversized_result_is_left_out_and_said_to_be(
    out: Out, wake: asyncio.Event, ledger: Ledger, clock: FakeClock
) -> None:
    entry = await ledger.store(new_command(clock, "clip.list"), Step(State.DONE, result={"clips": ["x" * 20_000]}))
    out.replies.queue(entry.command_id)
    async with running(out, wake):
        await until(lambda: bool(out.bodies("reply")), what="a reply")
    assert out.broker.published[0].payload.count(b"left_out_bytes") == 1
    assert len(out.broker.published[0].payload) < 1000


@pytest.mark.parametrize(
    ("topic", "taken"),
    [
        ("csu/v1/nomad-07/up/reply/desk", True),
        ("csu/v1/nomad-08/up/reply", False),
        ("csu/v1/nomad-07/up/#", False),
        ("csu/v1/nomad-07/up/+/x", False),
        ("csu/v1/nomad-07/down/command", False),
        ("csu/v1/nomad-07/up/" + "x" * 300, False),
        (None, False),
    ],
)
def test_response_topics(out: Out, topic: str | None, taken: bool) -> None:
    message = Inbound("t", b"", 1, 1, 1, response_topic=topic)
    assert out.replies.response_topic_of(message) == (topic if taken else None)


async def test_alarms_are_raised_once_and_cleared_once_over_restarts(
    out: Out, database: LinkDatabase, stamper: Stamper, topics: Topics, wake: asyncio.Event
) -> None:
    key = (EventName.CAMERA_LOST.value, "main")
    assert await out.events.observe({key: {"cause": "camera-lost"}})
    assert not await out.events.observe({key: {"cause": "camera-lost"}})
    assert not await out.events.observe({})
    reborn = Events(database, stamper, topics, wake)
    await reborn.load()
    assert [(alarm.name, alarm.camera) for alarm in reborn.raised] == [key]
    assert not await reborn.observe({key: {"cause": "camera-lost"}})
    assert await reborn.observe({key: None})
    assert reborn.raised == ()
    out.events = reborn
    async with running(out, wake):
        await until(lambda: len(out.bodies("event")) == 2, what="two events")
    assert [body["state"] for body in out.bodies("event")] == ["raised", "cleared"]


@pytest.mark.parametrize("step_s", [-7 * 86_400, 3600, 2 * 365 * 86_400])
async def test_how_long_an_alarm_lasts_is_no_matter_of_the_wall_clock(
    out: Out, stamper: Stamper, clock: FakeClock, wake: asyncio.Event, step_s: float
) -> None:
    key = (EventName.CAMERA_LOST.value, "main")
    stamper.belief.source = "unknown"
    await out.events.observe({key: {"cause": "camera-lost"}})
    said_us = out.events.raised[0].since_us
    clock.advance(90)
    clock.step_wall(step_s)
    stamper.belief.source = "chrony"
    assert out.events.raised[0].since_us == said_us + step_s * 1_000_000
    clock.advance(30)
    await out.events.observe({key: None})
    async with running(out, wake):
        await until(lambda: len(out.bodies("event")) == 2, what="two events")
    raised, cleared = out.bodies("event")
    assert cleared["details"] == {"lasted_s": 120.0}
    assert parse_utc(str(raised["at"])) == said_us + step_s * 1_000_000


async def test_an_alarm_of_an_earlier_life_never_lasted_less_than_nothing(
    out: Out, database: LinkDatabase, stamper: Stamper, topics: Topics, clock: FakeClock, wake: asyncio.Event
) -> None:
    key = (EventName.CAMERA_LOST.value, "main")
    await out.events.observe({key: {"cause": "camera-lost"}})
    clock.step_wall(-86_400)
    out.events = Events(database, stamper, topics, wake)
    await out.events.load()
    await out.events.observe({key: None})
    async with running(out, wake):
        await until(lambda: len(out.bodies("event")) == 2, what="two events")
    assert out.bodies("event")[-1]["details"] == {"lasted_s": 0.0}


async def test_events_beyond_the_bound_are_counted(
    out: Out, wake: asyncio.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_bound, "MAX_WAITING", 5)
    for number in range(20):
        await out.events.occurred(EventName.COMMAND_REFUSED, {"number": number})
    async with running(out, wake):
        await until(lambda: len(out.bodies("event")) == 5, what="five events")
    first, *others = out.bodies("event")
    assert (first["name"], first["details"]) == ("events-lost", {"count": 16, "of": {"command-refused": 16}})
    assert [body["details"] for body in others] == [{"number": number} for number in range(16, 20)]


async def test_an_acknowledged_event_is_kept_until_the_broker_must_have_stored_it(
    out: Out, wake: asyncio.Event, database: LinkDatabase, stamper: Stamper, topics: Topics
) -> None:
    patient, online = PatientClock(), [True]
    out.events = Events(database, dataclasses.replace(stamper, clock=patient), topics, wake)

    async def kept() -> int:
        rows = await database.read(lambda connection: connection.execute("SELECT count(*) FROM events").fetchone())
        return int(rows[0])

    settling = asyncio.create_task(out.events.run(lambda: online[0]))
    async with running(out, wake):
        await out.events.occurred(EventName.COMMAND_REFUSED, {"number": 1})
        await until(lambda: len(out.bodies("event")) == 1, what="the event")
        assert await kept() == 1
        online[0] = False  # the broker dies
        await advance(patient, 20)
        assert await kept() == 1
        out.events.reconnected()
        online[0] = True
        await until(lambda: len(out.bodies("event")) == 2, what="the event again")
        await advance(patient, 4)
        assert await kept() == 1
        await advance(patient, 8)
        assert await kept() == 0
        out.events.reconnected()
        await out.events.occurred(EventName.COMMAND_REFUSED, {"number": 2})
        await until(lambda: len(out.bodies("event")) == 3, what="another event")
    settling.cancel()
    await asyncio.wait({settling})
    first, again, other = out.bodies("event")
    assert first["event_id"] == again["event_id"] != other["event_id"]


class GatedDatabase:
    """A link's database whose reads, once gated, wait for the test with their rows in hand."""

    def __init__(self, database: LinkDatabase) -> None:
        self._database = database
        self.gate = asyncio.Event()
        self.gate.set()
        self.waiting = 0

    async def read(self, work: Work[Result]) -> Result:
        rows = await self._database.read(work)
        self.waiting += 1
        await self.gate.wait()
        self.waiting -= 1
        return rows


async def store_events(out: Out, count: int) -> None:
    for number in range(count):
        await out.events.occurred(EventName.COMMAND_REFUSED, {"number": number})


async def taken(events: Events) -> AsyncIterator[int]:
    """What the events hand out until nothing is left, each acknowledged at once."""
    while (item := await events.next()) is not None:
        yield int(json.loads(item.messages[0].payload)["details"]["number"])
        await events.sent(item)


async def test_events_read_while_another_connection_begins_are_sent_in_order_on_that_one(
    out: Out, database: LinkDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 2 * stored_queue.READ_ROWS
    await store_events(out, count)
    gated = GatedDatabase(database)
    monkeypatch.setattr(out.events._queue, "_database", gated)
    first = taken(out.events)
    for number in range(stored_queue.READ_ROWS):
        assert await anext(first) == number
    gated.gate.clear()
    reading = asyncio.create_task(out.events.next())
    await until(lambda: gated.waiting == 1, what="a batch in flight")
    out.events.reconnected()
    gated.gate.set()
    item = await reading
    assert item is not None
    assert json.loads(item.messages[0].payload)["details"] == {"number": 0}
    assert [number async for number in taken(out.events)] == list(range(1, count))


async def test_what_ends_late_of_an_ended_connection_disturbs_no_order(out: Out) -> None:
    await store_events(out, 4)
    late = [await out.events.next() for _ in range(3)]
    out.events.reconnected()
    again = taken(out.events)
    assert [await anext(again), await anext(again)] == [0, 1]
    acknowledged, lost, other = late
    assert acknowledged is not None
    assert lost is not None
    assert other is not None
    await out.events.sent(acknowledged)
    out.events.lost(lost)
    out.events.lost(other)
    assert [number async for number in again] == [2, 3]
    out.events.reconnected()
    assert [number async for number in taken(out.events)] == [0, 1, 2, 3]


async def test_events_in_memory_that_were_lost_keep_their_order(out: Out, database: LinkDatabase) -> None:
    await database.read(lambda connection: connection.execute("PRAGMA query_only=1"))
    await store_events(out, events_module._MAX_IN_MEMORY)
    lost = [await out.events.next() for _ in range(4)]
    for item in lost:
        assert item is not None
        out.events.lost(item)
    assert [number async for number in taken(out.events)] == list(range(events_module._MAX_IN_MEMORY))


async def test_events_that_memory_has_no_room_for_are_counted_once(out: Out, database: LinkDatabase) -> None:
    """A disk that is full for days; what waits is bounded, and the centre hears how much of what is missing."""
    await database.read(lambda connection: connection.execute("PRAGMA query_only=1"))
    await store_events(out, 100)
    await out.events.observe({(EventName.STORAGE_ERROR.value, "main"): {"detail": "read-only"}})
    await store_events(out, 899)
    told: list[dict[str, Any]] = []
    while (item := await out.events.next()) is not None:
        told.append(json.loads(item.messages[0].payload))
    assert len(told) == events_module._MAX_IN_MEMORY
    assert told[0]["name"] == "events-lost"
    gone = 1000 - events_module._MAX_IN_MEMORY + 1
    assert told[0]["details"] == {"count": gone, "of": {"command-refused": gone - 1, "storage-error": 1}}
    assert {body["name"] for body in told[1:]} == {"command-refused"}


class GatedSource:
    """Hands numbers out in order, the first of them when the test opens the gate."""

    def __init__(self, count: int) -> None:
        self.gate = asyncio.Event()
        self.asked = 0
        self.given_back: list[int] = []
        self._left = list(range(count))

    async def next(self) -> Item | None:
        self.asked += 1
        number = self._left.pop(0) if self._left else None
        await self.gate.wait()
        return None if number is None else Item((Outgoing("t", b"%d" % number),), number)

    async def sent(self, item: Item) -> None:
        """Nothing is marked."""

    def lost(self, item: Item) -> None:
        assert isinstance(item.token, int)
        self.given_back.append(item.token)
        self._left.append(item.token)
        self._left.sort()


async def test_what_was_taken_for_an_ended_connection_is_not_published_on_the_next(
    out: Out, wake: asyncio.Event
) -> None:
    source = GatedSource(3)
    broker = out.broker
    session = Session(WireOptions("nomad-07", Outgoing("w", b"")), "down/#", broker.factory, FakeClock())
    pump = Pump(session, (source,), wake)
    tasks = {asyncio.create_task(session.run(NobodyToGreet())), asyncio.create_task(pump.run())}
    await until(lambda: source.asked == 1, what="the first taken")
    broker.cut()
    await until(lambda: broker.connections == 2 and session.is_online, what="another connection")
    source.gate.set()
    await until(lambda: len(broker.published) == 3, what="all published")
    assert source.given_back == [0]
    assert sorted(message.payload for message in broker.published) == [b"0", b"1", b"2"]
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


class RefusingDatabase:
    """A link's database that refuses its next reads."""

    def __init__(self, database: LinkDatabase, refusals: int) -> None:
        self._database = database
        self.refusals = refusals

    async def read(self, work: Work[Result]) -> Result:
        if self.refusals:
            self.refusals -= 1
            raise LedgerError("disk I/O error")
        return await self._database.read(work)


async def test_a_database_that_refused_is_asked_again_though_nothing_new_is_said(
    out: Out, wake: asyncio.Event, database: LinkDatabase, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = await ledger.store(new_command(FakeClock()), fail("unknown-camera", "no", State.REJECTED, False))
    out.replies.queue(entry.command_id)
    monkeypatch.setattr(outbox, "READ_AGAIN_S", 0.1)
    refusing = RefusingDatabase(database, refusals=3)
    monkeypatch.setattr(ledger, "_database", refusing)
    async with running(out, wake):
        await until(lambda: not refusing.refusals, what="refusals")
        monkeypatch.setattr(ledger, "_database", database)
        await until(lambda: bool(out.bodies("reply")), what="the reply")


async def advance(clock: PatientClock, seconds: int) -> None:
    """A second at a time, so that sleepers look."""
    for _ in range(seconds):
        clock.advance(1)
        await asyncio.sleep(0.02)


async def test_acknowledged_events_make_room_before_others_are_left_out(
    out: Out, wake: asyncio.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_bound, "MAX_WAITING", 5)
    async with running(out, wake):
        for number in range(20):
            await out.events.occurred(EventName.COMMAND_REFUSED, {"number": number})
            await until(lambda: len(out.events._queue.acknowledged) == number + 1, what="the acknowledgement")  # noqa: B023 -- called before the next one
    assert [body["details"] for body in out.bodies("event")] == [{"number": number} for number in range(20)]


async def test_events_live_in_memory_when_the_database_cannot_be_written(
    out: Out, database: LinkDatabase, wake: asyncio.Event
) -> None:
    await database.read(lambda connection: connection.execute("PRAGMA query_only=1"))
    await out.events.observe({(EventName.STORAGE_ERROR.value, "main"): {"detail": "read-only"}})
    async with running(out, wake):
        await until(lambda: bool(out.bodies("event")), what="the event")
    assert out.bodies("event")[0]["name"] == "storage-error"
