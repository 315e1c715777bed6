"""Everything that the ring knows of a segment, from its file alone.

A fragment is good when it stands as a whole: `moof mdat uuid` with nothing between, its record's digest, header tag,
sequence, run and sample count right, its numbers and decode times rising. The file is read from the front:

1. `ftyp moov uuid`: when these are not whole, or no fragment vouches for them and one denies them, there is no
   segment, and nothing may be cut;
2. fragments one after another, as long as they are good;
3. behind a bad one, every place where the bytes `moof` stand is tried. A good fragment with the same sequence and run
   and a higher number shows that the bad bytes are damage in the middle: they are left out, the scan goes on from
   there and nothing good is lost, whatever bytes were hit, box sizes included. When none follows, the bad bytes are
   a torn tail.

So `good_bytes`, the end of the last good fragment, is where `cut_tail` may cut. Only the file that was being written
when the recorder died has a torn tail: a closed segment whose last fragment is bad has rotted, and is not to be cut.

Memory stays below a `moof` and one block whatever the file holds. Work is bounded too: a search ends after
`_MAX_TRIAL_BYTES` that were read or hashed in vain, and then nothing is to be cut.
"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from edge_agent.buffer.fragment_boxes import MovieFragment, MovieHeader, read_movie_fragment, read_movie_header
from edge_agent.buffer.fragment_table import FragmentEntry
from edge_agent.buffer.segment import SegmentInfo
from edge_agent.buffer.segment_contents import SegmentContents
from edge_agent.contract.boxes import Box, read_head
from edge_agent.contract.segment_format import (
    FRAGMENT_BOX_BYTES,
    FragmentRecord,
    SegmentHeader,
    read_fragment_record,
    tag_agrees,
)
from edge_agent.durable import fsync_directory
from edge_agent.errors import FormatError, RingStorageError

_BLOCK_BYTES = 1 << 18
_HEAD_BYTES = 16
_MAX_BOX_BYTES = 1 << 20  # of boxes that are read whole: ftyp, moov, moof, uuid
_MAX_TRIAL_BYTES = 1 << 28


@dataclass(frozen=True, slots=True)
class ScanResult:
    """What a scan found.

    Attributes:
        info: the segment with its good fragments, `closed` always true; None when its header is not whole.
        good_bytes: where the last good fragment, or else the header, ends; 0 without a header; the whole length when
            bytes could not be read or a search was given up, for what is not known to be bad is not to be cut.
        problem: what is wrong with the file, in words; None when it is good to its last byte.
    """

    info: SegmentInfo | None
    good_bytes: int
    problem: str | None


def scan_segment(path: Path, root: Path, verify: bool = True) -> ScanResult:
    """Rebuild a segment's description from its file.

    Args:
        path: the file.
        root: the camera's ring directory, to which `SegmentInfo.file` is relative.
        verify: check digests; without, only box heads, `moof` and `uuid` boxes are read while they agree, and all is
            verified as soon as they do not: what to leave out is never decided on unverified bytes.

    Raises:
        RingStorageError: the file cannot be opened, or its header cannot be read (an I/O error, not a wrong content).
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise RingStorageError(f"cannot open {path}: {error.strerror}") from error
    try:
        file, size_bytes = path.relative_to(root).as_posix(), os.fstat(descriptor).st_size
        result = _Scan(descriptor, size_bytes, verify=verify).run(file)
        if result.problem is None or verify:
            return result
        return _Scan(descriptor, size_bytes, verify=True).run(file)
    finally:
        os.close(descriptor)


def cut_tail(path: Path, good_bytes: int) -> None:
    """Cut a torn tail off, durably; does nothing when the file ends there.

    Args:
        path: the file that was being written when the recorder died.
        good_bytes: of its scan, which found a header.

    Raises:
        FormatError: `good_bytes` is 0 or beyond the file's end: nothing is cut.
        RingStorageError: the storage refused.
    """
    try:
        size_bytes = path.stat().st_size
        if not 0 < good_bytes <= size_bytes:
            raise FormatError(f"{path} of {size_bytes} bytes cannot be cut to {good_bytes}")
        if good_bytes < size_bytes:
            _truncate(path, good_bytes)
    except OSError as error:
        raise RingStorageError(f"cannot cut {path}: {error.strerror}") from error


def _truncate(path: Path, size_bytes: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.ftruncate(descriptor, size_bytes)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    fsync_directory(path.parent)


class _UnreadableError(FormatError):
    """The storage could not read the bytes of a fragment."""


@dataclass(frozen=True, slots=True)
class _Found:
    entry: FragmentEntry
    fragment: MovieFragment


class _Scan:
    """One pass over one file."""

    def __init__(self, descriptor: int, size_bytes: int, *, verify: bool) -> None:
        self._descriptor = descriptor
        self._size = size_bytes
        self._verify = verify
        self._trial_bytes = 0
        self._uncertain = False
        self._problems: list[str] = []
        self._header_boxes = b""
        self._header_denied = False

    def run(self, file: str) -> ScanResult:
        try:
            header, movie, header_bytes = self._read_header()
        except _UnreadableError as error:
            raise RingStorageError(f"{file}: {error}") from error
        except FormatError as error:
            return ScanResult(None, 0, f"no segment header: {error}")
        contents = SegmentContents(file, header, header_bytes, movie)
        good_bytes = self._read_fragments(contents, header, movie)
        if good_bytes < self._size:
            self._problems.append(f"{self._size - good_bytes} bytes behind offset {good_bytes} are no good fragment")
        if self._header_denied and not contents.entries:
            return ScanResult(None, 0, "the header is not the one that the fragments were written under")
        info = contents.info(len(contents.entries), closed=True)
        return ScanResult(info, self._size if self._uncertain else good_bytes, "; ".join(self._problems) or None)

    def _read_header(self) -> tuple[SegmentHeader, MovieHeader, int]:
        ftyp = self._box(0, b"ftyp", _MAX_BOX_BYTES)
        moov = self._box(ftyp.end, b"moov", _MAX_BOX_BYTES)
        own = self._box(moov.end, b"uuid", _MAX_BOX_BYTES)
        header = SegmentHeader.from_body(self._read(own.body_offset, own.end - own.body_offset))
        movie = read_movie_header(self._read(moov.offset, moov.size_bytes))
        if movie.codec != header.codec:
            raise FormatError(f"header says {header.codec}, moov says {movie.codec}")
        self._header_boxes = self._read(0, own.end)
        return header, movie, own.end

    def _read_fragments(self, contents: SegmentContents, header: SegmentHeader, movie: MovieHeader) -> int:
        """Add every good fragment; the end of the last."""
        good_bytes = contents.header_bytes
        while good_bytes < self._size:
            found = self._next(good_bytes, contents, header, movie)
            if found is None:
                break
            missing = found.entry.record.number - contents.last_number - 1
            if missing:
                self._problems.append(f"{missing} fragments before number {found.entry.record.number} are missing")
            contents.add(found.entry, found.fragment)
            good_bytes = found.entry.offset + found.entry.length_bytes
        return good_bytes

    def _next(
        self, offset: int, contents: SegmentContents, header: SegmentHeader, movie: MovieHeader
    ) -> _Found | None:
        try:
            found = self._fragment(offset, movie, verify=self._verify)
            _check_order(found, contents, header)
        except FormatError as error:
            self._problems.append(f"offset {offset}: {error}")
            return self._search(offset + 1, contents, header, movie)
        return found

    def _search(
        self, offset: int, contents: SegmentContents, header: SegmentHeader, movie: MovieHeader
    ) -> _Found | None:
        """The first good fragment at or behind an offset, digest checked whatever `verify` says."""
        self._trial_bytes = 0
        for place in self._places(offset):
            try:
                found = self._fragment(place, movie, verify=True)
                _check_order(found, contents, header)
            except FormatError:
                if self._trial_bytes > _MAX_TRIAL_BYTES:
                    self._problems.append(f"offset {place}: search given up")
                    self._uncertain = True
                    break
            else:
                return found
        return None

    def _places(self, offset: int) -> Iterator[int]:
        """Where box heads that say `moof` begin."""
        while offset + 8 <= self._size:
            length = min(_BLOCK_BYTES, self._size - offset)
            try:
                block = self._read(offset, length)
            except _UnreadableError:
                block = b""
            place = block.find(b"moof", 4)
            while place >= 0:
                yield offset + place - 4
                place = block.find(b"moof", place + 4)
            offset += length - 7

    def _fragment(self, offset: int, movie: MovieHeader, *, verify: bool) -> _Found:
        """The whole fragment that begins at an offset."""
        moof = self._box(offset, b"moof", _MAX_BOX_BYTES)
        mdat = self._box(moof.end, b"mdat", self._size)
        own = self._box(mdat.end, b"uuid", FRAGMENT_BOX_BYTES)
        body = self._read(own.body_offset, own.end - own.body_offset)
        record, digest = read_fragment_record(body, None)
        self._trial_bytes += moof.size_bytes
        fragment = read_movie_fragment(self._read(moof.offset, moof.size_bytes), movie.defaults)
        _check_agreement(record, fragment, moof, mdat)
        if verify:
            self._trial_bytes += mdat.size_bytes
            self._check_digest(moof.offset, own.offset, body, digest)
        if not tag_agrees(body, self._header_boxes):
            self._header_denied = True
            raise FormatError(f"fragment {record.number} was written under another header")
        entry = FragmentEntry(moof.offset, own.end - moof.offset, mdat.body_offset, record, digest)
        return _Found(entry, fragment)

    def _check_digest(self, start: int, end: int, body: bytes, digest: bytes) -> None:
        """As `read_fragment_record`, a block at a time."""
        computed = hashlib.sha256()
        for offset in range(start, end, _BLOCK_BYTES):
            computed.update(self._read(offset, min(_BLOCK_BYTES, end - offset)))
        computed.update(body[: -len(digest)])
        if computed.digest() != digest:
            raise FormatError("fragment bytes do not match their SHA-256")

    def _box(self, offset: int, kind: bytes, max_bytes: int) -> Box:
        head = self._read(offset, min(_HEAD_BYTES, max(0, self._size - offset)))
        box = read_head(head, 0, self._size - offset)
        if box.kind != kind or box.size_bytes > max_bytes:
            raise FormatError(f"found box {box.kind!r} of {box.size_bytes} bytes, expected {kind!r}")
        self._trial_bytes += _HEAD_BYTES
        return replace(box, offset=offset)

    def _read(self, offset: int, length: int) -> bytes:
        try:
            data = os.pread(self._descriptor, length, offset)
        except OSError as error:
            self._uncertain = True
            raise _UnreadableError(f"{length} bytes cannot be read: {error.strerror}") from error
        if len(data) < length:
            raise FormatError(f"{length} bytes expected, {len(data)} are there")
        return data


def _check_agreement(record: FragmentRecord, fragment: MovieFragment, moof: Box, mdat: Box) -> None:
    payload_offset = mdat.body_offset - moof.offset
    agreed = (
        fragment.number == record.number
        and len(fragment.sizes_bytes) == record.samples
        and fragment.pts_90k[0] == record.first_pts_90k
        and (fragment.keys[:1] == (0,)) == record.is_key
        and fragment.data_offset == payload_offset
        and sum(fragment.sizes_bytes) == mdat.end - mdat.body_offset
    )
    if not agreed:
        raise FormatError(f"fragment {record.number}: its record, moof and mdat do not agree")


def _check_order(found: _Found, contents: SegmentContents, header: SegmentHeader) -> None:
    record = found.entry.record
    if (record.sequence, record.run_id) != (header.sequence, header.run_id):
        raise FormatError(f"fragment {record.number} belongs to segment {record.sequence}, run {record.run_id}")
    if record.number <= contents.last_number or found.fragment.dts_90k[0] <= contents.last_dts_90k:
        raise FormatError(f"fragment {record.number} is out of order")
