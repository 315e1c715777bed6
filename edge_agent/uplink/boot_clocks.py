"""What the clock of each boot was worth: instants that were noted before it was known can be told right afterwards.

A board without a clock boots in the past, and a unit that is offline may learn the time days later. Whatever waits to
be told therefore keeps its boot and its monotonic time, and gets its UTC when it is sent. The difference between the
two clocks is kept for every boot in which somebody vouched for it (table `boots`): written once a boot, and again
when it moved by `STEP_US`.
"""

import logging
import sqlite3
from dataclasses import dataclass

from edge_agent.contract.segment_format import CLOCK_SOURCES, ClockSource
from edge_agent.errors import LedgerError
from edge_agent.uplink.database import LinkDatabase
from edge_agent.uplink.stamps import Stamper

logger = logging.getLogger(__name__)

STEP_US = 1_000_000
KEEP_BOOTS = 64


@dataclass(frozen=True, slots=True)
class Instant:
    """UTC in µs, and who vouched for it."""

    at_us: int
    source: ClockSource


_END_OF_CALENDAR_US = 253_402_300_800_000_000
"""The year 10,000, which RFC 3339 has no text for."""


@dataclass(frozen=True, slots=True)
class _Known:
    """UTC less monotonic time of one boot, µs."""

    offset_us: int
    source: ClockSource


class BootClocks:
    """The clocks of this boot and of earlier ones."""

    def __init__(self, database: LinkDatabase, stamper: Stamper) -> None:
        self._database = database
        self._stamper = stamper
        self._known: dict[str, _Known] = {}

    async def load(self) -> None:
        """Read what is known of earlier boots.

        Raises:
            LedgerError: the database cannot be read.
        """
        sql = "SELECT boot_id, offset_us, source FROM boots"
        rows = await self._database.read(lambda connection: connection.execute(sql).fetchall())
        self._known = {boot_id: _Known(offset_us, check_source(source)) for boot_id, offset_us, source in rows}

    async def look(self) -> None:
        """Keep what is known of this boot's clock; a database that refuses is tried again at the next look."""
        now = self._present()
        stored = self._known.get(self._stamper.boot_id)
        if now is None or (stored is not None and abs(stored.offset_us - now.offset_us) < STEP_US):
            return
        values = (self._stamper.boot_id, now.offset_us, now.source)
        try:
            await self._database.write_relaxed(lambda connection: _store(connection, values))
        except LedgerError as error:
            logger.warning("this boot's clock is not stored: %s", error)
        else:
            self._known[self._stamper.boot_id] = now

    def date(self, boot_id: str, monotonic_us: int, said: Instant) -> Instant:
        """When something was, as it is believed now.

        Args:
            boot_id: of the boot in which it was noted.
            monotonic_us: the monotonic time then.
            said: what the wall clock said then; stands when nobody ever vouched for that boot's clock, or when what
                is stored of it leads out of the calendar.
        """
        known = self._known.get(boot_id)
        if boot_id == self._stamper.boot_id:
            known = self._present() or known
        if known is None or not 0 <= known.offset_us + monotonic_us < _END_OF_CALENDAR_US:
            return said
        return Instant(known.offset_us + monotonic_us, known.source)

    def _present(self) -> _Known | None:
        clock, source = self._stamper.clock, self._stamper.belief.source
        return None if source == "unknown" else _Known(clock.wall_us() - clock.monotonic_us(), source)


def check_source(value: object) -> ClockSource:
    """A clock's source as it is stored.

    Raises:
        ValueError: it is none.
    """
    for source in CLOCK_SOURCES:
        if value == source:
            return source
    raise ValueError(f"{value!r:.40} is no source of a clock")


def _store(connection: sqlite3.Connection, values: tuple[str, int, str]) -> None:
    connection.execute("INSERT OR REPLACE INTO boots (boot_id, offset_us, source) VALUES (?, ?, ?)", values)
    connection.execute(
        "DELETE FROM boots WHERE number NOT IN (SELECT number FROM boots ORDER BY number DESC LIMIT ?)", (KEEP_BOOTS,)
    )
