"""Who may send now: a bounded number at once, and while a class of traffic has work no lower class sends.

A transfer holds a slot over many chunks and looks up between two: when a higher class wants to send, it steps
aside. A transfer that waits before a retry holds none, so one that is stuck starves nobody.
"""

import asyncio
import heapq
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count

from edge_agent.contract.commands import Priority

_RANKS: dict[Priority, int] = {"urgent": 0, "normal": 1, "background": 2}


@dataclass(order=True, slots=True)
class _Ticket:
    rank: int
    number: int
    granted: asyncio.Future[None] = field(compare=False)


class Slots:
    """Hands out `size` slots."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._holders: list[_Ticket] = []
        self._waiting: list[_Ticket] = []
        self._numbers = count()

    @asynccontextmanager
    async def turn(self, priority: Priority) -> AsyncIterator["Turn"]:
        """Wait for a slot; it is given back when the context ends."""
        turn = Turn(self, _RANKS[priority])
        await turn.take()
        try:
            yield turn
        finally:
            turn.give_back()

    async def take(self, rank: int) -> _Ticket:
        """Wait for a slot; the oldest of the highest class comes first."""
        ticket = _Ticket(rank, next(self._numbers), asyncio.get_running_loop().create_future())
        heapq.heappush(self._waiting, ticket)
        self._grant()
        try:
            await ticket.granted
        except asyncio.CancelledError:
            self.give_back(ticket)
            raise
        return ticket

    def give_back(self, ticket: _Ticket) -> None:
        """Leave the slot, or the queue."""
        if ticket in self._holders:
            self._holders.remove(ticket)
        else:
            self._waiting.remove(ticket)
            heapq.heapify(self._waiting)
        self._grant()

    def is_wanted(self, rank: int) -> bool:
        """A higher class sends or waits."""
        return any(ticket.rank < rank for ticket in (*self._holders, *self._waiting[:1]))

    def _grant(self) -> None:
        while self._waiting and len(self._holders) < self._size and not self._is_outranked(self._waiting[0]):
            ticket = heapq.heappop(self._waiting)
            self._holders.append(ticket)
            ticket.granted.set_result(None)

    def _is_outranked(self, ticket: _Ticket) -> bool:
        return any(holder.rank < ticket.rank for holder in self._holders)


class Turn:
    """One transfer's place."""

    def __init__(self, slots: Slots, rank: int) -> None:
        self._slots = slots
        self._rank = rank
        self._ticket: _Ticket | None = None

    async def take(self) -> None:
        """Wait for a slot."""
        self._ticket = await self._slots.take(self._rank)

    def give_back(self) -> None:
        """Leave the slot."""
        if self._ticket is not None:
            self._slots.give_back(self._ticket)
            self._ticket = None

    async def step_aside(self) -> None:
        """Between two chunks: let a higher class go first."""
        if self._slots.is_wanted(self._rank):
            self.give_back()
            await self.take()
