"""The newest `iat` that the unit ever accepted: a lower limit of the true time that survives every reboot."""

import logging
import sqlite3

from edge_agent.errors import LedgerError
from edge_agent.uplink.database import LinkDatabase

logger = logging.getLogger(__name__)

_NAME = "newest_iat_s"
_STEP_S = 60
"""It is written when it grew by so much: a write a command would wear the storage for nothing."""


def check_fact(name: str, value: object) -> int:
    """A row of the table `facts`, which holds whole seconds since 1970 as text.

    Raises:
        ValueError: it holds something else.
    """
    if name != _NAME or not isinstance(value, str) or not value.isascii() or not value.isdigit() or len(value) > 15:
        raise ValueError(f"{name} = {value!r:.40} is no time of a command")
    return int(value)


class NewestIat:
    """Kept in the link's database, read once."""

    def __init__(self, database: LinkDatabase, iat_s: int) -> None:
        self._database = database
        self._written_s = iat_s
        self.iat_s = iat_s
        """Whole seconds since 1970; 0 before the first command."""

    @classmethod
    async def load(cls, database: LinkDatabase) -> "NewestIat":
        """Read what is stored.

        Raises:
            LedgerError: the database cannot be read.
        """

        def work(connection: sqlite3.Connection) -> int:
            row = connection.execute("SELECT value FROM facts WHERE name = ?", (_NAME,)).fetchone()
            return check_fact(_NAME, row[0]) if row else 0

        return cls(database, await database.read(work))

    async def note(self, iat_s: int) -> None:
        """A command with this `iat` was accepted; a database that refuses is tried again with the next one."""
        self.iat_s = max(self.iat_s, iat_s)
        if self.iat_s - self._written_s < _STEP_S:
            return
        sql = "INSERT INTO facts VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
        values = (_NAME, str(self.iat_s))
        try:
            await self._database.write_relaxed(lambda connection: connection.execute(sql, values))
        except LedgerError as error:
            logger.warning("the newest command's time is not stored: %s", error)
        else:
            self._written_s = self.iat_s
