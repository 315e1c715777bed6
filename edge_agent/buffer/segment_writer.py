"""One open segment file: header once, then a fragment at a time, each one write.

Procedure, and what a power cut after each step leaves (the scan of `segment_scan` sorts it out):

1. create the file exclusively, write `ftyp moov uuid`  – no file, an empty one, a torn header or a header alone
2. write `moof mdat uuid` at the end                   – the fragments before, and a tail that fails its digest
3. fdatasync; the first time, fsync the directory too  – every fragment so far, found by name

The file is the ring's own append-only exception to `edge_agent.durable`. It is not preallocated (the last fragment's
end is then the file's end) and its pages stay in the cache: they are clean, the kernel takes them back when it needs
them, and the footage that is asked for most is the newest.
"""

import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from edge_agent.buffer.fragment_boxes import MovieFragment, read_movie_fragment, read_movie_header
from edge_agent.buffer.fragment_table import FragmentEntry
from edge_agent.buffer.muxer import mux_fragment, mux_header
from edge_agent.buffer.segment import SegmentInfo, UtcEstimate
from edge_agent.buffer.segment_contents import SegmentContents
from edge_agent.contract.access_unit import AccessUnit, CodecConfig
from edge_agent.contract.boxes import find, read_head
from edge_agent.contract.segment_format import (
    FRAGMENT_BOX_BYTES,
    FRAGMENT_RECORD_BYTES,
    FragmentRecord,
    SegmentHeader,
    header_tag,
    read_fragment_record,
)
from edge_agent.durable import fsync_directory
from edge_agent.errors import FormatError, RingStorageError

_DIGEST_BYTES = 32
_MODE = 0o640


@dataclass(frozen=True, slots=True)
class StorageCalls:
    """The calls that a disk can refuse; tests give their own."""

    write: Callable[[int, bytes, int], int] = os.pwrite
    sync: Callable[[int], None] = os.fdatasync
    cut: Callable[[int, int], None] = os.ftruncate


_KERNEL = StorageCalls()


class SegmentWriter:
    """The one writer of a segment; `info` may be called from any thread, all else from one."""

    def __init__(
        self, path: Path, file: str, header: SegmentHeader, config: CodecConfig, calls: StorageCalls
    ) -> None:
        """Use `create`."""
        self._path = path
        self._config = config
        self._header = header
        self._calls = calls
        movie_boxes = mux_header(config)
        moov = find(movie_boxes, (b"moov",))
        self._movie = read_movie_header(movie_boxes[moov.offset : moov.end])
        self._head = movie_boxes + header.to_box()
        self._tag = header_tag(self._head)
        self._lock = threading.Lock()  # protects _contents, _synced, _closed and _info
        self._contents = SegmentContents(file, header, len(self._head), self._movie)
        self._synced = 0
        self._closed = False
        self._info: SegmentInfo | None = None
        self._end = len(self._head)
        self._doubtful = False  # a sync failed: what the file holds of the unsynced fragments is not known
        self._ragged = False  # a torn write could not be cut off: the file is longer than `_end`
        self._named = False  # the directory entry is durable
        self._descriptor = -1

    @classmethod
    def create(
        cls, root: Path, file: str, header: SegmentHeader, config: CodecConfig, calls: StorageCalls = _KERNEL
    ) -> Self:
        """Create the file and write its header; nothing is durable before the first `sync`.

        Args:
            root: the camera's ring directory.
            file: path of the new file relative to `root`; its directory must exist.
            header: what the segment says of itself.
            config: codec parameters of every unit that will be appended.
            calls: the storage.

        Raises:
            FormatError: libav refuses the codec parameters.
            RingStorageError: the file exists or the storage refuses; no file is left behind.
        """
        writer = cls(root / file, file, header, config, calls)
        writer._create()
        return writer

    def _create(self) -> None:
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._descriptor = os.open(self._path, flags, _MODE)
        except OSError as error:
            raise self._storage_error("create", error) from error
        try:
            self._write_whole(self._head, 0)
        except OSError as error:
            self.abandon()
            with suppress(OSError):
                self._path.unlink(missing_ok=True)
            raise self._storage_error("write the header of", error) from error

    @property
    def path(self) -> Path:
        """The segment's file."""
        return self._path

    @property
    def config(self) -> CodecConfig:
        """Codec parameters as the source gave them."""
        return self._config

    @property
    def size_bytes(self) -> int:
        """Length of the file, fragments not yet synced included."""
        return self._end

    def append(self, units: Sequence[AccessUnit], utc: UtcEstimate, *, closed_early: bool = False) -> FragmentEntry:
        """Write one fragment behind the others; it is durable after the next `sync`.

        Args:
            units: as for `muxer.mux_fragment`.
            utc: estimated UTC of the first unit's capture.
            closed_early: closed by a stall or a stop rather than by its length or a key frame.

        Raises:
            FormatError: libav refuses a unit, or leaves one out or empty (as it does, silently, with units that hold
                no NAL unit): trying again will not help; the file is as before.
            RingStorageError: the storage refused; the file is as before, the same units may be appended again.
        """
        boxes = mux_fragment(self._config, units, len(self._contents.entries) + 1)
        moof = read_head(boxes, 0, len(boxes))
        fragment = read_movie_fragment(boxes[: moof.end], self._movie.defaults)
        _check_whole(fragment, units)
        record = self._record(units, utc, closed_early=closed_early)
        box = record.to_box(boxes, self._tag)
        self._append_whole(boxes + box)
        entry = FragmentEntry(
            offset=self._end,
            length_bytes=len(boxes) + FRAGMENT_BOX_BYTES,
            payload_offset=self._end + fragment.data_offset,
            record=record,
            digest=box[-_DIGEST_BYTES:],
        )
        with self._lock:
            self._contents.add(entry, fragment)
            self._end += entry.length_bytes
        return entry

    def _record(self, units: Sequence[AccessUnit], utc: UtcEstimate, *, closed_early: bool) -> FragmentRecord:
        first = units[0]
        return FragmentRecord(
            number=len(self._contents.entries) + 1,
            sequence=self._header.sequence,
            run_id=self._header.run_id,
            first_pts_90k=first.pts_90k,
            monotonic_us=first.capture_us,
            utc_us=utc.utc_us,
            bound_us=utc.bound_us,
            clock_source=utc.source,
            samples=len(units),
            is_key=first.is_key,
            closed_early=closed_early,
            keys_back=first.keys_back,
        )

    def _write_whole(self, data: bytes, offset: int) -> None:
        """One write; a short one is followed by another, which then says what is wrong."""
        written = 0
        while written < len(data):
            step = self._calls.write(self._descriptor, data[written:] if written else data, offset + written)
            written += step

    def _append_whole(self, data: bytes) -> None:
        try:
            if self._ragged:
                self._cut_back()
            self._ragged = True
            self._write_whole(data, self._end)
        except OSError as error:
            with suppress(OSError):  # tried again before the next write; until then the tail fails its digest
                self._cut_back()
            raise self._storage_error("append to", error) from error
        self._ragged = False

    def _cut_back(self) -> None:
        self._calls.cut(self._descriptor, self._end)
        self._ragged = False

    def sync(self) -> None:
        """Make every fragment appended so far durable.

        After a failure the kernel may have dropped the unwritten pages and call them clean (as PostgreSQL found out:
        wiki.postgresql.org/wiki/Fsync_Errors), so that a second fdatasync alone would succeed without having written.
        The next `sync` therefore writes the unsynced bytes again first.

        Raises:
            RingStorageError: the storage refused; the fragments stay unsynced, `sync` may be called again. When the
                cache has lost a fragment after a failed sync, it and those behind it leave the segment.
        """
        if len(self._contents.entries) == self._synced and self._named:
            return
        try:
            if self._doubtful:
                self._rewrite_unsynced()
            self._calls.sync(self._descriptor)
            if not self._named:
                fsync_directory(self._path.parent)
        except OSError as error:
            self._doubtful = True
            raise self._storage_error("sync", error) from error
        self._named = True
        self._doubtful = False
        with self._lock:
            self._synced = len(self._contents.entries)

    def _rewrite_unsynced(self) -> None:
        if not self._synced:
            self._write_whole(self._head, 0)
        for index, entry in enumerate(self._contents.entries[self._synced :], self._synced):
            data = os.pread(self._descriptor, entry.length_bytes, entry.offset)
            split = len(data) - FRAGMENT_RECORD_BYTES
            try:
                read_fragment_record(data[split:], data[: len(data) - FRAGMENT_BOX_BYTES])
            except FormatError as error:
                self._drop_after(index)
                raise RingStorageError(f"{self._path}: fragment {index + 1} was lost by a failed sync") from error
            self._write_whole(data, entry.offset)

    def _drop_after(self, fragments: int) -> None:
        with self._lock:
            self._end = self._contents.entries.offsets[fragments]
            self._contents.drop_after(fragments)
            self._info = None
        self._ragged = True

    def info(self, *, synced_only: bool = True) -> SegmentInfo:
        """The segment as it stands; what is appended later does not change it.

        Args:
            synced_only: leave out fragments that a power cut could still take.
        """
        with self._lock:
            count = self._synced if synced_only else len(self._contents.entries)
            known = self._info
            if known is None or len(known.fragments) != count or known.closed != self._closed:
                known = self._info = self._contents.info(count, closed=self._closed)
            return known

    def close(self) -> None:
        """Sync and close; the segment is then `closed`.

        Raises:
            RingStorageError: the storage refused the sync; the file stays open, `close` may be called again.
        """
        if self._descriptor < 0:
            return
        self.sync()
        with self._lock:
            self._closed = True
        self.abandon()

    def abandon(self) -> None:
        """Close the file as it is: fragments that were not synced may be lost."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _storage_error(self, what: str, error: OSError) -> RingStorageError:
        return RingStorageError(f"cannot {what} {self._path}: {error.strerror} (errno {error.errno})")


def _check_whole(fragment: MovieFragment, units: Sequence[AccessUnit]) -> None:
    written = list(zip(fragment.dts_90k, fragment.pts_90k, strict=True))
    if written != [(unit.dts_90k, unit.pts_90k) for unit in units] or 0 in fragment.sizes_bytes:
        raise FormatError(f"libav wrote other samples than the {len(units)} units at {units[0].dts_90k}/90000 s")
