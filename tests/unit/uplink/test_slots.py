"""Whose turn it is."""

import asyncio

from edge_agent.contract.commands import Priority
from edge_agent.uplink.slots import Slots, Turn


class Line:
    """Transfers that send until told to stop, and the order in which they began."""

    def __init__(self, size: int) -> None:
        self.slots = Slots(size)
        self.began: list[str] = []
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stop: dict[str, asyncio.Event] = {}

    async def start(self, name: str, priority: Priority) -> None:
        self._stop[name] = asyncio.Event()
        self._tasks[name] = asyncio.create_task(self._send(name, priority))
        await self.settle()

    async def stop(self, name: str) -> None:
        self._stop[name].set()
        await self._tasks[name]
        await self.settle()

    async def cancel(self, name: str) -> None:
        self._tasks[name].cancel()
        await asyncio.wait({self._tasks[name]})
        await self.settle()

    async def settle(self) -> None:
        for _ in range(10):
            await asyncio.sleep(0)

    async def _send(self, name: str, priority: Priority) -> None:
        async with self.slots.turn(priority):
            self.began.append(name)
            await self._stop[name].wait()


async def test_so_many_send_at_once_and_the_oldest_waits_least() -> None:
    line = Line(2)
    for name in "abcd":
        await line.start(name, "normal")
    assert line.began == ["a", "b"]
    await line.stop("b")
    assert line.began == ["a", "b", "c"]


async def test_a_lower_class_waits_while_a_higher_one_sends() -> None:
    line = Line(2)
    await line.start("urgent", "urgent")
    await line.start("background", "background")
    await line.start("normal", "normal")
    assert line.began == ["urgent"]
    await line.stop("urgent")
    assert line.began == ["urgent", "normal"]
    await line.stop("normal")
    assert line.began == ["urgent", "normal", "background"]


async def test_who_leaves_the_queue_takes_no_slot() -> None:
    line = Line(1)
    for name in "abc":
        await line.start(name, "normal")
    await line.cancel("b")
    await line.cancel("a")
    assert line.began == ["a", "c"]


async def test_a_transfer_steps_aside_between_two_chunks() -> None:
    slots = Slots(1)
    order: list[str] = []

    async def send(name: str, turn: Turn) -> None:
        for number in range(3):
            await turn.step_aside()
            order.append(f"{name}{number}")
            await asyncio.sleep(0)

    async def urgent() -> None:
        async with slots.turn("urgent") as turn:
            await send("u", turn)

    async with slots.turn("background") as turn:
        task = asyncio.create_task(urgent())
        await send("b", turn)
        await task
    assert order == ["b0", "u0", "u1", "u2", "b1", "b2"]
