"""Which of a clip's segments its manifest gives a position for: one rule for who plans and for who verifies."""

from collections.abc import Iterable, Iterator

from edge_agent.contract.segment_format import PositionStamp, SegmentHeader


def is_same_place(one: PositionStamp | None, other: PositionStamp | None) -> bool:
    """Whether two stamps tell of the same place and know it in the same way; their ages may differ."""
    if one is None or other is None:
        return one is other
    return (one.longitude_deg, one.latitude_deg, one.source, one.fix) == (
        other.longitude_deg,
        other.latitude_deg,
        other.source,
        other.fix,
    )


def headers_with_new_place(headers: Iterable[SegmentHeader]) -> Iterator[tuple[SegmentHeader, PositionStamp]]:
    """Of segments in the order in which they play, those whose place is known and is not that of the one before."""
    before: PositionStamp | None = None
    for header in headers:
        stamp = header.position
        if stamp is not None and not is_same_place(before, stamp):
            yield header, stamp
        before = stamp
