"""Removing segments so that a cut at any instant leaves nothing half done.

Procedure, and what a power cut after each step leaves:

1. commit, synced: the rows leave the index, the removals are owed  – files that the next start removes
2. unlink the files                                                 – the same
3. sync their folders                                               – removals owed of files that are gone
4. commit: done                                                     – nothing

When the index cannot commit (its own disk is full, too), the files go first: the next start drops the rows of files
that are gone.
"""

import logging
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from edge_agent.buffer.index import Index
from edge_agent.buffer.layout import is_listable, segment_file
from edge_agent.durable import fsync_directory
from edge_agent.errors import RingStorageError
from edge_agent.os_errors import is_rotten

logger = logging.getLogger(__name__)

_MAX_REFUSED = 16
"""Tries a round that the storage may refuse: a few rotten files must not keep the others, nor a round last long."""


class Disposal:
    """Removes segments that are out of the catalogue already; any thread may call."""

    def __init__(self, directory: Path, index: Index) -> None:
        self._directory = directory
        self._index = index
        self._lock = threading.Lock()  # one removal at a time; protects _owed
        self._owed: dict[int, None] = {}  # a set in the order of the tries
        self._refusing: set[Path] = set()
        self._trouble = ""

    def refuses(self, sequence: int) -> bool:
        """Whether a segment lies in a folder that cannot be read and lets nothing go: no space is to be had there."""
        return bool(self._refusing) and self._folder(sequence) in self._refusing

    @property
    def trouble(self) -> str:
        """What the storage refuses to remove; empty when nothing is owed."""
        return self._trouble

    def remove(self, sequences: Iterable[int]) -> None:
        """Remove segments; what the storage refuses stays owed and is tried again by `retry`."""
        numbers = sorted(sequences)
        if not numbers:
            return
        with self._lock:
            try:
                self._index.decide_deletion(numbers)
            except RingStorageError as error:
                logger.warning("removing files before their index rows: %s", error)
            self._owed = dict.fromkeys(numbers) | self._owed  # before what the storage refused already
            self._remove_owed()

    def resume(self) -> int:
        """Finish what an earlier process owed; the number of segments."""
        with self._lock:
            self._owed.update(dict.fromkeys(self._index.deletions_owed()))
            count = len(self._owed)
            self._remove_owed()
            return count

    def retry(self) -> None:
        """Try again what the storage refused."""
        with self._lock:
            if self._owed:
                self._remove_owed()

    def owed(self) -> frozenset[int]:
        """Segments whose files could not be removed yet."""
        with self._lock:
            return frozenset(self._owed)

    def _remove_owed(self) -> None:
        gone = self._unlink_owed()
        try:
            gone -= self._unsynced(gone)
            self._index.deletions_done(gone)
        except RingStorageError as error:
            self._tell(f"removals are not recorded as done: {error}")
            return
        for sequence in gone:
            del self._owed[sequence]
        if not self._owed:
            self._tell("")

    def _unsynced(self, gone: set[int]) -> set[int]:
        """Make removals durable; those in folders that the storage does not sync stay owed."""
        folders = {self._folder(sequence) for sequence in gone}
        refusing: set[Path] = set()
        for folder in folders:
            try:
                _sync_or_remove(folder)
            except OSError as error:
                refusing.add(folder)
                self._tell(f"removals in {folder} are not durable: {error}")
        return {sequence for sequence in gone if self._folder(sequence) in refusing}

    def _folder(self, sequence: int) -> Path:
        return (self._directory / segment_file(sequence)).parent

    def _unlink_owed(self) -> set[int]:
        """Unlink files until the storage refused a few, which are then the last to be tried again."""
        gone: set[int] = set()
        refused: list[int] = []
        for sequence in self._owed:
            try:
                (self._directory / segment_file(sequence)).unlink(missing_ok=True)
                gone.add(sequence)
                self._refusing.discard(self._folder(sequence))
            except OSError as error:
                refused.append(sequence)
                if is_rotten(error) and not is_listable(self._folder(sequence)):
                    self._refusing.add(self._folder(sequence))
                self._tell(f"{len(self._owed)} segments cannot be removed: {error}")
                if len(refused) >= _MAX_REFUSED:
                    break
        for sequence in refused:
            del self._owed[sequence]
        self._owed.update(dict.fromkeys(refused))
        return gone

    def _tell(self, trouble: str) -> None:
        """Log when it begins and when it ends; thousands of segments may wait for a storage that refuses."""
        if bool(trouble) != bool(self._trouble):
            logger.warning("removal of footage: %s", trouble or "works again")
        self._trouble = trouble


def _sync_or_remove(folder: Path) -> None:
    """Make removals in a folder durable; an empty folder goes too, unless a new segment came into it meanwhile."""
    if not folder.exists():
        return
    if next(folder.iterdir(), None) is not None:
        fsync_directory(folder)
        return
    with suppress(OSError):
        folder.rmdir()
    fsync_directory(folder.parent)
