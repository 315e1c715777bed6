"""The link's SQLite database: one connection, one thread, committed and synced before anything is promised.

Every call runs on the one database thread, so that the event loop never waits for the disk and no two transactions
meet. `synchronous=FULL` with a write-ahead log: what `write` returned from survives a power cut. `write_relaxed` is
for marks whose loss costs a repetition only (a reply that was acknowledged is sent once more).
"""

import asyncio
import logging
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from edge_agent.durable import fsync_directory, make_directory
from edge_agent.errors import LedgerError
from edge_agent.uplink.added_tables import ADDED_TABLES

logger = logging.getLogger(__name__)

Result = TypeVar("Result")
Work = Callable[[sqlite3.Connection], Result]

SCHEMA_VERSION = 1
_MODE = 0o640

_SCHEMA = """
CREATE TABLE commands (
    command_id TEXT PRIMARY KEY,
    command TEXT NOT NULL,
    body_sha256 TEXT NOT NULL,
    claims TEXT NOT NULL,
    expires_s INTEGER NOT NULL,
    received_us INTEGER NOT NULL,
    finished_us INTEGER,
    state TEXT NOT NULL,
    facts TEXT NOT NULL,
    reply TEXT,
    reply_version INTEGER NOT NULL DEFAULT 0,
    sent_version INTEGER NOT NULL DEFAULT 0,
    response_topic TEXT,
    correlation BLOB,
    cleanup_owed INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX commands_by_received ON commands (received_us);
CREATE INDEX commands_open ON commands (state) WHERE finished_us IS NULL;
CREATE INDEX commands_owed ON commands (command_id) WHERE cleanup_owed = 1;
CREATE INDEX commands_unsent ON commands (command_id) WHERE reply_version > sent_version;
CREATE TABLE receipts (
    clip_id TEXT PRIMARY KEY,
    sha256 TEXT NOT NULL,
    verdict TEXT NOT NULL,
    reason TEXT,
    received_us INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE alarms (
    name TEXT NOT NULL,
    camera TEXT NOT NULL,
    since_us INTEGER NOT NULL,
    details TEXT NOT NULL,
    PRIMARY KEY (name, camera)
) WITHOUT ROWID;
CREATE TABLE events (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    body TEXT NOT NULL
);
CREATE TABLE facts (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;
"""


class LinkDatabase:
    """The open database; made by `open`, ended by `close`."""

    def __init__(self, connection: sqlite3.Connection, executor: ThreadPoolExecutor, replaced: Path | None) -> None:
        self._connection = connection
        self._executor = executor
        self.replaced = replaced
        """Where a damaged predecessor was set aside at this start; None when there was none."""

    @classmethod
    async def open(cls, path: Path, clock_us: int) -> "LinkDatabase":
        """Open or create the database; a damaged one is set aside, never deleted.

        Args:
            path: such as `link/link.db`.
            clock_us: wall time, for the name of a damaged file.

        Raises:
            LedgerError: the storage refuses, or the database was made by newer software.
        """
        executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="link-db")
        try:
            work = asyncio.get_running_loop().run_in_executor(executor, _open_or_replace, path, clock_us)
            connection, replaced = await work
        except (OSError, sqlite3.Error) as error:
            executor.shutdown(wait=False)
            raise LedgerError(f"{path}: {error}") from error
        except LedgerError:
            executor.shutdown(wait=False)
            raise
        return cls(connection, executor, replaced)

    async def read(self, work: Work[Result]) -> Result:
        """Run a query on the database thread.

        Raises:
            LedgerError: the database refused.
        """
        return await self._run(work)

    async def write(self, work: Work[Result]) -> Result:
        """Run one transaction; when this returns, it survives a power cut.

        Raises:
            LedgerError: the database refused; nothing of the transaction holds.
        """
        return await self._run(lambda connection: _transaction(connection, work, "FULL"))

    async def write_relaxed(self, work: Work[Result]) -> Result:
        """Run one transaction that survives a kill of the process, and perhaps not a power cut.

        Raises:
            LedgerError: the database refused; nothing of the transaction holds.
        """
        return await self._run(lambda connection: _transaction(connection, work, "NORMAL"))

    async def close(self) -> None:
        """Wait for what runs and close."""
        await self._run(lambda connection: connection.close())
        self._executor.shutdown(wait=False)

    async def _run(self, work: Work[Result]) -> Result:
        try:
            running = asyncio.get_running_loop().run_in_executor(self._executor, work, self._connection)
            # Whoever waits may be cancelled; what waits for the database's thread then is done all the same.
            return await asyncio.shield(running)
        except sqlite3.Error as error:
            raise LedgerError(f"the link's database refused: {error}") from error
        except RuntimeError as error:
            raise LedgerError(f"the link's database is closed: {error}") from error


def _transaction(connection: sqlite3.Connection, work: Work[Result], synchronous: str) -> Result:
    connection.execute(f"PRAGMA synchronous={synchronous}")
    connection.execute("BEGIN IMMEDIATE")
    try:
        result = work(connection)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return result


def _open_or_replace(path: Path, clock_us: int) -> tuple[sqlite3.Connection, Path | None]:
    make_directory(path.parent)
    try:
        return _open(path), None
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise
        aside = path.with_name(f"{path.name}.damaged-{clock_us}")
        logger.error("%s is damaged (%s): set aside as %s, a new one begins", path, error, aside.name)  # noqa: TRY400 -- the sentence says it all
        _set_aside(path, aside)
        return _open(path), aside


def _set_aside(path: Path, aside: Path) -> None:
    for suffix in ("-wal", "-shm"):
        companion = path.with_name(path.name + suffix)
        if companion.exists():
            companion.replace(aside.with_name(aside.name + suffix))
    path.replace(aside)
    fsync_directory(path.parent)


def _open(path: Path) -> sqlite3.Connection:
    _restrict(path)
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5.0)
    # Text that is no UTF-8 is a row that cannot be read (`damage`), not a database that refuses.
    connection.text_factory = lambda text: text.decode("utf-8", "surrogateescape")
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        _check(connection, path)
        _migrate(connection, path)
        _check_tables(connection, path)
    except BaseException:
        connection.close()
        raise
    fsync_directory(path.parent)
    return connection


def _restrict(path: Path) -> None:
    """Nobody but the unit's group may read it; SQLite gives its companions the mode of the database."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE))
    for suffix in ("", "-wal", "-shm"):
        try:
            path.with_name(path.name + suffix).chmod(_MODE)
        except FileNotFoundError:
            continue
        except PermissionError as error:  # a file system without modes: no reason to be deaf
            logger.warning("%s%s stays readable for others: %s", path, suffix, error.strerror)


def _check(connection: sqlite3.Connection, path: Path) -> None:
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise sqlite3.DatabaseError(f"{path}: {verdict}")


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > SCHEMA_VERSION:
        raise LedgerError(f"{path} has schema {version}; this software knows {SCHEMA_VERSION}: install a newer one")
    if version == 0:
        connection.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version={SCHEMA_VERSION}; COMMIT;")
    connection.executescript(f"BEGIN; {ADDED_TABLES} COMMIT;")


def _check_tables(connection: sqlite3.Connection, path: Path) -> None:
    pristine = sqlite3.connect(":memory:")
    try:
        pristine.executescript(_SCHEMA + ADDED_TABLES)
        wanted = _columns(pristine)
    finally:
        pristine.close()
    there = _columns(connection)
    missing = [table for table, columns in wanted.items() if there.get(table) != columns]
    if missing:
        raise sqlite3.DatabaseError(f"{path}: no sound table {', '.join(missing)}")


def _columns(connection: sqlite3.Connection) -> dict[str, list[str]]:
    """The columns of every table."""
    tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    sql = "SELECT name FROM pragma_table_info(?) ORDER BY cid"
    return {table: [row[0] for row in connection.execute(sql, (table,))] for table in tables}
