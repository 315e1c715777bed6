"""What the ring holds and what it lacks, over UTC. Pure: from stretches and the clock model.

A gap is missing footage of over 2 s; its cause is why the footage after it begins where it does. Before the ring's
first footage nothing was expected, so nothing is missing there.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from edge_agent.buffer.catalogue import MAX_SHORT_GAP_US, Stretch
from edge_agent.buffer.clock_model import ClockModel
from edge_agent.contract.access_unit import GapCause
from edge_agent.contract.clip import Gap, Interval
from edge_agent.contract.messages import CoverageInterval, DayCoverage
from edge_agent.contract.ring_protocol import CoveragePage, CoveragePageRequest
from edge_agent.contract.times import format_utc
from edge_agent.errors import RingRequestError

DAY_US = 24 * 3600 * 1_000_000
MAX_DAYS = 32


class Span(NamedTuple):
    """A stretch of footage (`cause` None) or a gap with its cause, over UTC."""

    start_us: int
    end_us: int
    cause: GapCause | None

    @property
    def held(self) -> bool:
        """Whether it is footage."""
        return self.cause is None


def timeline(
    stretches: Iterable[Stretch], clock: ClockModel, now_us: int, missing_now: GapCause | None = None
) -> list[Span]:
    """Footage and gaps by rising time, neither overlapping nor leaving anything out.

    Args:
        stretches: in the order of recording.
        clock: dates them.
        now_us: UTC now.
        missing_now: why nothing is recorded now; None while recording.
    """
    spans: list[Span] = []
    for row in stretches:
        start_us, end_us = clock.utc_us(row.boot_id, row.start_us), clock.utc_us(row.boot_id, row.end_us)
        _append(spans, start_us, end_us, _gap_cause(row.cause))
    if spans and missing_now is not None and now_us - spans[-1].end_us > MAX_SHORT_GAP_US:
        spans.append(Span(spans[-1].end_us, now_us, missing_now))
    return spans


def _append(spans: list[Span], start_us: int, end_us: int, cause: GapCause) -> None:
    if not spans:
        spans.append(Span(start_us, max(start_us, end_us), None))
        return
    last = spans[-1]
    if start_us - last.end_us > MAX_SHORT_GAP_US:
        spans.append(Span(last.end_us, start_us, cause))
        spans.append(Span(start_us, max(start_us, end_us), None))
    else:
        spans[-1] = last._replace(end_us=max(last.end_us, end_us))


def _gap_cause(opened: GapCause) -> GapCause:
    """Within a run, footage that stops and goes on without a word means that the camera fell silent."""
    return "camera-lost" if opened == "rotation" else opened


def clipped(spans: Iterable[Span], start_us: int, end_us: int) -> list[Span]:
    """What of the spans lies in `[start_us, end_us)`."""
    return [
        Span(max(span.start_us, start_us), min(span.end_us, end_us), span.cause)
        for span in spans
        if span.end_us > start_us and span.start_us < end_us
    ]


def gaps(spans: Iterable[Span], interval: Interval) -> list[Gap]:
    """The gaps that touch an interval."""
    return [
        Gap(start_us=span.start_us, end_us=span.end_us, cause=span.cause)
        for span in clipped(spans, interval.start_us, interval.end_us)
        if span.cause is not None
    ]


def days(spans: Sequence[Span]) -> tuple[DayCoverage, ...]:
    """Seconds held and lost of each UTC day, the last `MAX_DAYS`."""
    sums_us: dict[int, list[int]] = {}
    for span in spans:
        for day, length_us in _by_day(span):
            sums_us.setdefault(day, [0, 0])[0 if span.held else 1] += length_us
    return tuple(
        DayCoverage(day=format_utc(day * DAY_US)[:10], held_s=round(held_us / 1e6), lost_s=round(lost_us / 1e6))
        for day, (held_us, lost_us) in sorted(sums_us.items())[-MAX_DAYS:]
    )


def _by_day(span: Span) -> Iterator[tuple[int, int]]:
    first, last = span.start_us // DAY_US, max(span.end_us - 1, span.start_us) // DAY_US
    for day in range(max(first, last - MAX_DAYS), last + 1):
        yield day, min(span.end_us, (day + 1) * DAY_US) - max(span.start_us, day * DAY_US)


def newest(spans: Sequence[Span], at_most: int) -> tuple[tuple[CoverageInterval, ...], bool]:
    """The newest intervals, and whether older ones were left out."""
    return tuple(map(_interval, spans[-at_most:])), len(spans) > at_most


def page(spans: Sequence[Span], request: CoveragePageRequest) -> CoveragePage:
    """Intervals of a request, from its cursor on; the cursor is the instant where the next page begins.

    Raises:
        RingRequestError: the cursor is none that an earlier page gave.
    """
    start_us = request.interval.start_us
    if request.cursor is not None:
        if not request.cursor.lstrip("-").isdecimal():
            raise RingRequestError("parameters-invalid", f"cursor {request.cursor!r:.40} is none that a page gave")
        start_us = max(start_us, int(request.cursor))
    found = clipped(spans, start_us, request.interval.end_us)
    shown = found[: request.max_intervals]
    cursor = str(shown[-1].end_us) if len(found) > len(shown) else None
    return CoveragePage(intervals=tuple(map(_interval, shown)), cursor=cursor)


def _interval(span: Span) -> CoverageInterval:
    return CoverageInterval(start_us=span.start_us, end_us=span.end_us, held=span.held, cause=span.cause)
