"""Which number and folder the next segment gets, and its file; the numbers of a folder that rots are given up."""

import itertools
from collections.abc import Callable
from pathlib import Path

from edge_agent.buffer.layout import first_of_next_folder, is_listable, segment_file
from edge_agent.buffer.segment_writer import SegmentWriter, StorageCalls
from edge_agent.contract.access_unit import CodecConfig
from edge_agent.contract.segment_format import SegmentHeader
from edge_agent.durable import settle_directory
from edge_agent.errors import RingStorageError
from edge_agent.os_errors import is_rotten


class NewSegments:
    """Makes the segment files of one ring, in the order of their numbers; used by the writer thread.

    Args:
        directory: of the ring.
        next_sequence: no file or plan has this number or a higher one.
    """

    def __init__(self, directory: Path, next_sequence: int) -> None:
        self._directory = directory
        self._sequences = itertools.count(next_sequence)
        self._settled: Path | None = None

    def create(
        self, config: CodecConfig, header_of: Callable[[int], SegmentHeader], storage: StorageCalls
    ) -> SegmentWriter:
        """A new file.

        Args:
            config: codec parameters of its pictures.
            header_of: what stands in it when it has this number.
            storage: what reaches the disk.

        Raises:
            RingStorageError: the storage refuses.
            FormatError: the codec parameters cannot be muxed.
        """
        sequence = next(self._sequences)
        file = segment_file(sequence)
        folder = (self._directory / file).parent
        try:
            self._settle(folder)
        except OSError as error:
            if is_rotten(error):
                self._leave_folder_of(sequence)
            raise RingStorageError(f"cannot make a folder for {file}: {error.strerror}") from error
        try:
            return SegmentWriter.create(self._directory, file, header_of(sequence), config, storage)
        except RingStorageError as error:
            if is_rotten(error) and not is_listable(folder):
                self._leave_folder_of(sequence)
            raise

    def _leave_folder_of(self, sequence: int) -> None:
        """The numbers of one folder are given up, not the footage."""
        self._sequences = itertools.count(first_of_next_folder(sequence))

    def _settle(self, folder: Path) -> None:
        """Make a folder of segments, its name durable, once a folder; retention may remove it when it is empty."""
        if folder == self._settled and folder.exists():
            return
        self._settled = None
        settle_directory(folder)
        self._settled = folder
