"""Opening a ring: whatever state a power cut or a person left, the files are believed and nothing good is lost.

0. A disk without room for the index gives up its oldest footage; its newest only when the index cannot be opened.
1. The index is opened; a damaged or unreadable one is moved aside (`damaged/`) and an empty one made.
2. Removals that were owed are done.
3. Rows whose file is gone are dropped; the last few files are checked against their rows by length.
4. Files that the index does not know, newest first up to `AT_ONCE`, are scanned, digests and all, and indexed. The
   newest file of all may have a torn tail, which is cut off. A file without a good header or fragment goes to
   `damaged/`; one that holds nothing behind its header is removed.
5. When more files are unknown (the index was lost) they are left to `Rebuild`, which indexes them while recording
   goes on.

A month's ring with its index costs the listing of its folders and one pass over the narrow rows.
"""

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from edge_agent.buffer.catalogue import Stretch
from edge_agent.buffer.clip.store import list_plans, plan_path, read_plan
from edge_agent.buffer.clock_model import Anchor
from edge_agent.buffer.disposal import Disposal
from edge_agent.buffer.holdings import Holdings
from edge_agent.buffer.index import Index
from edge_agent.buffer.index_file import INDEX_FILES, is_unreadable, move_index_aside, obey_mark
from edge_agent.buffer.layout import (
    DAMAGED_FOLDER,
    PLANS_FOLDER,
    list_segments,
    segment_file,
    sequence_of,
)
from edge_agent.buffer.retention import SPARED_SEGMENTS
from edge_agent.buffer.sampler import tells_something
from edge_agent.buffer.segment import SegmentInfo
from edge_agent.buffer.segment_scan import ScanResult, cut_tail, scan_segment
from edge_agent.durable import fsync_directory
from edge_agent.errors import FormatError, IndexDamagedError, RingStorageError
from edge_agent.passing import is_passing
from edge_agent.rotten import is_rotten

logger = logging.getLogger(__name__)

T = TypeVar("T")

AT_ONCE = 5
"""Unknown files that are scanned before recording begins: the segment that was open, and little more."""

_CHECKED_ROWS = 3
_ROOM_BYTES = 4_000_000  # what the index needs to open: its log and its shared memory
_MAX_GIVEN_UP = 64


@dataclass(slots=True)
class Recovered:
    """What was found; counts for the log and the tests.

    Attributes:
        unknown: files still to be indexed, oldest first.
        next_sequence: the first number that was never used.
        rows_dropped: rows whose file was gone.
        files_indexed: files that the index did not know.
        files_cut: torn tails.
        files_damaged: files moved to `damaged/`.
    """

    unknown: list[int] = field(default_factory=list)
    next_sequence: int = 1
    rows_dropped: int = 0
    files_indexed: int = 0
    files_cut: int = 0
    files_damaged: int = 0


@dataclass(frozen=True, slots=True)
class OpenedRing:
    """The parts of a ring that recovery brings together."""

    index: Index
    holdings: Holdings
    disposal: Disposal
    recovered: Recovered


def with_room(directory: Path, free_bytes: Callable[[Path], int], recover: Callable[[], T]) -> T:
    """Recover a ring; when that fails on a full disk, oldest footage makes room for it, the newest only in the end.

    Raises:
        RingStorageError: the storage refused, and not for want of space; or nothing is left to give up.
    """
    for spared in (SPARED_SEGMENTS, 0):
        try:
            return recover()
        except RingStorageError:
            if not (make_room(directory, free_bytes, spared) or make_room(directory, free_bytes, spared=0)):
                raise
    return recover()


def make_room(directory: Path, free_bytes: Callable[[Path], int], spared: int = SPARED_SEGMENTS) -> int:
    """Give up the oldest footage when the disk is so full that not even the index can be opened.

    The files go without a row in the index, which drops those of files that are gone. Segments that a plan names are
    spared. It ends as soon as a removal did not make the free space rise (see `freed_space`).

    Args:
        directory: the camera's ring.
        free_bytes: of the file system of a path.
        spared: so many of the newest segments stay: 0 when the index could not be opened indeed.

    Returns:
        The number of segments given up.

    Raises:
        RingStorageError: the storage refused.
    """
    given_up = 0
    try:
        free = free_bytes(directory)
        if free >= _ROOM_BYTES:
            return 0
        held = sorted(list_segments(directory))
        pinned = _named_by_plans(directory / PLANS_FOLDER)
        older = [sequence for sequence in held[: max(len(held) - spared, 0)] if sequence not in pinned]
        for sequence in older[:_MAX_GIVEN_UP]:
            path = directory / segment_file(sequence)
            try:
                path.unlink()
            except OSError as error:  # a rotten file must not keep the others, which would do
                logger.warning("%s cannot be given up: %s", path, error)
                continue
            fsync_directory(path.parent)
            given_up += 1
            before, free = free, free_bytes(directory)
            if free >= _ROOM_BYTES or free <= before:
                break
    except OSError as error:
        raise RingStorageError(f"cannot make room in {directory}: {error}") from error
    if given_up:
        logger.warning("the disk was full: the oldest %d segments were given up", given_up)
    return given_up


def _named_by_plans(plans_directory: Path) -> set[int]:
    named: set[int] = set()
    for clip_id in list_plans(plans_directory):
        try:
            plan = read_plan(plan_path(plans_directory, clip_id))
        except FormatError as error:
            logger.warning("plan %s spares nothing: %s", clip_id, error)
            continue
        named.update(piece.sequence for part in plan.parts for piece in part.ranges)
    return named


def open_ring(directory: Path) -> OpenedRing:
    """Open the index and bring it, the catalogue and the files together; see the module.

    Raises:
        RingStorageError: the storage refused.
    """
    try:
        obey_mark(directory)
        for file in INDEX_FILES[:-1]:
            try:
                return _recover_anyhow(directory, file)
            except (RingStorageError, OSError) as error:
                if not is_unreadable(error):
                    raise
                logger.warning("%s and what belongs to it stays, another index is made: %s", directory / file, error)
        return _recover_anyhow(directory, INDEX_FILES[-1])
    except OSError as error:
        raise RingStorageError(f"cannot recover {directory}: {error}") from error


def _recover_anyhow(directory: Path, file: str) -> OpenedRing:
    """Recover with the index in this file; with an empty one when that cannot be used."""
    try:
        return _recover(directory, file)
    except RingStorageError as error:
        if not (isinstance(error, IndexDamagedError) or is_unreadable(error)):
            raise
        logger.warning("the index is rebuilt from the files: %s", error)
    move_index_aside(directory, file)
    return _recover(directory, file)


def _recover(directory: Path, file: str) -> OpenedRing:
    index = Index(directory / file)
    try:
        holdings, disposal = Holdings(directory, index), Disposal(directory, index)
        disposal.resume()
        files = list_segments(directory) - disposal.owed()
        is_new = index.next_sequence() == 1
        found = Recovered(next_sequence=_next_sequence(directory, index, files))
        found.rows_dropped = load_rows(directory, index, holdings, files)
        unknown = sorted(number for number in files if not holdings.holds(number))
        is_lost = is_new or len(unknown) > AT_ONCE
        indexer = FileIndexer(directory, index, holdings, found, newest=max(files, default=0), is_lost=is_lost)
        indexer.take(unknown[-AT_ONCE:])
        found.unknown = unknown[:-AT_ONCE]
    except BaseException:
        index.close()
        raise
    if found.rows_dropped or found.files_indexed or found.files_damaged or found.unknown:
        logger.warning(
            "ring recovered: %d rows dropped, %d files indexed, %d tails cut, %d files damaged, %d files to index",
            found.rows_dropped,
            found.files_indexed,
            found.files_cut,
            found.files_damaged,
            len(found.unknown),
        )
    return OpenedRing(index, holdings, disposal, found)


def load_rows(directory: Path, index: Index, holdings: Holdings, files: set[int]) -> int:
    """Load the rows whose files are there; drop the others, and the last ones where the file is too short.

    Raises:
        RingStorageError: the index cannot be read or written.
    """
    gone: set[int] = set()

    def rows() -> Iterator[tuple[Stretch, int]]:
        for row, size_bytes in index.stretches():
            if row.sequence in files:
                yield row, size_bytes
            else:
                gone.add(row.sequence)

    holdings.load(rows())
    shorter = [
        number
        for number in holdings.newest(_CHECKED_ROWS)
        if _is_shorter(directory / segment_file(number), holdings.sizes([number]))
    ]
    gone.update(shorter)
    if gone:
        index.forget(gone)
        holdings.forget(shorter)
        holdings.doubt(holdings.behind(gone))
    return len(gone)


def _is_shorter(path: Path, size_bytes: int) -> bool:
    try:
        return path.stat().st_size < size_bytes
    except OSError:
        return True


def _is_there(path: Path) -> bool:
    """Whether a file is there and its storage can say so: what is rotten counts as missing."""
    try:
        path.stat()
    except OSError:
        return False
    return True


def _next_sequence(directory: Path, index: Index, files: Iterable[int]) -> int:
    damaged = (sequence_of(name.partition("-")[0]) for name in _names_in(directory / DAMAGED_FOLDER))
    highest = max([0, *files, *(number for number in damaged if number is not None)])
    known = index.next_sequence()
    if highest + 1 > known:
        index.raise_next_sequence(highest + 1)
    return max(highest + 1, known)


def _names_in(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir()]
    except OSError as error:
        if not is_rotten(error):
            raise
        return []


class FileIndexer:
    """Indexes files that the index does not know.

    Args:
        newest: the highest sequence among the files: only that file may have a torn tail.
        is_lost: with the index, what it knew of removals was lost: any number that is missing may have been footage.
        mends: False leaves every file as it lies, torn tails and files that are no segments too.
    """

    def __init__(
        self,
        directory: Path,
        index: Index,
        holdings: Holdings,
        found: Recovered,
        newest: int,
        *,
        is_lost: bool,
        mends: bool = True,
    ) -> None:
        self._directory = directory
        self._index = index
        self._holdings = holdings
        self._found = found
        self._newest = newest
        self._is_lost = is_lost
        self._mends = mends
        self._last_anchors: dict[str, Anchor] = {}

    def take(self, sequences: Sequence[int], *, verify: bool = True) -> None:
        """Scan and index files.

        A file that the storage cannot read is left as it is, and out. Safe to repeat when it raised.

        Raises:
            RingStorageError: the index cannot be written, or the system lacks what reading takes.
        """
        infos = [info for sequence in sequences if (info := self._scan(sequence, verify=verify)) is not None]
        if not infos:
            return
        self._index.add_segments(infos)
        anchors, last_anchors = self._new_anchors(infos)
        self._index.add_anchors(anchors)
        self._last_anchors = last_anchors
        # Before anybody can find them: footage of a boot that no clock knows cannot be dated.
        self._holdings.set_clock(self._index.boots(), self._index.anchors())
        for info in infos:
            self._holdings.add(info, indexed=True)
        if self._is_lost:
            self._doubt_behind_holes(infos)
        self._found.files_indexed += len(infos)

    def _doubt_behind_holes(self, infos: Iterable[SegmentInfo]) -> None:
        numbers = (info.sequence for info in infos)
        doubted = [number for number in numbers if not _is_there(self._directory / segment_file(number - 1))]
        self._index.doubt(doubted)
        self._holdings.doubt(doubted)

    def _scan(self, sequence: int, *, verify: bool) -> SegmentInfo | None:
        path = self._directory / segment_file(sequence)
        try:
            result = scan_segment(path, self._directory, verify=verify)
            sound = is_sound(sequence, path, result)
            if not self._mends:
                return result.info if sound else None
            if not sound:
                self._found.files_damaged += put_aside(self._directory, path, result)
                return None
            if sequence == self._newest and result.good_bytes < path.stat().st_size:
                cut_tail(path, result.good_bytes)
                self._found.files_cut += 1
        except (RingStorageError, OSError) as error:
            if is_passing(error):
                raise RingStorageError(f"cannot read {path} now: {error}") from error
            logger.warning("%s is left as it is: %s", path, error)
            return None
        return result.info

    def _new_anchors(self, infos: Iterable[SegmentInfo]) -> tuple[list[Anchor], dict[str, Anchor]]:
        """The clock as the segments' headers believed it, thinned to what tells something new; each boot's last."""
        kept, last = [], dict(self._last_anchors)
        for header in (info.header for info in infos):
            anchor = Anchor(
                header.boot_id, header.monotonic_us, header.wall_us, header.clock_source, header.clock_bound_us
            )
            if tells_something(anchor, last.get(anchor.boot_id)):
                last[anchor.boot_id] = anchor
                kept.append(anchor)
        return kept, last


def put_aside(directory: Path, path: Path, result: ScanResult) -> bool:
    """Move a file that is no sound segment to `damaged/`; one that holds nothing is removed, and False returned.

    Raises:
        OSError: the storage refused.
    """
    header_bytes = result.info.header_bytes if result.info is not None else 0
    is_kept = path.stat().st_size > header_bytes
    if is_kept:
        target = directory / DAMAGED_FOLDER / path.name
        path.replace(target)
        os.utime(target)
        fsync_directory(target.parent)
    else:
        path.unlink()
    fsync_directory(path.parent)
    return is_kept


def is_sound(sequence: int, path: Path, result: ScanResult) -> bool:
    """Whether a scan found a segment of this number with something in it."""
    if result.problem is not None:
        logger.warning("%s: %s", path, result.problem)
    info = result.info
    return info is not None and bool(info.fragments) and info.header.sequence == sequence
