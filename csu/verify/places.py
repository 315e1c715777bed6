"""Where the unit stood: what the manifest says against the segment headers that lie in the clip."""

from collections.abc import Iterator, Sequence

from csu.verify.dating import Beginning, is_same_run
from edge_agent.contract.clip import ManifestPart, PositionAt
from edge_agent.contract.places import headers_with_new_place
from edge_agent.contract.segment_format import PositionStamp, SegmentHeader


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


def is_dated_by_part(part: ManifestPart, headers: Sequence[SegmentHeader], beginning: Beginning) -> bool:
    """Whether the first listed position is dated as the part's first picture is; others follow it as they should."""
    found = {header.sequence: header for header in headers}
    if not part.positions or part.positions[0].sequence not in found:
        return True
    said, fragment_us = part.positions[0], part.interval.start_us - beginning.before_us
    return is_same_run(said.at_us - fragment_us, found[said.sequence].monotonic_us - beginning.fragment_us)


_Recorded = tuple[SegmentHeader, PositionStamp]


def _differences(pairs: Sequence[tuple[_Recorded, PositionAt]]) -> Iterator[tuple[int, str]]:
    for (header, stamp), said in pairs:
        if any(getattr(stamp, name) != getattr(said, name) for name in PositionStamp.model_fields):
            yield header.sequence, "its position is not the one that the manifest lists for it"
        elif not _is_dated(header, said, pairs[0][0][0], pairs[0][1]):
            yield header.sequence, "its position's time in the manifest is not that of the segment"


def _is_dated(header: SegmentHeader, said: PositionAt, first: SegmentHeader, first_said: PositionAt) -> bool:
    """Whether positions lie as far apart as their segments begin: UTC may be corrected, the time between may not."""
    return is_same_run(said.at_us - first_said.at_us, header.monotonic_us - first.monotonic_us)
