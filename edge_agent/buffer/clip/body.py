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
    ranges: list[ByteRange] = []
    offsets, payloads = array("Q"), array("Q")
    body_bytes = 0
    former: SegmentInfo | None = None
    for piece in pieces:
        if piece.segment is not former:
            former = piece.segment
            ranges.append(_byte_range(former, 0, former.header_bytes))
            body_bytes += former.header_bytes
        for start, stop in _runs(piece):
            fragments = piece.segment.fragments[start:stop]
            file_offset = fragments.offsets[0]
            length_bytes = fragments.offsets[-1] + fragments.lengths_bytes[-1] - file_offset
            shift = body_bytes - file_offset
            offsets.extend([offset + shift for offset in fragments.offsets])
            payloads.extend([offset + shift for offset in fragments.payload_offsets])
            _add_range(ranges, piece.segment, file_offset, length_bytes)
            body_bytes += length_bytes
    return Body(first, pieces, tuple(ranges), offsets, payloads)


def _runs(piece: Piece) -> Iterator[tuple[int, int]]:
    """Fragments of a piece that follow one another in the file, as a rule all."""
    offsets, lengths = piece.segment.fragments.offsets, piece.segment.fragments.lengths_bytes
    inner = range(piece.first + 1, piece.end)
    breaks = [index for index in inner if offsets[index - 1] + lengths[index - 1] != offsets[index]]
    return pairwise([piece.first, *breaks, piece.end])


def _add_range(ranges: list[ByteRange], segment: SegmentInfo, offset: int, length_bytes: int) -> None:
    """Add bytes of a segment's file; to the last range where they follow it."""
    last = ranges[-1]
    if last.sequence == segment.sequence and last.offset + last.length_bytes == offset:
        ranges[-1] = _byte_range(segment, last.offset, last.length_bytes + length_bytes)
    else:
        ranges.append(_byte_range(segment, offset, length_bytes))


def _byte_range(segment: SegmentInfo, offset: int, length_bytes: int) -> ByteRange:
    return ByteRange(sequence=segment.sequence, file=segment.file, offset=offset, length_bytes=length_bytes)
