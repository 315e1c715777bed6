"""Segments that lost bytes after they were indexed: one of them must not cost a clip all the others.

At start only the newest few files are compared with the index; the others are when a clip wants them, one stat(2) a
segment. A file that is gone leaves the index; one that is shorter than it was is scanned, digests and all, and
indexed as what it is now. What is lost becomes a gap, whose cause the segment behind it does not know.
"""

import logging
from collections.abc import Iterable
from pathlib import Path

from edge_agent.buffer.file_indexer import is_sound, put_aside
from edge_agent.buffer.holdings import Holdings
from edge_agent.buffer.index import Index
from edge_agent.buffer.layout import segment_file
from edge_agent.buffer.segment import SegmentInfo
from edge_agent.buffer.segment_scan import scan_segment
from edge_agent.errors import RingStorageError

logger = logging.getLogger(__name__)


class Mender:
    """Brings what is known of closed segments in line with their files."""

    def __init__(self, holdings: Holdings, index: Index) -> None:
        self._holdings = holdings
        self._index = index
        self._directory = holdings.directory

    def sound(self, sequences: Iterable[int]) -> list[int]:
        """Those of the closed segments whose files hold what is known of them, by now; the others cannot be read."""
        return [sequence for sequence in sequences if self._is_whole(sequence) or self._mend(sequence)]

    def _is_whole(self, sequence: int) -> bool:
        try:
            return (self._directory / segment_file(sequence)).stat().st_size >= self._holdings.sizes([sequence])
        except OSError:
            return False

    def _mend(self, sequence: int) -> bool:
        """Learn anew what a file holds; False when it holds nothing or cannot be read."""
        path = self._directory / segment_file(sequence)
        try:
            result = scan_segment(path, self._directory)
            if result.info is not None and is_sound(sequence, path, result):
                self._replace(result.info)
                return True
            put_aside(self._directory, path, result)
        except (RingStorageError, OSError) as error:
            if not _is_gone(path):
                logger.warning("segment %d is left out of a clip: %s", sequence, error)
                return False
        logger.warning("segment %d is lost: its file is gone, or holds nothing", sequence)
        self._forget(sequence)
        return False

    def _replace(self, info: SegmentInfo) -> None:
        logger.warning("segment %d is shorter than it was: %d bytes are good", info.sequence, info.size_bytes)
        rows = self._holdings.rows_of(info.sequence)
        doubted = [info.sequence] if rows and rows[0].cause == "unknown" else []
        doubted += self._holdings.behind([info.sequence])
        try:
            self._index.add_segments([info])
            self._index.doubt(doubted)
        except RingStorageError as error:
            logger.warning("segment %d is not indexed anew yet: %s", info.sequence, error)
            self._holdings.replace(info, indexed=False)
        else:
            self._holdings.replace(info, indexed=True)
        self._holdings.doubt(doubted)

    def _forget(self, sequence: int) -> None:
        try:
            self._index.forget([sequence])
        except RingStorageError as error:
            logger.warning("the index still names segment %d, which is gone: %s", sequence, error)
        self._holdings.doubt(self._holdings.behind([sequence]))
        self._holdings.forget([sequence])


def _is_gone(path: Path) -> bool:
    """Whether there is no such file; one that the storage cannot even look at is there (EIO of a rotten inode)."""
    try:
        path.stat()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return False
