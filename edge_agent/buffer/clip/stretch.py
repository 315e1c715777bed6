"""Stretches: footage of one run that decodes and plays on, whichever segments it lies in.

Segments join when they are of the same boot, run, deployment and codec parameters and at most 2 s of media time are
missing between them. Everything that finds a picture by its time of day is here too.
"""

from __future__ import annotations  # array[int] is an annotation only before Python 3.12

from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from operator import sub

from edge_agent.buffer.segment import SegmentInfo, UtcMap
from edge_agent.contract.access_unit import NEVER_EXACT, TIMESCALE_HZ, GapCause
from edge_agent.contract.segment_format import SegmentHeader
from edge_agent.errors import FormatError

LARGEST_JOINED_HOLE_90K = 2 * TIMESCALE_HZ
"""A longer hole ends a part; a shorter one lengthens the picture before it."""

_SEARCH_MARGIN_US = 5_000_000
"""Samples of a fragment, and jitter between fragments, lie well within this of the fragment's own time."""

_REORDER_WINDOW = 64
"""Pictures that follow one another in presentation lie closer in decode order: ITU-T H.264 and H.265 A.4 allow
reordering over at most 16 pictures."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Consecutive fragments of one segment: `fragments[first:end]`, samples from `first_sample` on."""

    segment: SegmentInfo
    first: int
    end: int
    first_sample: int
    end_sample: int

    def __len__(self) -> int:
        """Number of fragments."""
        return self.end - self.first

    def cut(self, first: int, end: int) -> Piece:
        """The fragments `[first, end)` of the piece."""
        samples = self.segment.fragments.samples
        first_sample = self.first_sample + sum(samples[self.first : self.first + first])
        end_sample = first_sample + sum(samples[self.first + first : self.first + end])
        return Piece(self.segment, self.first + first, self.first + end, first_sample, end_sample)


@dataclass(frozen=True, slots=True, eq=False)
class Stretch:
    """Consecutive pieces, their samples and fragments flattened.

    Attributes:
        pieces: in decode order; their fragments, counted through, are the stretch's.
        opened_cause: why there is nothing directly before; `unknown` where the files do not tell.
        monotonic_us: of each fragment, as in its record.
        first_pts_90k: of each fragment, as in its record.
        starts: index of each fragment's first sample, and at the end the number of samples.
        sizes_bytes: of each sample in decode order.
        dts_90k: of each sample in decode order, on the run's media time line.
        pts_90k: of each sample in decode order, on the same line; `dts_90k` itself where they are the same.
        keys: rising indices of the samples where decoding can begin.
        keys_back: `FragmentRecord.keys_back` of those of them that refresh the picture gradually.
        end_90k: decode time at which the last sample ends.
    """

    pieces: tuple[Piece, ...]
    opened_cause: GapCause
    monotonic_us: array[int]
    first_pts_90k: array[int]
    starts: list[int]
    sizes_bytes: array[int]
    dts_90k: array[int]
    pts_90k: array[int]
    keys: list[int]
    keys_back: dict[int, int]
    end_90k: int

    @property
    def boot_id(self) -> str:
        """The boot that its monotonic times belong to."""
        return self.pieces[0].segment.header.boot_id

    @property
    def exact_keys(self) -> list[int]:
        """Those of `keys` from which on pictures are exact at once."""
        return [key for key in self.keys if key not in self.keys_back] if self.keys_back else self.keys

    def pieces_between(self, first: int, end: int) -> Iterator[Piece]:
        """The pieces cut to the fragments `[first, end)` of the stretch."""
        before = 0
        for piece in self.pieces:
            low, high = max(first - before, 0), min(end - before, len(piece))
            if low < high:
                yield piece.cut(low, high)
            before += len(piece)

    def fragment_utc_us(self, utc: UtcMap, index: int) -> int:
        """UTC of a fragment's first sample."""
        return utc.to_utc(self.boot_id, self.monotonic_us[index]).utc_us

    def fragment_of(self, sample: int) -> int:
        """Index of the fragment that holds a sample."""
        return bisect_left(self.starts, sample + 1) - 1

    def sample_utc_us(self, utc: UtcMap, sample: int) -> int:
        """UTC at which a sample's picture is presented, rounded down."""
        index = self.fragment_of(sample)
        offset_90k = self.pts_90k[sample] - self.first_pts_90k[index]
        return self.fragment_utc_us(utc, index) + offset_90k * 100 // 9

    def first_from(self, utc: UtcMap, from_us: int) -> int | None:
        """The first picture, in presentation order, at or after an instant."""
        pts, best = self.pts_90k, None
        for index in range(self._search_start(utc, from_us - _SEARCH_MARGIN_US), len(self.monotonic_us)):
            start_us = self.fragment_utc_us(utc, index)
            if best is not None and start_us > from_us + _SEARCH_MARGIN_US:
                break
            least_90k = self._presentation_at(index, start_us, from_us)
            for sample in range(self.starts[index], self.starts[index + 1]):
                if pts[sample] >= least_90k and (best is None or pts[sample] < pts[best]):
                    best = sample
        return best

    def last_before(self, utc: UtcMap, to_us: int) -> int | None:
        """The last picture, in presentation order, before an instant."""
        pts, best = self.pts_90k, None
        for index in reversed(range(self._search_start(utc, to_us + _SEARCH_MARGIN_US))):
            start_us = self.fragment_utc_us(utc, index)
            if best is not None and start_us < to_us - _SEARCH_MARGIN_US:
                break
            limit_90k = self._presentation_at(index, start_us, to_us)
            for sample in range(self.starts[index], self.starts[index + 1]):
                if pts[sample] < limit_90k and (best is None or pts[sample] > pts[best]):
                    best = sample
        return best

    def entry_for(self, sample: int) -> int | None:
        """The last key frame from which a picture can be decoded exactly; None when the stretch has none.

        It lies before the picture in decode order, and not after it in presentation: pictures that lead a key frame
        (ITU-T H.265 3.74) need what lies before it. Where key frames refresh the picture gradually (ITU-T H.264
        D.2.8), it lies so many further back that the picture was whole again at the last one.
        """
        for index in reversed(range(bisect_left(self.keys, sample + 1))):
            if self.pts_90k[self.keys[index]] <= self.pts_90k[sample]:
                return self._exact_entry(index)
        return None

    def _exact_entry(self, index: int) -> int | None:
        """Where decoding has to begin for exact pictures from a key frame on; None when that is not held."""
        back = self.keys_back.get(self.keys[index], 0)
        return None if back > index or back == NEVER_EXACT else self.keys[index - back]

    def exact_start_after(self, sample: int) -> tuple[int, int] | None:
        """The first key frame, shown no earlier than a picture, that can be decoded exactly; and its entry point."""
        for index, key in enumerate(self.keys):
            entry = self._exact_entry(index)
            if self.pts_90k[key] >= self.pts_90k[sample] and entry is not None:
                return key, entry
        return None

    def end_of_leading(self, key: int) -> int:
        """The first sample after a key frame's leading pictures, which cannot be decoded from it."""
        after = key + 1
        while after < len(self.pts_90k) and self.pts_90k[after] < self.pts_90k[key]:
            after += 1
        return after

    def end_in_decode_order(self, last: int) -> int:
        """One past the last sample, in decode order, that is presented no later than `last`."""
        latest = max(sample for sample in self._around(last) if self.pts_90k[sample] <= self.pts_90k[last])
        return latest + 1

    def presentation_end_90k(self, last: int) -> int:
        """When a picture gives way to the next one, or its own end where it is the stretch's last."""
        shown_90k = self.pts_90k[last]
        later = [self.pts_90k[sample] for sample in self._around(last) if self.pts_90k[sample] > shown_90k]
        return min(later) if later else shown_90k + self.end_90k - self.dts_90k[-1]

    def _around(self, sample: int) -> range:
        return range(max(0, sample - _REORDER_WINDOW), min(len(self.pts_90k), sample + _REORDER_WINDOW + 1))

    def _search_start(self, utc: UtcMap, instant_us: int) -> int:
        return bisect_left(
            range(len(self.monotonic_us)), instant_us, key=lambda index: self.fragment_utc_us(utc, index)
        )

    def _presentation_at(self, index: int, start_us: int, instant_us: int) -> int:
        """The least presentation time of a fragment's samples that is not before an instant."""
        return self.first_pts_90k[index] - (start_us - instant_us) * 9 // 100


def split_into_stretches(segments: Sequence[SegmentInfo]) -> list[Stretch]:
    """Group segments, in the order of their sequence numbers, into stretches.

    Raises:
        FormatError: a segment's fragments and samples do not fit one another.
    """
    groups: list[list[Piece]] = []
    for segment in segments:
        for piece in _pieces(segment):
            before = groups[-1][-1] if groups else None
            if before is None or not _joins(before, piece):
                groups.append([piece])
            elif (decodable := _decodable_after(before, piece)) is not None:
                if _follows(before, decodable) or not _begins_gradually(decodable):
                    groups[-1].append(decodable)
                else:  # what its key frame refreshes is missing: exact pictures come later
                    groups.append([decodable])
    return [_flatten(group) for group in groups]


def _pieces(segment: SegmentInfo) -> Iterator[Piece]:
    """A segment in one piece, or in several where fragments or over 2 s of media time are missing."""
    starts = list(accumulate(segment.fragments.samples, initial=0))
    if starts[-1] != len(segment.samples):
        raise FormatError(
            f"{segment.file}: {starts[-1]} samples in its fragments, {len(segment.samples)} in its table"
        )
    for first, end in pairwise([0, *_breaks(segment, starts), len(segment.fragments)]):
        if first < end:
            yield Piece(segment, first, end, starts[first], starts[end])


def _breaks(segment: SegmentInfo, starts: Sequence[int]) -> list[int]:
    """The fragments that something is missing before."""
    dts, numbers = segment.samples.dts_90k, segment.fragments.numbers
    firsts_90k = list(map(dts.__getitem__, starts[:-1]))
    longest_90k = max(map(sub, firsts_90k[1:], firsts_90k), default=0)
    if longest_90k <= LARGEST_JOINED_HOLE_90K and numbers[-1] - numbers[0] == len(numbers) - 1:
        return []  # as a rule; numbers rise, and no hole is longer than from one fragment to the next
    return [
        index
        for index, sample in enumerate(starts[1:-1], start=1)
        if dts[sample] - dts[sample - 1] > LARGEST_JOINED_HOLE_90K or numbers[index] != numbers[index - 1] + 1
    ]


def _usual_duration_90k(segment: SegmentInfo, sample: int) -> int:
    if segment.config.frame_rate_fps > 0:
        return round(TIMESCALE_HZ / segment.config.frame_rate_fps)
    dts = segment.samples.dts_90k
    return dts[sample] - dts[sample - 1] if sample else 0


def _joins(before: Piece, after: Piece) -> bool:
    one, two = before.segment, after.segment
    if _identity(one.header) != _identity(two.header):
        return False
    if one.stsd != two.stsd or one.config.extradata != two.config.extradata:
        return False
    last_90k = one.samples.dts_90k[before.end_sample - 1]
    return last_90k < two.samples.dts_90k[after.first_sample] <= _end_90k(before) + LARGEST_JOINED_HOLE_90K


def _identity(header: SegmentHeader) -> tuple[str, str, str]:
    return header.boot_id, header.run_id, header.deployment_id


def _decodable_after(before: Piece, after: Piece) -> Piece | None:
    """What of a joining piece can be decoded: where pictures are missing before it, only from a key frame on."""
    fragments = after.segment.fragments
    if _follows(before, after):
        return after
    for index in range(after.first, after.end):
        if fragments.is_key(index):
            return after.cut(index - after.first, len(after))
    return None


def _follows(before: Piece, after: Piece) -> bool:
    """No picture is missing between two pieces."""
    hole_90k = after.segment.samples.dts_90k[after.first_sample] - _end_90k(before)
    return hole_90k < max(1, _usual_duration_90k(after.segment, after.first_sample)) and _is_next(before, after)


def _begins_gradually(piece: Piece) -> bool:
    return piece.segment.fragments.keys_back(piece.first) > 0


def _is_next(before: Piece, after: Piece) -> bool:
    """No fragment is missing between two pieces of one segment, or they are of two."""
    numbers = after.segment.fragments.numbers
    return before.segment is not after.segment or numbers[before.end - 1] + 1 == numbers[after.first]


def _flatten(pieces: list[Piece]) -> Stretch:
    sizes, dts, pts = array("I"), array("q"), array("q")
    monotonic_us, first_pts, counts = array("q"), array("q"), array("I")
    keys: list[int] = []
    is_ordered = all(piece.segment.samples.pts_90k is piece.segment.samples.dts_90k for piece in pieces)
    for piece in pieces:
        samples, first, end = piece.segment.samples, piece.first_sample, piece.end_sample
        shift = len(dts) - first
        keys.extend([key + shift for key in _between(samples.key_indices, first, end)])
        sizes.extend(samples.sizes_bytes[first:end])
        dts.extend(samples.dts_90k[first:end])
        if not is_ordered:
            pts.extend(samples.pts_90k[first:end])
        fragments = piece.segment.fragments
        monotonic_us.extend(fragments.monotonic_us[piece.first : piece.end])
        first_pts.extend(fragments.first_pts_90k[piece.first : piece.end])
        counts.extend(fragments.samples[piece.first : piece.end])
    starts = list(accumulate(counts, initial=0))
    return Stretch(
        pieces=tuple(pieces),
        opened_cause=_opened_cause(pieces[0]),
        monotonic_us=monotonic_us,
        first_pts_90k=first_pts,
        starts=starts,
        sizes_bytes=sizes,
        dts_90k=dts,
        pts_90k=dts if is_ordered else pts,
        keys=keys,
        keys_back=_keys_back(pieces, starts),
        end_90k=_end_90k(pieces[-1]),
    )


def _between(rising: array[int], first: int, end: int) -> array[int]:
    return rising[bisect_left(rising, first) : bisect_left(rising, end)]


def _keys_back(pieces: Sequence[Piece], starts: Sequence[int]) -> dict[int, int]:
    found: dict[int, int] = {}
    before = 0
    for piece in pieces:
        fragments = piece.segment.fragments
        if fragments.refreshes_gradually():
            backs = map(fragments.keys_back, range(piece.first, piece.end))
            found.update((starts[place], back) for place, back in enumerate(backs, before) if back)
        before += len(piece)
    return found


def _opened_cause(piece: Piece) -> GapCause:
    """Rotation loses nothing: where something is missing all the same, the files do not tell why."""
    cause = piece.segment.header.opened_cause
    return "unknown" if piece.first > 0 or cause == "rotation" else cause


def _end_90k(piece: Piece) -> int:
    samples = piece.segment.samples
    if piece.end_sample == len(samples):
        return samples.end_90k
    last = piece.end_sample - 1
    return samples.dts_90k[last] + max(1, _usual_duration_90k(piece.segment, last))
