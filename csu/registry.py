"""The registry: one SQLite database (WAL), one thread that alone touches it, every commit synced.

A function that returned has its change on disk; messages are acknowledged to the broker only after that. Tables:

- `units`, `states`: enrolled units and the last body of each retained topic
- `events`: the last `MAX_EVENTS`, once each
- `commands`: signed commands, what became of them, when each is sent next
- `clips`: delivered clips, their verdicts and receipts, by unit and clip: a unit delivers under what id it likes
"""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from csu.errors import RegistryError
from csu.registry_schema import SCHEMA_VERSION, STEPS

P = ParamSpec("P")
T = TypeVar("T")

_MAX_WAITING = 512


class Registry:
    """Runs functions of `stored_units`, `stored_commands` and `stored_clips` in the database's thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="registry")
        self._waiting = asyncio.Semaphore(_MAX_WAITING)
        self._connection: sqlite3.Connection | None = None

    async def open(self) -> None:
        """Open or make the database.

        Raises:
            RegistryError: not our database, a newer one, damaged, or the storage refuses.
        """
        self._connection = await asyncio.get_running_loop().run_in_executor(self._thread, _open, self._path)

    async def close(self) -> None:
        """Close it; what was asked before is still done."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await asyncio.get_running_loop().run_in_executor(self._thread, connection.close)
        await asyncio.to_thread(self._thread.shutdown)

    async def run(
        self, work: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run one function as one transaction; committed and synced when this returns.

        Raises:
            RegistryError: the database refuses, or the registry is closed.
        """
        async with self._waiting:
            if self._connection is None:
                raise RegistryError("the registry is closed")
            return await asyncio.get_running_loop().run_in_executor(
                self._thread, lambda: self._transact(lambda connection: work(connection, *args, **kwargs))
            )

    def _transact(self, work: Callable[[sqlite3.Connection], T]) -> T:
        connection = self._connection
        if connection is None:
            raise RegistryError("the registry is closed")
        try:
            with connection:
                return work(connection)
        except sqlite3.Error as error:
            raise RegistryError(f"{self._path}: {error}") from error


def _open(path: Path) -> sqlite3.Connection:
    try:
        # One thread opens, uses and closes it; the flag only lets the garbage collector run elsewhere.
        connection = sqlite3.connect(path, check_same_thread=False, timeout=10)
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        if version < SCHEMA_VERSION:
            steps = "".join(STEPS[version:])
            connection.executescript(f"BEGIN; {steps} PRAGMA user_version={SCHEMA_VERSION}; COMMIT;")
    except sqlite3.Error as error:
        raise RegistryError(f"{path} cannot be opened: {error}; restore it, or move it away to begin anew") from error
    if version > SCHEMA_VERSION:
        connection.close()
        raise RegistryError(f"{path} was written by a newer version ({version}); update this one")
    return connection
