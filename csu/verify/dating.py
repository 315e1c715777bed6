"""A part's instants by the unit's monotonic clock, as the fragments' records have it, beside what the manifest says.

What the manifest dates, it dates as one clock said of instants of the monotonic clock; between two of them nothing
but that clock's rate is owed, however cameras deliver: in bursts, late, or faster than time while a queue of theirs
drains.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from csu.verify.contents import FoundFragment
from csu.verify.tables import Tables

_CLOCK_SLOPE = 0.001
"""By so much may a unit's UTC run faster or slower than its monotonic clock (edge_agent/buffer/clock_model.py)."""
_ROUNDING_US = 2_000


def is_same_run(said_us: int, run_us: int) -> bool:
    """Whether a time between two dates of a manifest is that between their instants."""
    return abs(said_us - run_us) <= abs(run_us) * _CLOCK_SLOPE + _ROUNDING_US


@dataclass(frozen=True, slots=True)
class Beginning:
    """What a part's beginning is dated by: the fragment of the first picture that is shown.

    Others may have reached the unit sooner or later than their media times say.

    Attributes:
        fragment_us: monotonic time of the fragment's first sample.
        before_us: from there to that picture, by media time.
    """

    fragment_us: int
    before_us: int


@dataclass(frozen=True, slots=True)
class ShownSpan:
    """Where the pictures that are shown begin and end.

    Attributes:
        beginning: see there.
        lasts_us: from the first picture to the end of the last one, by the monotonic clock.
    """

    beginning: Beginning
    lasts_us: int


def shown_span(tables: Tables, fragments: Sequence[FoundFragment]) -> ShownSpan | None:
    """Where a part's pictures lie on the unit's monotonic clock.

    Args:
        tables: of the part; its edit list begins with a picture.
        fragments: of the part, good ones, in order.

    Returns:
        None when the tables list no fragment's first sample, as no unit writes them.
    """
    heads = {chunk.offset: tables.pts_90k[chunk.first] for chunk in tables.chunks}
    known = next((fragment for fragment in fragments if fragment.payload_offset in heads), None)
    if known is None:
        return None
    run_90k = known.record.first_pts_90k - heads[known.payload_offset]
    end_90k = tables.media_time_90k + tables.shown_90k
    last_90k = max((pts_90k for pts_90k in tables.pts_90k if pts_90k < end_90k), default=tables.media_time_90k)
    begins_in, ends_in = (
        _fragment_of(tables, fragments, tables.pts_90k.index(shown_90k))
        for shown_90k in (tables.media_time_90k, last_90k)
    )
    before_us = _media_us(run_90k + tables.media_time_90k - begins_in.record.first_pts_90k)
    until_us = _media_us(run_90k + end_90k - ends_in.record.first_pts_90k)
    run_us = ends_in.record.monotonic_us - begins_in.record.monotonic_us
    return ShownSpan(Beginning(begins_in.record.monotonic_us, before_us), run_us + until_us - before_us)


def _media_us(media_90k: int) -> int:
    return media_90k * 100 // 9


def _fragment_of(tables: Tables, fragments: Sequence[FoundFragment], sample: int) -> FoundFragment:
    offset = next(chunk.offset for chunk in reversed(tables.chunks) if chunk.first <= sample)
    return next(fragment for fragment in reversed(fragments) if fragment.payload_offset <= offset)
