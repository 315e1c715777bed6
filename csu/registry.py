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

P = ParamSpec("P")
T = TypeVar("T")

SCHEMA_VERSION = 2
_MAX_WAITING = 512

_SCHEMA = """
CREATE TABLE units (
    unit_id TEXT PRIMARY KEY,
    enrolled_us INTEGER NOT NULL,
    ignored INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE states (
    unit_id TEXT NOT NULL,
    topic TEXT NOT NULL,
    body TEXT NOT NULL,
    heard_us INTEGER NOT NULL,
    PRIMARY KEY (unit_id, topic)
) STRICT;
CREATE TABLE events (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    unit_id TEXT NOT NULL,
    event_id TEXT NOT NULL,
    body TEXT NOT NULL,
    heard_us INTEGER NOT NULL,
    UNIQUE (unit_id, event_id)
) STRICT;
CREATE TABLE commands (
    command_id TEXT PRIMARY KEY,
    unit_id TEXT NOT NULL,
    cmd TEXT NOT NULL,
    params TEXT NOT NULL,
    operator TEXT NOT NULL,
    role TEXT NOT NULL,
    reference TEXT,
    purpose TEXT,
    token TEXT NOT NULL,
    issued_us INTEGER NOT NULL,
    expires_us INTEGER NOT NULL,
    state TEXT NOT NULL,
    reply TEXT,
    replied_us INTEGER,
    sent INTEGER NOT NULL DEFAULT 0,
    next_send_us INTEGER,
    version INTEGER NOT NULL DEFAULT 1
) STRICT;
CREATE INDEX commands_due ON commands (next_send_us) WHERE next_send_us IS NOT NULL;
CREATE INDEX commands_unit ON commands (unit_id, issued_us);
"""
_CLIPS = """
CREATE TABLE clips (
    unit_id TEXT NOT NULL,
    clip_id TEXT NOT NULL,
    folder TEXT NOT NULL,
    completed_us INTEGER NOT NULL,
    verdict TEXT NOT NULL,
    reason TEXT,
    report TEXT,
    receipt TEXT,
    receipts_sent INTEGER NOT NULL DEFAULT 0,
    next_receipt_us INTEGER,
    PRIMARY KEY (unit_id, clip_id)
) STRICT;
CREATE INDEX clips_due ON clips (next_receipt_us) WHERE next_receipt_us IS NOT NULL;
"""
_CLIPS_ASIDE = """
DROP INDEX clips_due;
ALTER TABLE clips RENAME TO clips_1;
"""
_CLIPS_OVER = """
INSERT INTO clips SELECT unit_id, clip_id, folder, completed_us, verdict, reason, report, receipt, receipts_sent,
    next_receipt_us FROM clips_1;
DROP TABLE clips_1;
"""
_STEPS = (_SCHEMA + _CLIPS, _CLIPS_ASIDE + _CLIPS + _CLIPS_OVER)
"""By the version that is found: what makes it the present one."""


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
            connection.executescript(f"BEGIN; {_STEPS[version]} PRAGMA user_version={SCHEMA_VERSION}; COMMIT;")
    except sqlite3.Error as error:
        raise RegistryError(f"{path} cannot be opened: {error}; restore it, or move it away to begin anew") from error
    if version > SCHEMA_VERSION:
        connection.close()
        raise RegistryError(f"{path} was written by a newer version ({version}); update this one")
    return connection
