"""The centre's session over connections that the test makes: what it says of failures, when it stores messages."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from csu import bus as bus_module
from csu.bus import Bus
from csu.errors import BrokerError, RegistryError
from csu.mqtt_connection import BusSettings, Message
from edge_agent.clock import FakeClock
from tests.support.polling import until

SETTINGS = BusSettings("mqtt://broker", "csu")


class FakeConnection:
    """Stands for `csu.mqtt_connection.Connection`; the class's attributes say what happens.

    Attributes:
        opened: attempts.
        problem: why no connection comes about.
        waiting: what the broker's session brings.
        refuses_subscription: it is answered once the whole session was acknowledged otherwise.
    """

    opened = 0
    problem = ""
    waiting: tuple[bytes, ...] = ()
    refuses_subscription = False

    def __init__(self, _settings: BusSettings) -> None:
        self._left = list(self.waiting)
        self._acknowledged = asyncio.Event()

    async def open(self) -> None:
        type(self).opened += 1
        if self.problem:
            raise BrokerError(self.problem)

    async def subscribe(self, _topic: str, _qos: int) -> None:
        if self.refuses_subscription:
            raise BrokerError("refused")
        await self._acknowledged.wait()

    async def wish(self, _topic: str) -> None:
        return

    async def receive(self) -> Message:
        if not self._left:
            await asyncio.Event().wait()
        return Message("csu/v1/nomad-07/up/event", self._left.pop(0), 1, 1)

    def acknowledge(self, _message: Message) -> None:
        if not self._left:
            self._acknowledged.set()

    async def close(self) -> None:
        return


@pytest.fixture
def connection(monkeypatch: pytest.MonkeyPatch) -> type[FakeConnection]:
    class Own(FakeConnection):
        """Its attributes are this test's."""

    monkeypatch.setattr(bus_module, "Connection", Own)
    return Own


@asynccontextmanager
async def running(kept: list[bytes], clock: FakeClock, *, refuses: bool = False) -> AsyncIterator[Bus]:
    async def handle(message: Message) -> None:
        if refuses:
            raise RegistryError("disk full")
        kept.append(message.payload)

    bus = Bus(SETTINGS, ("csu/v1/+/up/#",), handle, lambda: None, clock)
    task = asyncio.create_task(bus.run())
    yield bus
    task.cancel()
    await asyncio.wait({task})


def warnings(caplog: pytest.LogCaptureFixture) -> int:
    return sum(record.levelno == logging.WARNING for record in caplog.records)


async def test_a_failure_that_stays_is_said_about_once_a_minute(
    connection: type[FakeConnection], caplog: pytest.LogCaptureFixture
) -> None:
    clock = FakeClock()
    began_us = clock.monotonic_us()
    connection.problem = "no route"
    async with running([], clock):
        await until(lambda: clock.monotonic_us() - began_us > 3600e6, what="an hour")
        minutes = (clock.monotonic_us() - began_us) / 60e6
        assert minutes / 2 < warnings(caplog) <= minutes + 1
        said = warnings(caplog)
        assert connection.opened > said
        connection.problem = "refused"
        await until(lambda: warnings(caplog) > said, what="something else said")


async def test_a_session_is_stored_before_the_subscription_is_answered(connection: type[FakeConnection]) -> None:
    kept: list[bytes] = []
    connection.waiting = tuple(b"%d" % number for number in range(300))
    async with running(kept, FakeClock()) as bus:
        await until(lambda: bus.is_connected, what="connection")
    assert kept == list(connection.waiting)
    assert connection.opened == 1


@pytest.mark.parametrize("fault", ["store", "subscription"])
async def test_a_connection_that_cannot_begin_is_made_anew(connection: type[FakeConnection], fault: str) -> None:
    connection.waiting = (b"x",)
    connection.refuses_subscription = fault == "subscription"
    async with running([], FakeClock(), refuses=fault == "store") as bus:
        await until(lambda: connection.opened >= 3, what="three attempts")
        assert not bus.is_connected
