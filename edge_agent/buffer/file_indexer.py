"""Indexing segment files that the index does not know: scanned, cut or set aside where they are torn."""

import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edge_agent.buffer.clock_model import Anchor
from edge_agent.buffer.holdings import Holdings
from edge_agent.buffer.index import Index
from edge_agent.buffer.layout import (
    DAMAGED_FOLDER,
    segment_file,
)
from edge_agent.buffer.sampler import tells_something
from edge_agent.buffer.segment import SegmentInfo
from edge_agent.buffer.segment_scan import ScanResult, cut_tail, scan_segment
from edge_agent.durable import fsync_directory
from edge_agent.errors import RingStorageError
from edge_agent.os_errors import is_passing

logger = logging.getLogger(__name__)


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


def _is_there(path: Path) -> bool:
    """Whether a file is there and its storage can say so: what is rotten counts as missing."""
    try:
        path.stat()
    except OSError:
        return False
    return True


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
