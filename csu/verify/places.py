"""Where the unit stood: what the manifest says against the segment headers that lie in the clip."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from csu.verify.contents import FoundFragment
from csu.verify.tables import Tables
from edge_agent.contract.clip import ManifestPart, PositionAt
from edge_agent.contract.places import headers_with_new_place
from edge_agent.contract.segment_format import PositionStamp, SegmentHeader

_CLOCK_SLOPE = 0.001
"""By so much may a unit's UTC run faster or slower than its monotonic clock (edge_agent/buffer/clock_model.py)."""
_ROUNDING_US = 2_000


def place_problems(part: ManifestPart, headers: Sequence[SegmentHeader]) -> Iterator[tuple[int, str]]:
    """What is wrong with the positions of a part.

    Args:
        part: as the manifest has it. One without `positions` was made by a unit that did not list them.
        headers: of the segments in the part, in order, at least one.

    Yields:
        Sequence number of a segment, and what is wrong with its place.
    """
    if part.position != headers[0].position:
        yield headers[0].sequence, "its position is not the one that the manifest gives for the part's beginning"
    if not part.positions:
        return
    expected = {header.sequence: (header, stamp) for header, stamp in headers_with_new_place(headers)}
    listed = {one.sequence: one for one in part.positions}
    if len(listed) != len(part.positions) or list(listed) != sorted(listed):
        yield part.positions[0].sequence, "the manifest lists positions twice or out of order"
        return
    for sequence in sorted(expected.keys() - listed.keys()):
        yield sequence, "its position is not the one before, and the manifest does not list it"
    for sequence in sorted(listed.keys() - expected.keys()):
        yield sequence, "the manifest lists a position that begins here, and no header says it"
    both = [(expected[sequence], listed[sequence]) for sequence in sorted(listed.keys() & expected.keys())]
    yield from _differences(both)


@dataclass(frozen=True, slots=True)
class DatedFragment:
    """A fragment's first sample, by the unit's monotonic clock and in UTC as the manifest dates the part, µs."""

    monotonic_us: int
    utc_us: int


def fragment_of_first_picture(
    tables: Tables, fragments: Sequence[FoundFragment], start_us: int
) -> DatedFragment | None:
    """The fragment that the part's beginning is dated by: that of the first picture which is shown.

    Other fragments may have reached the unit sooner or later than their media times say: cameras send in bursts.

    Args:
        tables: of the part; its edit list begins with a picture.
        fragments: of the part, good ones, in order.
        start_us: when the first picture was taken, by the manifest.

    Returns:
        None when the tables list no fragment's first sample, as no unit writes them.
    """
    heads = {chunk.offset: tables.pts_90k[chunk.first] for chunk in tables.chunks}
    known = next((fragment for fragment in fragments if fragment.payload_offset in heads), None)
    if known is None:
        return None
    run_90k = known.record.first_pts_90k - heads[known.payload_offset]
    shown_in = _fragment_of(tables, fragments, tables.pts_90k.index(tables.media_time_90k))
    before_90k = run_90k + tables.media_time_90k - shown_in.record.first_pts_90k
    return DatedFragment(shown_in.record.monotonic_us, start_us - before_90k * 100 // 9)


def _fragment_of(tables: Tables, fragments: Sequence[FoundFragment], sample: int) -> FoundFragment:
    offset = next(chunk.offset for chunk in reversed(tables.chunks) if chunk.first <= sample)
    return next(fragment for fragment in reversed(fragments) if fragment.payload_offset <= offset)


def is_dated_by_part(part: ManifestPart, headers: Sequence[SegmentHeader], dated: DatedFragment) -> bool:
    """Whether the first listed position is dated as the part's first picture is; others lie from it as they should.

    Both are what one clock said of two instants of the monotonic clock, so that nothing but the clock's rate is owed.
    """
    found = {header.sequence: header for header in headers}
    if not part.positions or part.positions[0].sequence not in found:
        return True
    said = part.positions[0]
    run_us = found[said.sequence].monotonic_us - dated.monotonic_us
    return abs(said.at_us - dated.utc_us - run_us) <= abs(run_us) * _CLOCK_SLOPE + _ROUNDING_US


_Recorded = tuple[SegmentHeader, PositionStamp]


def _differences(pairs: Sequence[tuple[_Recorded, PositionAt]]) -> Iterator[tuple[int, str]]:
    for (header, stamp), said in pairs:
        if any(getattr(stamp, name) != getattr(said, name) for name in PositionStamp.model_fields):
            yield header.sequence, "its position is not the one that the manifest lists for it"
        elif not _is_dated(header, said, pairs[0][0][0], pairs[0][1]):
            yield header.sequence, "its position's time in the manifest is not that of the segment"


def _is_dated(header: SegmentHeader, said: PositionAt, first: SegmentHeader, first_said: PositionAt) -> bool:
    """Whether positions lie as far apart as their segments begin: UTC may be corrected, the time between may not."""
    run_us = header.monotonic_us - first.monotonic_us
    return abs(said.at_us - first_said.at_us - run_us) <= abs(run_us) * _CLOCK_SLOPE + _ROUNDING_US
