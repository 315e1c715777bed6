"""The ring's index: what the closed segments hold, so that a clip is planned without opening one.

SQLite in WAL mode with `synchronous=NORMAL` (a commit may be lost by a power cut, never torn: what was lost is found
again in the files), one writing and one reading connection, each behind a lock, transactions short. Narrow rows are
kept apart from the tables of samples, so that the start reads 3 MB of a month's 350.

It is a copy of what the files say, but for what is owed: deletions that were decided (committed with a sync), and the
highest sequence number ever used.
"""

import json
import logging
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from edge_agent.buffer.catalogue import Stretch, stretches_of
from edge_agent.buffer.clock_model import Anchor, BootSpan
from edge_agent.buffer.layout import segment_file
from edge_agent.buffer.segment import SegmentInfo
from edge_agent.buffer.segment_blob import decode_contents, encode_contents
from edge_agent.contract.access_unit import CodecConfig
from edge_agent.contract.segment_format import SegmentHeader
from edge_agent.errors import FormatError, IndexDamagedError, RingStorageError

logger = logging.getLogger(__name__)

SCHEMA_VERSION = 2

_MODE = 0o640
_BUSY_TIMEOUT_MS = 5000
_MAX_WAL_PAGES = 250
_MAX_WAL_BYTES = 1_100_000
_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE lives (life INTEGER PRIMARY KEY, boot_id TEXT NOT NULL, run_id TEXT NOT NULL, UNIQUE (boot_id, run_id));
CREATE TABLE configs (
  config INTEGER PRIMARY KEY, codec TEXT NOT NULL, extradata BLOB NOT NULL, width_px INTEGER NOT NULL,
  height_px INTEGER NOT NULL, frame_rate_fps REAL NOT NULL, stsd BLOB NOT NULL,
  UNIQUE (codec, extradata, width_px, height_px, frame_rate_fps, stsd)
);
CREATE TABLE segments (
  sequence INTEGER PRIMARY KEY, life INTEGER NOT NULL, config INTEGER NOT NULL, size_bytes INTEGER NOT NULL
);
CREATE TABLE stretches (
  sequence INTEGER, place INTEGER, start_us INTEGER NOT NULL, end_us INTEGER NOT NULL, cause TEXT NOT NULL,
  PRIMARY KEY (sequence, place)
) WITHOUT ROWID;
CREATE TABLE contents (
  sequence INTEGER PRIMARY KEY, header BLOB NOT NULL, header_bytes INTEGER NOT NULL, contents BLOB NOT NULL
);
CREATE TABLE boots (
  boot_id TEXT PRIMARY KEY, place INTEGER NOT NULL, first_us INTEGER NOT NULL, last_us INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE anchors (
  boot_id TEXT, monotonic_us INTEGER, utc_us INTEGER NOT NULL, source TEXT NOT NULL, bound_us INTEGER,
  PRIMARY KEY (boot_id, monotonic_us)
) WITHOUT ROWID;
CREATE TABLE deletions (sequence INTEGER PRIMARY KEY);
CREATE TABLE plans (clip_id TEXT PRIMARY KEY, summary BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE pins (clip_id TEXT, sequence INTEGER, PRIMARY KEY (clip_id, sequence)) WITHOUT ROWID;
"""

_READ_SEGMENTS = """
SELECT sequence, header, header_bytes, contents, codec, extradata, width_px, height_px, frame_rate_fps, stsd
FROM contents JOIN segments USING (sequence) JOIN configs USING (config)
WHERE sequence IN (SELECT value FROM json_each(?))
"""

_DOUBT_BEHIND = """
UPDATE stretches SET cause = 'unknown'
WHERE place = 0 AND sequence = (SELECT min(sequence) FROM stretches WHERE sequence > ?)
"""
"""Where a segment was removed, the hole before the next one is not only what that one's file speaks of."""


class Index:
    """One ring's index; every method may be called from any thread and may block on the disk.

    Every method raises:
        IndexDamagedError: the file is no sound database.
        RingStorageError: the storage refused.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.is_damaged = False
        self._write_lock = threading.Lock()  # protects _writer
        self._read_lock = threading.Lock()  # protects _reader
        _restrict(path)
        with self._errors():
            self._writer = _connect(path)
            try:
                _prepare(self._writer, path)
                self._reader = _connect(path)
            except BaseException:
                self._writer.close()
                raise

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            translated = _translated(self.path, error)
            self.is_damaged |= isinstance(translated, IndexDamagedError)
            raise translated from error

    def close(self) -> None:
        """Close both connections; the WAL is folded in."""
        with self._read_lock, self._errors():
            self._reader.close()
        with self._write_lock, self._errors():
            self._writer.close()

    @contextmanager
    def _writing(self, *, durable: bool = False) -> Iterator[sqlite3.Connection]:
        """A transaction; `durable`: synced when the block ends."""
        with self._write_lock, self._errors():
            connection = self._writer
            connection.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._read_lock, self._errors():
            yield self._reader

    def add_segments(self, infos: Iterable[SegmentInfo]) -> None:
        """Index closed segments, or replace what is known of them."""
        with self._writing() as connection:
            for info in infos:
                _insert(connection, info)

    def stretches(self) -> Iterator[tuple[Stretch, int]]:
        """Every stretch in order with its segment's size; the narrow part of the index, read at start."""
        with self._reading() as connection:
            rows = connection.execute(
                "SELECT sequence, boot_id, run_id, start_us, end_us, cause, size_bytes"
                " FROM segments JOIN stretches USING (sequence) JOIN lives USING (life) ORDER BY sequence, place"
            )
            for *fields, size_bytes in rows:
                yield Stretch(*fields), size_bytes

    def read_segments(self, sequences: Sequence[int]) -> dict[int, SegmentInfo]:
        """What is known of segments; those that are not indexed, or whose entry is damaged, are left out."""
        with self._reading() as connection:
            rows = connection.execute(_READ_SEGMENTS, (json.dumps(sequences),)).fetchall()
        infos = [_info_of(row) for row in rows]
        return {info.sequence: info for info in infos if info is not None}

    def decide_deletion(self, sequences: Iterable[int]) -> None:
        """Commit, synced, that segments go: they leave the index, their files are owed a removal."""
        with self._writing(durable=True) as connection:
            rows = [(sequence,) for sequence in sequences]
            connection.executemany("INSERT OR IGNORE INTO deletions VALUES (?)", rows)
            for table in ("segments", "stretches", "contents"):
                connection.executemany(f"DELETE FROM {table} WHERE sequence = ?", rows)  # noqa: S608 -- fixed names
            connection.executemany(_DOUBT_BEHIND, rows)

    def deletions_owed(self) -> list[int]:
        """Segments whose removal was decided and not reported done."""
        with self._reading() as connection:
            return [row[0] for row in connection.execute("SELECT sequence FROM deletions ORDER BY sequence")]

    def deletions_done(self, sequences: Iterable[int]) -> None:
        """The files are gone."""
        with self._writing() as connection:
            connection.executemany("DELETE FROM deletions WHERE sequence = ?", [(number,) for number in sequences])

    def forget(self, sequences: Iterable[int]) -> None:
        """Drop rows of segments whose files are gone without having been owed."""
        with self._writing() as connection:
            rows = [(number,) for number in sequences]
            for table in ("segments", "stretches", "contents"):
                connection.executemany(f"DELETE FROM {table} WHERE sequence = ?", rows)  # noqa: S608 -- fixed names
            connection.executemany(_DOUBT_BEHIND, rows)

    def doubt(self, sequences: Iterable[int]) -> None:
        """More may be missing before these segments than what their own word for the cause speaks of."""
        with self._writing() as connection:
            connection.executemany(
                "UPDATE stretches SET cause = 'unknown' WHERE sequence = ? AND place = 0",
                [(number,) for number in sequences],
            )

    def next_sequence(self) -> int:
        """The lowest sequence number that was never used, as far as the index knows."""
        with self._reading() as connection:
            row = connection.execute("SELECT value FROM meta WHERE key = 'next_sequence'").fetchone()
        return int(row[0]) if row else 1

    def raise_next_sequence(self, sequence: int) -> None:
        """Never give out a number below this again; durable."""
        with self._writing(durable=True) as connection:
            _raise_next_sequence(connection, sequence)

    def boots(self) -> list[BootSpan]:
        """Every boot that recorded, in order."""
        with self._reading() as connection:
            rows = connection.execute("SELECT boot_id, first_us, last_us FROM boots ORDER BY place").fetchall()
        return [BootSpan(*row) for row in rows]

    def add_boot(self, boot_id: str, next_sequence: int, monotonic_us: int) -> None:
        """A boot began to record, or goes on."""
        with self._writing() as connection:
            _extend_boot(connection, boot_id, next_sequence, monotonic_us, monotonic_us)

    def anchors(self) -> list[Anchor]:
        """Every clock anchor, by boot and monotonic time."""
        with self._reading() as connection:
            rows = connection.execute(
                "SELECT boot_id, monotonic_us, utc_us, source, bound_us FROM anchors"
            ).fetchall()
        return [Anchor(*row) for row in rows]

    def add_anchors(self, anchors: Iterable[Anchor]) -> None:
        """Store clock anchors."""
        with self._writing() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO anchors (boot_id, monotonic_us, utc_us, source, bound_us) VALUES (?,?,?,?,?)",
                [(one.boot_id, one.monotonic_us, one.utc_us, one.source, one.bound_us) for one in anchors],
            )

    def drop_boots(self, boot_ids: Iterable[str]) -> None:
        """Forget boots that have no footage any more, and their anchors."""
        with self._writing() as connection:
            rows = [(boot_id,) for boot_id in boot_ids]
            connection.executemany("DELETE FROM boots WHERE boot_id = ?", rows)
            connection.executemany("DELETE FROM anchors WHERE boot_id = ?", rows)
            connection.executemany("DELETE FROM lives WHERE boot_id = ?", rows)

    def set_plan(self, clip_id: str, summary: bytes, sequences: Iterable[int]) -> None:
        """Mirror a plan that is durable in its file: its summary and the segments it pins."""
        with self._writing() as connection:
            connection.execute("DELETE FROM pins WHERE clip_id = ?", (clip_id,))
            connection.execute("INSERT OR REPLACE INTO plans VALUES (?,?)", (clip_id, summary))
            connection.executemany("INSERT INTO pins VALUES (?,?)", [(clip_id, number) for number in sequences])

    def drop_plan(self, clip_id: str) -> None:
        """The plan's file is gone."""
        with self._writing() as connection:
            connection.execute("DELETE FROM plans WHERE clip_id = ?", (clip_id,))
            connection.execute("DELETE FROM pins WHERE clip_id = ?", (clip_id,))

    def plans(self) -> dict[str, tuple[bytes, list[int]]]:
        """Mirrored plans: summary and pinned segments by clip id."""
        with self._reading() as connection:
            found: dict[str, tuple[bytes, list[int]]] = {
                clip_id: (summary, [])
                for clip_id, summary in connection.execute("SELECT clip_id, summary FROM plans")
            }
            for clip_id, sequence in connection.execute("SELECT clip_id, sequence FROM pins ORDER BY sequence"):
                if clip_id in found:
                    found[clip_id][1].append(sequence)
        return found


def _restrict(path: Path) -> None:
    """Nobody but owner and group may read; SQLite gives its log and shared memory the database's mode."""
    try:
        if not path.exists():
            path.touch(_MODE)
        for file in (path, *(path.with_name(path.name + suffix) for suffix in ("-wal", "-shm"))):
            with suppress(FileNotFoundError):
                mode = file.stat().st_mode & 0o777
                if mode & ~_MODE:
                    file.chmod(mode & _MODE)
    except PermissionError as error:
        # A file system without modes, or a file that another account made: no reason not to record.
        logger.warning("%s stays readable for others: %s", path, error.strerror)
    except OSError as error:
        raise RingStorageError(f"cannot restrict {path} to its owner and group: {error.strerror}") from error


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute(f"PRAGMA busy_timeout={_BUSY_TIMEOUT_MS}")
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute(f"PRAGMA wal_autocheckpoint={_MAX_WAL_PAGES}")
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute(f"PRAGMA journal_size_limit={_MAX_WAL_BYTES}")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version == 0 and not connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone():
        connection.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version={SCHEMA_VERSION}; COMMIT;")
    elif version != SCHEMA_VERSION:
        raise IndexDamagedError(f"{path}: index of version {version}, this software reads {SCHEMA_VERSION}")


def _translated(path: Path, error: sqlite3.Error) -> RingStorageError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    kind = IndexDamagedError if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB} else RingStorageError
    return kind(f"{path}: {error}")


def lacks_space(error: RingStorageError) -> bool:
    """Whether the index could not be written because its disk is full."""
    cause = error.__cause__
    return isinstance(cause, sqlite3.Error) and getattr(cause, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL


def _insert(connection: sqlite3.Connection, info: SegmentInfo) -> None:
    header = info.header
    config = info.config
    stretches = stretches_of(info)
    life = (header.boot_id, header.run_id)
    connection.execute("INSERT OR IGNORE INTO lives (boot_id, run_id) VALUES (?,?)", life)
    codec = (config.codec, config.extradata, config.width_px, config.height_px, config.frame_rate_fps, info.stsd)
    connection.execute(
        "INSERT OR IGNORE INTO configs (codec, extradata, width_px, height_px, frame_rate_fps, stsd)"
        " VALUES (?,?,?,?,?,?)",
        codec,
    )
    connection.execute(
        "INSERT OR REPLACE INTO segments SELECT ?, life, config, ? FROM lives, configs"
        " WHERE boot_id = ? AND run_id = ? AND codec = ? AND extradata = ? AND width_px = ?"
        " AND height_px = ? AND frame_rate_fps = ? AND stsd = ?",
        (info.sequence, info.size_bytes, *life, *codec),
    )
    connection.execute("DELETE FROM stretches WHERE sequence = ?", (info.sequence,))
    connection.executemany(
        "INSERT INTO stretches VALUES (?,?,?,?,?)",
        [(info.sequence, place, row.start_us, row.end_us, row.cause) for place, row in enumerate(stretches)],
    )
    blob = encode_contents(info.fragments, info.samples)
    connection.execute(
        "INSERT OR REPLACE INTO contents VALUES (?,?,?,?)", (info.sequence, header.to_json(), info.header_bytes, blob)
    )
    for row in stretches:
        _extend_boot(connection, row.boot_id, row.sequence, row.start_us, row.end_us)
    _raise_next_sequence(connection, info.sequence + 1)


def _extend_boot(connection: sqlite3.Connection, boot_id: str, place: int, first_us: int, last_us: int) -> None:
    """Boots are in the order of the lowest sequence number that they used."""
    connection.execute(
        "INSERT INTO boots VALUES (?,?,?,?) ON CONFLICT (boot_id) DO UPDATE SET place = min(place, excluded.place),"
        " first_us = min(first_us, excluded.first_us), last_us = max(last_us, excluded.last_us)",
        (boot_id, place, first_us, last_us),
    )


def _raise_next_sequence(connection: sqlite3.Connection, sequence: int) -> None:
    connection.execute(
        "INSERT INTO meta VALUES ('next_sequence', ?)"
        " ON CONFLICT (key) DO UPDATE SET value = max(value, excluded.value)",
        (sequence,),
    )


def _info_of(
    row: tuple[int, bytes, int, bytes, str, bytes, int, int, float, bytes],
) -> SegmentInfo | None:
    sequence, header_json, header_bytes, blob, codec, extradata, width_px, height_px, frame_rate_fps, stsd = row
    try:
        header = SegmentHeader.from_json(header_json)
        fragments, samples = decode_contents(blob, sequence, header.run_id)
    except (FormatError, ValueError):
        return None
    return SegmentInfo(
        sequence=sequence,
        file=segment_file(sequence),
        header=header,
        header_bytes=header_bytes,
        config=CodecConfig("hevc" if codec == "hevc" else "h264", extradata, width_px, height_px, frame_rate_fps),
        stsd=stsd,
        fragments=fragments,
        samples=samples,
        closed=True,
    )
