"""The session over connections that fail, end and come back."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from edge_agent.clock import FakeClock
from edge_agent.errors import ConnectionLostError
from edge_agent.uplink import session as session_module
from edge_agent.uplink.fake_wire import FakeBroker
from edge_agent.uplink.session import Session
from edge_agent.uplink.wire import Inbound, Outgoing, WireOptions
from tests.support.patient_clock import PatientClock
from tests.support.polling import until

WILL = Outgoing("csu/v1/nomad-07/up/status", b"offline", retain=True)
COMMAND = "csu/v1/nomad-07/down/command"


class Presence:
    """Remembers whether the broker had the session, a connection each."""

    def __init__(self) -> None:
        self.seen: list[bool] = []

    async def on_online(self, session_present: bool) -> None:
        self.seen.append(session_present)


@asynccontextmanager
async def running(
    broker: FakeBroker, presence: Presence | None = None, farewell: Callable[[], Outgoing] | None = None
) -> AsyncIterator[Session]:
    options = WireOptions("nomad-07", WILL, farewell)
    session = Session(options, "csu/v1/nomad-07/down/#", broker.factory, FakeClock())
    task = asyncio.create_task(session.run(presence or Presence()))
    try:
        yield session
    finally:
        task.cancel()
        await asyncio.wait({task})


async def collect(session: Session, into: list[Inbound], acknowledge: bool) -> None:
    async for message in session.messages():
        into.append(message)
        if acknowledge:
            session.acknowledge(message)


async def test_it_connects_again_for_ever_and_tells_whether_the_session_was_there() -> None:
    broker, presence = FakeBroker(), Presence()
    broker.refusals.extend(["no such host", "refused", "Not authorized"])
    async with running(broker, presence) as session:
        await until(lambda: session.is_online, what="online")
        broker.cut()
        await until(lambda: broker.connections == 2, what="a second connection")
        broker.forget()
        broker.cut()
        await until(lambda: broker.connections == 3, what="a third connection")
        await until(lambda: len(presence.seen) == 3, what="three greetings")
    assert presence.seen == [False, True, False]
    assert len(broker.subscriptions) == 3


async def test_an_end_in_order_publishes_the_will_itself() -> None:
    broker = FakeBroker()
    async with running(broker) as session:
        await until(lambda: session.is_online, what="online")
    assert broker.published[-1] == WILL
    assert broker.wire is None


async def test_a_unit_that_goes_says_so_in_words_of_its_own() -> None:
    broker = FakeBroker()
    farewell = Outgoing("csu/v1/nomad-07/up/status", b"goodbye", retain=True)
    async with running(broker, farewell=lambda: farewell) as session:
        await until(lambda: session.is_online, what="online")
    assert broker.published[-1] == farewell


async def test_who_is_told_to_end_while_a_connection_begins_does_not_stay_online_at_the_centre() -> None:
    broker = FakeBroker()
    begins = asyncio.Event()

    async def subscribing() -> None:
        begins.set()
        await asyncio.Event().wait()

    async with running(broker) as session:
        await until(lambda: session.is_online, what="online")
        broker.subscribing = subscribing
        broker.cut()
        await until(begins.is_set, what="the next connection")
    assert broker.published == [WILL]


async def test_a_refused_subscription_does_not_leave_the_unit_online_at_the_centre() -> None:
    broker = FakeBroker()
    async with running(broker) as session:
        await until(lambda: session.is_online, what="online")
        broker.denied.add("csu/v1/nomad-07/down/#")
        broker.cut()
        await until(lambda: bool(broker.published), what="the will")
    assert set(broker.published) == {WILL}


async def test_a_farewell_that_nobody_acknowledged_leaves_the_will_in_place() -> None:
    broker = FakeBroker()
    farewell = Outgoing("csu/v1/nomad-07/up/status", b"goodbye", retain=True)
    async with running(broker, farewell=lambda: farewell) as session:
        await until(lambda: session.is_online, what="online")
        broker.denied.add(farewell.topic)
    assert broker.published == [WILL]


async def test_messages_come_in_order_and_are_acknowledged_in_order() -> None:
    broker, seen = FakeBroker(), list[Inbound]()
    async with running(broker) as session:
        reader = asyncio.create_task(collect(session, seen, acknowledge=True))
        for number in range(50):
            broker.send(COMMAND, b"%d" % number)
        await until(lambda: len(broker.acknowledged) == 50, what="50 acknowledgements")
        reader.cancel()
    assert broker.acknowledged == [b"%d" % number for number in range(50)]


async def test_what_was_not_acknowledged_comes_again() -> None:
    broker, seen = FakeBroker(), list[Inbound]()
    async with running(broker) as session:
        reader = asyncio.create_task(collect(session, seen, acknowledge=False))
        broker.send(COMMAND, b"x")
        await until(lambda: len(seen) == 1, what="the message")
        broker.cut()
        await until(lambda: len(seen) == 2, what="the message again")
        session.acknowledge(seen[0])  # of a connection that is over
        assert broker.acknowledged == []
        session.acknowledge(seen[1])
        assert broker.acknowledged == [b"x"]
        reader.cancel()


async def test_an_old_connection_that_ends_late_leaves_the_new_one_alone() -> None:
    broker = FakeBroker()
    async with running(broker) as session:
        await until(lambda: session.is_online, what="online")
        old = broker.wire
        assert old is not None
        broker.cut()
        await until(lambda: broker.connections == 2 and session.is_online, what="a second connection")
        old.say_closed("its thread came back late")
        await asyncio.sleep(0.05)
        assert (broker.connections, session.is_online) == (2, True)


async def test_publishing_without_connection_is_refused() -> None:
    broker = FakeBroker()
    broker.refusals.extend(["down"] * 10_000)
    async with running(broker) as session:
        with pytest.raises(ConnectionLostError):
            await session.publish(Outgoing("csu/v1/nomad-07/up/reply", b"x"), session.generation)


async def test_a_publication_that_is_under_way_ends_with_the_connection() -> None:
    broker = FakeBroker()
    broker.withhold = True
    async with running(broker) as session:
        await until(lambda: session.is_online, what="online")
        publication = asyncio.create_task(
            session.publish(Outgoing("csu/v1/nomad-07/up/reply", b"x"), session.generation)
        )
        await until(lambda: bool(broker.withheld), what="the publication")
        broker.withhold = False
        broker.cut()
        with pytest.raises(ConnectionLostError):
            await publication


class Book:
    """A witness that remembers what it was told."""

    def __init__(self) -> None:
        self.heard_us: list[int] = []
        self.ends = 0

    def heard(self, until_us: int) -> None:
        self.heard_us.append(until_us)

    def ended(self) -> None:
        self.ends += 1


@asynccontextmanager
async def witnessed(broker: FakeBroker, clock: FakeClock) -> AsyncIterator[tuple[Session, Book]]:
    book = Book()
    session = Session(WireOptions("nomad-07", WILL), "d/#", broker.factory, clock, witness=book)
    task = asyncio.create_task(session.run(Presence()))
    await until(lambda: session.is_online, what="online")
    try:
        yield session, book
    finally:
        task.cancel()
        await asyncio.wait({task})


async def test_an_acknowledgement_vouches_for_what_was_sent_before_it_and_no_later() -> None:
    broker, clock = FakeBroker(), PatientClock()
    async with witnessed(broker, clock) as (session, book):
        began_us = clock.monotonic_us()
        await session.publish(Outgoing("t", b"x"), session.generation)
        clock.advance(3)
        assert book.heard_us == [began_us]
        assert broker.wire is not None
        broker.wire.answer_ping(2_000_000)
        assert book.heard_us == [began_us, began_us + 1_000_000]


async def test_the_end_of_a_connection_is_told_once_and_late_answers_count_for_nothing() -> None:
    broker, clock = FakeBroker(), PatientClock()
    async with witnessed(broker, clock) as (session, book):
        old = broker.wire
        assert old is not None
        broker.cut()
        assert book.ends == 1
        old.answer_ping(1)
        while not session.is_online:
            await pass_a_second(clock)
        old.answer_ping(1)
        assert book.heard_us == []
        assert book.ends == 1
    assert book.ends == 2


async def test_a_lost_address_ends_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "ADDRESS_LOOK_S", 0.02)
    broker = FakeBroker()
    async with running(broker) as session:
        await until(lambda: session.is_online, what="online")
        await asyncio.sleep(0.1)
        assert broker.connections == 1
        broker.is_stranded = True
        await until(lambda: broker.connections >= 2, what="another connection")


@pytest.mark.parametrize(("down_s", "busiest"), [(0, 55), (10, 35), (60, 25)])
async def test_a_hundred_units_come_back_over_seconds(down_s: int, busiest: int) -> None:
    """The broker restarts under a hundred sessions; connections tried in its busiest second after it is back."""
    clock = PatientClock()
    brokers = [FakeBroker() for _ in range(100)]
    sessions = [Session(WireOptions(f"u{n}", WILL), "d/#", broker.factory, clock) for n, broker in enumerate(brokers)]
    tasks = [asyncio.create_task(session.run(Presence())) for session in sessions]
    await until(lambda: all(session.is_online for session in sessions), what="all online")
    for broker in brokers:
        broker.is_down = True
        broker.cut()
    for _ in range(down_s):
        await pass_a_second(clock)
    for broker in brokers:
        broker.is_down = False
    returns: list[int] = []
    while len(returns) <= 70 and sum(returns) < 100:
        before = sum(broker.connections for broker in brokers)
        await pass_a_second(clock)
        returns.append(sum(broker.connections for broker in brokers) - before)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert sum(returns) == 100
    assert max(returns) <= busiest
    assert len(returns) <= 61


async def pass_a_second(clock: PatientClock) -> None:
    clock.advance(1)
    await asyncio.sleep(0.02)
