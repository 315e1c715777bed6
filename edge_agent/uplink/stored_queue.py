"""Messages that wait in a table of the link's database: handed out in order, kept until the broker must have them.

A broker acknowledges what it holds in memory: mosquitto 2.0 writes its store after the PUBACK. So an acknowledged
row is kept for `SETTLE_S` more, and sent again when the connection ends before; whoever receives it knows it by the
id in its body.

Every connection begins with the oldest row that is kept, and goes on in order. A *round* is one such pass; what was
read or handed out in a round that is over counts for nothing.
"""

import logging
import sqlite3
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from edge_agent.clock import Clock
from edge_agent.errors import LedgerError
from edge_agent.uplink.database import LinkDatabase

logger = logging.getLogger(__name__)

SETTLE_S = 5.0
SETTLE_LOOK_S = 2.0
READ_ROWS = 32
"""Rows that are read at once."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row that was handed out."""

    round: int
    number: int
    body: str


class StoredQueue:
    """The rows of one table with the columns `number` and `body`."""

    def __init__(
        self, database: LinkDatabase, table: str, clock: Clock, step_hook: Callable[[str], None] = lambda _name: None
    ) -> None:
        """`step_hook` is called with `<table>:settled:before` and `:after` around each deletion."""
        self._database = database
        self._table = table
        self._clock = clock
        self._hook = step_hook
        self._round = 0
        self._read: deque[tuple[int, str]] = deque()
        self._read_up_to = 0
        self._acknowledged: dict[int, int] = {}  # number, and the monotonic time of its acknowledgement, µs

    @property
    def acknowledged(self) -> list[int]:
        """Numbers of the rows that the broker acknowledged a moment ago."""
        return list(self._acknowledged)

    async def next(self) -> Row | None:
        """The next row of this round; None when there is none.

        Raises:
            LedgerError: the database cannot be read.
        """
        if not self._read:
            await self._read_more()
        if not self._read:
            return None
        number, body = self._read.popleft()
        return Row(self._round, number, body)

    def sent(self, row: Row) -> None:
        """The broker acknowledged a row; `delete_settled` deletes it later."""
        if row.round == self._round:
            self._acknowledged[row.number] = self._clock.monotonic_us()

    def lost(self, row: Row) -> None:
        """The connection ended before a row was acknowledged."""
        if row.round == self._round:
            self._begin_again()

    def reconnected(self) -> None:
        """Another connection begins: what the last one had acknowledged a moment ago is sent again."""
        self._acknowledged.clear()
        self._begin_again()

    async def rest(self) -> None:
        """Sleep until it is time to call `delete_settled` again."""
        await self._clock.async_sleep(SETTLE_LOOK_S)

    async def delete_settled(self) -> None:
        """Delete what was acknowledged long enough ago; the caller knows that the connection is still there."""
        limit_us = self._clock.monotonic_us() - round(SETTLE_S * 1e6)
        settled = [number for number, since_us in self._acknowledged.items() if since_us <= limit_us]
        if not settled:
            return
        self._hook(f"{self._table}:settled:before")
        try:
            await self._database.write_relaxed(partial(delete_rows, table=self._table, numbers=settled))
        except LedgerError as error:
            logger.warning("acknowledged %s cannot be deleted: %s", self._table, error)
            return
        self._hook(f"{self._table}:settled:after")
        for number in settled:
            self._acknowledged.pop(number, None)

    def _begin_again(self) -> None:
        self._round += 1
        self._read.clear()
        self._read_up_to = 0

    async def _read_more(self) -> None:
        rows: list[tuple[int, str]] = []
        reading = -1
        while reading != self._round:  # what was read while another round began is not that one's
            reading = self._round
            rows = await self._database.read(partial(_rows_after, table=self._table, number=self._read_up_to))
        if rows:
            self._read_up_to = rows[-1][0]
        self._read.extend(rows)


def delete_rows(connection: sqlite3.Connection, table: str, numbers: list[int]) -> None:
    """Delete rows of a table by their numbers, as part of a transaction."""
    sql = f"DELETE FROM {table} WHERE number = ?"  # noqa: S608 -- a constant of the caller
    connection.executemany(sql, [(number,) for number in numbers])


def _rows_after(connection: sqlite3.Connection, table: str, number: int) -> list[tuple[int, str]]:
    sql = f"SELECT number, body FROM {table} WHERE number > ? ORDER BY number LIMIT ?"  # noqa: S608 -- a constant
    return connection.execute(sql, (number, READ_ROWS)).fetchall()
