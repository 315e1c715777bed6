"""The body of a clip's `mdat`: ring bytes in order, and where the samples lie in them.

It holds, for every segment that it touches, the segment's own header bytes (`ftyp moov uuid`) and then the
fragments, whole and unchanged: a clip's own bytes say who, where and when, and its fragments' digests can be checked
without the unit.
"""

from __future__ import annotations  # array[int] is an annotation only before Python 3.12

from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import add, ne

from edge_agent.buffer.clip.header import Chunks
from edge_agent.buffer.clip.stretch import Piece, Stretch
from edge_agent.buffer.segment import SegmentInfo
from edge_agent.contract.clip import ByteRange


@dataclass(frozen=True, slots=True)
class Body:
    """What a part's `mdat` body is made of.

    Attributes:
        first: index, in the stretch, of the first fragment.
        pieces: the fragments, by segment.
        ranges: of the ring's files, in order.
        offsets: array("Q"), where each fragment lies in the body.
        payloads: array("Q"), where its first sample lies in the body.
    """

    first: int
    pieces: tuple[Piece, ...]
    ranges: tuple[ByteRange, ...]
    offsets: array[int]
    payloads: array[int]

    @property
    def size_bytes(self) -> int:
        """Length of the body."""
        return sum(piece.length_bytes for piece in self.ranges)

    def chunks(self, stretch: Stretch, listed: Sequence[tuple[int, int]]) -> Chunks:
        """Where the samples lie that the clip lists.

        One chunk a fragment; two where leading pictures are left out of its middle, a shorter one at the end.

        Args:
            stretch: that of `lay_out`.
            listed: rising half-open ranges of samples; only the last may be longer than a fragment.
        """
        fragments = len(self.payloads)
        whole = bisect_left(stretch.starts, listed[-1][0], self.first, self.first + fragments) - self.first
        last = max(whole, fragments - 1)
        found = Chunks(array("Q"), array("I"))
        self._add_listed(found, stretch, range(whole), listed)
        found.offsets.extend(self.payloads[whole:last])
        starts = stretch.starts[self.first + whole : self.first + last + 1]
        found.samples.extend([after - start for start, after in pairwise(starts)])
        self._add_listed(found, stretch, range(last, fragments), listed)
        return found

    def _add_listed(
        self, found: Chunks, stretch: Stretch, places: Sequence[int], listed: Sequence[tuple[int, int]]
    ) -> None:
        for place in places:
            begin, end = stretch.starts[self.first + place : self.first + place + 2]
            for start, stop in listed:
                first, after = max(begin, start), min(end, stop)
                if first < after:
                    found.offsets.append(self.payloads[place] + sum(stretch.sizes_bytes[begin:first]))
                    found.samples.append(after - first)


def lay_out(stretch: Stretch, entry: int, end: int) -> Body:
    """The body that holds the samples `[entry, end)` of a stretch: the fragments that they lie in, whole."""
    first, after = stretch.fragment_of(entry), stretch.fragment_of(end - 1) + 1
    pieces = tuple(stretch.pieces_between(first, after))
    extents: list[_Extent] = []
    offsets, payloads = array("Q"), array("Q")
    body_bytes = 0
    for piece in pieces:
        segment, fragments = piece.segment, piece.segment.fragments
        if not extents or extents[-1].segment is not segment:
            extents.append(_Extent(segment, 0, segment.header_bytes))
            body_bytes += segment.header_bytes
        for start, stop in _runs(piece):
            begin = fragments.offsets[start]
            after_run = fragments.offsets[stop - 1] + fragments.lengths_bytes[stop - 1]
            shift = body_bytes - begin
            offsets.extend([offset + shift for offset in fragments.offsets[start:stop]])
            payloads.extend([offset + shift for offset in fragments.payload_offsets[start:stop]])
            body_bytes += after_run - begin
            if extents[-1].stop != begin:
                extents.append(_Extent(segment, begin, begin))
            extents[-1].stop = after_run
    return Body(first, pieces, tuple(map(_byte_range, extents)), offsets, payloads)


@dataclass(slots=True)
class _Extent:
    """Bytes of a segment's file that follow one another, from `start` up to `stop`."""

    segment: SegmentInfo
    start: int
    stop: int


def _runs(piece: Piece) -> Iterator[tuple[int, int]]:
    """Fragments of a piece that follow one another in the file, as a rule all."""
    offsets = piece.segment.fragments.offsets[piece.first : piece.end]
    ends = map(add, offsets, piece.segment.fragments.lengths_bytes[piece.first : piece.end])
    breaks = [place for place, is_apart in enumerate(map(ne, ends, offsets[1:]), piece.first + 1) if is_apart]
    return pairwise([piece.first, *breaks, piece.end])


def _byte_range(extent: _Extent) -> ByteRange:
    return ByteRange(
        sequence=extent.segment.sequence,
        file=extent.segment.file,
        offset=extent.start,
        length_bytes=extent.stop - extent.start,
    )
