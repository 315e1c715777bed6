"""Opening a ring: whatever state a power cut or a person left, the files are believed and nothing good is lost.

0. A disk without room for the index gives up its oldest footage; its newest only when the index cannot be opened.
1. The folders are listed; what lies in one that cannot be read is not known, and not forgotten. The index is opened;
   a damaged or unreadable one is moved aside (`damaged/`) and an empty one made; beside one that cannot be moved,
   another.
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
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from edge_agent.buffer.catalogue import Stretch
from edge_agent.buffer.clip.store import list_plans, plan_path, read_plan
from edge_agent.buffer.disposal import Disposal
from edge_agent.buffer.file_indexer import FileIndexer, Recovered
from edge_agent.buffer.holdings import Holdings
from edge_agent.buffer.index import Index
from edge_agent.buffer.index_file import index_files_of, is_unreadable, move_index_aside, obey_mark
from edge_agent.buffer.layout import (
    DAMAGED_FOLDER,
    PLANS_FOLDER,
    Listing,
    list_segments,
    segment_file,
    sequence_of,
)
from edge_agent.buffer.retention import SPARED_SEGMENTS
from edge_agent.durable import fsync_directory
from edge_agent.errors import FormatError, IndexDamagedError, RingStorageError
from edge_agent.os_errors import is_rotten

logger = logging.getLogger(__name__)

T = TypeVar("T")

AT_ONCE = 5
"""Unknown files that are scanned before recording begins: the segment that was open, and little more."""

_CHECKED_ROWS = 3
_ROOM_BYTES = 4_000_000  # what the index needs to open: its log and its shared memory
_MAX_GIVEN_UP = 64


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
        held = sorted(list_segments(directory).segments)
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
        listing = list_segments(directory)
        newest, other = index_files_of(directory)
        try:
            return _recover_anyhow(directory, newest, listing)
        except (RingStorageError, OSError) as error:
            if not is_unreadable(error):
                raise
            logger.warning("%s and what belongs to it stays, the other is used: %s", directory / newest, error)
        return _recover_anyhow(directory, other, listing)
    except OSError as error:
        raise RingStorageError(f"cannot recover {directory}: {error}") from error


def _recover_anyhow(directory: Path, file: str, listing: Listing) -> OpenedRing:
    """Recover with the index in this file; with an empty one when that cannot be used."""
    try:
        return _recover(directory, file, listing)
    except RingStorageError as error:
        if not (isinstance(error, IndexDamagedError) or is_unreadable(error)):
            raise
        logger.warning("the index is rebuilt from the files: %s", error)
    move_index_aside(directory, file)
    return _recover(directory, file, list_segments(directory))  # anew: what was owed may be removed by now


def _recover(directory: Path, file: str, listing: Listing) -> OpenedRing:
    index = Index(directory / file)
    try:
        holdings, disposal = Holdings(directory, index), Disposal(directory, index)
        check_readable(index)
        owed = set(index.deletions_owed())
        disposal.resume()
        files = listing.segments - owed
        is_new = index.next_sequence() == 1
        found = Recovered(next_sequence=_next_sequence(directory, index, listing.highest))
        found.rows_dropped = load_rows(directory, index, holdings, listing, owed)
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


def check_readable(index: Index) -> None:
    """Read what is read at start, so that whatever is wrong with it is found while the index can still be replaced.

    Raises:
        RingStorageError: it cannot be read; IndexDamagedError when it is no sound database.
    """
    index.boots()
    index.anchors()
    index.plans()


def load_rows(directory: Path, index: Index, holdings: Holdings, listing: Listing, owed: set[int]) -> int:
    """Load the rows whose files are there; drop the others, and the last ones where the file is too short.

    Args:
        directory: the camera's ring.
        index: where the rows are.
        holdings: where they go.
        listing: the files.
        owed: segments whose removal was decided.

    Raises:
        RingStorageError: the index cannot be read or written.
    """
    gone: set[int] = set()

    def rows() -> Iterator[tuple[Stretch, int]]:
        for row, size_bytes in index.stretches():
            if listing.may_hold(row.sequence) and row.sequence not in owed:
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
    except FileNotFoundError:
        return True
    except OSError:
        return False  # a rotten file is looked at when a clip wants it, and may come back


def _next_sequence(directory: Path, index: Index, highest_file: int) -> int:
    damaged = (sequence_of(name.partition("-")[0]) for name in _names_in(directory / DAMAGED_FOLDER))
    highest = max([highest_file, *(number for number in damaged if number is not None)])
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
