"""UTC of footage from anchors: pairs of monotonic and wall clock that somebody vouched for, or nobody.

Footage is dated by the monotonic clock of its boot; UTC is computed when it is asked for. So a clock that becomes
known late dates what was recorded before, and a stepped wall clock neither loses nor doubles footage: within a boot
the map is continuous and rising, whatever the anchors say.

Within a boot with at least one anchor of a known source the others count for nothing. Between two anchors the map
is linear, outside it has slope 1. Anchors that contradict one another (the later one earlier in UTC, or a slope
further than `MAX_SLOPE_PPM` from 1) cannot both stay: one of chrony or the kernel does before one of GNSS, whose
signal anybody can forge and whose bound says nothing then; else the one with the better bound, the later one of
equals.

A boot without any known anchor is dated by its last wall clock reading, moved so that its footage neither begins
before the footage of earlier boots ended nor ends after the next vouched boot began; its bound is None.

Everything here is pure; all times are integer microseconds. At slopes below 1 two neighbouring monotonic
microseconds may share one of UTC; `to_monotonic` gives the first instant at which it was so late.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from edge_agent.buffer.segment import UtcEstimate
from edge_agent.contract.segment_format import ClockSource
from edge_agent.errors import RingError

DRIFT_PPM = 50
"""Assumed drift of a clock that nobody disciplines. RFC 5905 clause 7.2 (PHI) takes 15 ppm for a computer indoors;
board crystals are sold with up to 50 ppm over their temperature range, and the unit hangs on a mast."""

MAX_SLOPE_PPM = 1000
"""Anchors further apart than this a second contradict: twice the 500 ppm that Linux lets a discipline turn the
clock's frequency (adjtimex(2), `freq`)."""

PLAUSIBLE_FROM_US = 1_704_067_200_000_000
"""2024-01-01: a wall clock before it was never set."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """One pair of readings taken together; `bound_us` is the wall clock's largest error, None when unknown."""

    boot_id: str
    monotonic_us: int
    utc_us: int
    source: ClockSource
    bound_us: int | None


@dataclass(frozen=True, slots=True)
class BootSpan:
    """From the first to the last footage that a boot ever recorded, whether it is still held or not."""

    boot_id: str
    first_us: int
    last_us: int


@dataclass(frozen=True, slots=True)
class _Line:
    """A boot's map: anchors whose monotonic and UTC readings both rise, at least one, and a shift of the whole."""

    anchors: tuple[Anchor, ...]
    monotonic_us: tuple[int, ...]
    utc_us: tuple[int, ...]
    shift_us: int = 0

    @property
    def is_known(self) -> bool:
        return self.anchors[0].source != "unknown"

    def shifted(self, shift_us: int) -> "_Line":
        return _Line(self.anchors, self.monotonic_us, self.utc_us, shift_us)

    def to_utc(self, monotonic_us: int) -> int:
        index = self._left(self.monotonic_us, monotonic_us)
        since_us = monotonic_us - self.monotonic_us[index]
        if since_us > 0 and index + 1 < len(self.anchors):
            rise_us = self.utc_us[index + 1] - self.utc_us[index]
            since_us = since_us * rise_us // (self.monotonic_us[index + 1] - self.monotonic_us[index])
        return self.utc_us[index] + since_us + self.shift_us

    def to_monotonic(self, utc_us: int) -> int:
        bare_us = utc_us - self.shift_us
        index = self._left(self.utc_us, bare_us)
        since_us = bare_us - self.utc_us[index]
        if since_us > 0 and index + 1 < len(self.anchors):
            run_us = self.monotonic_us[index + 1] - self.monotonic_us[index]
            since_us = -(-since_us * run_us // (self.utc_us[index + 1] - self.utc_us[index]))
        return self.monotonic_us[index] + since_us

    def estimate(self, monotonic_us: int) -> UtcEstimate:
        index = self._left(self.monotonic_us, monotonic_us)
        left = self.anchors[index]
        right = self.anchors[index + 1] if index + 1 < len(self.anchors) else left
        nearer = left if monotonic_us - left.monotonic_us <= right.monotonic_us - monotonic_us else right
        return UtcEstimate(self.to_utc(monotonic_us), _bound_us(left, right, monotonic_us), nearer.source)

    @staticmethod
    def _left(instants: tuple[int, ...], instant: int) -> int:
        return max(bisect_right(instants, instant) - 1, 0)


def _bound_us(left: Anchor, right: Anchor, monotonic_us: int) -> int | None:
    """Largest error at an instant, given those of the anchors and `DRIFT_PPM` of drift.

    Between two anchors: the errors' own interpolation, and the furthest that a curve of slope ±drift can leave the
    chord between two of its points, 2 · drift · (t - a) · (b - t) / (b - a).
    """
    if left.bound_us is None or right.bound_us is None:
        return None
    span_us = right.monotonic_us - left.monotonic_us
    since_us, until_us = monotonic_us - left.monotonic_us, right.monotonic_us - monotonic_us
    if span_us <= 0 or since_us < 0:
        return left.bound_us + _ceil(abs(since_us) * DRIFT_PPM, 1_000_000)
    of_anchors_us = _ceil(left.bound_us * until_us + right.bound_us * since_us, span_us)
    return of_anchors_us + _ceil(2 * DRIFT_PPM * since_us * until_us, span_us * 1_000_000)


def _ceil(dividend: int, divisor: int) -> int:
    return -(-dividend // divisor)


def consistent(anchors: Iterable[Anchor]) -> tuple[Anchor, ...]:
    """Anchors of one boot that can all hold, by the rules of this module; never empty when there was one."""
    ordered = sorted(anchors, key=lambda anchor: anchor.monotonic_us)
    known = [anchor for anchor in ordered if anchor.source != "unknown"]
    if not known:
        return tuple(ordered[-1:])
    kept: list[Anchor] = []
    for anchor in known:
        keep = len(kept)
        while keep and _contradict(kept[keep - 1], anchor) and not _is_better(kept[keep - 1], anchor):
            keep -= 1
        if not keep or not _contradict(kept[keep - 1], anchor):
            kept[keep:] = [anchor]
    return tuple(kept)


def _contradict(earlier: Anchor, later: Anchor) -> bool:
    run_us = later.monotonic_us - earlier.monotonic_us
    rise_us = later.utc_us - earlier.utc_us
    return run_us <= 0 or abs(rise_us - run_us) * 1_000_000 > MAX_SLOPE_PPM * run_us


def _is_better(anchor: Anchor, other: Anchor) -> bool:
    if (anchor.source == "gnss") != (other.source == "gnss"):
        return other.source == "gnss"
    if anchor.bound_us is None:
        return False
    return other.bound_us is None or anchor.bound_us < other.bound_us


class ClockModel:
    """A `UtcMap` of every boot that the ring knows; immutable.

    Args:
        spans: the boots in the order in which they happened.
        anchors: by boot; a boot without any is not known to the map.
    """

    def __init__(self, spans: Sequence[BootSpan], anchors: Mapping[str, Sequence[Anchor]]) -> None:
        placed = [span for span in spans if anchors.get(span.boot_id)]
        lines = {boot_id: _line(found) for boot_id, found in anchors.items() if found}
        starts = _starts(placed, lines)
        for span, start_us in zip(placed, starts, strict=True):
            line = lines[span.boot_id]
            lines[span.boot_id] = line.shifted(start_us - line.to_utc(span.first_us))
        self._lines = lines

    def knows(self, boot_id: str) -> bool:
        """Whether the map covers this boot."""
        return boot_id in self._lines

    def to_utc(self, boot_id: str, monotonic_us: int) -> UtcEstimate:
        """UTC of a monotonic instant of a boot.

        Raises:
            RingError: the boot is not known.
        """
        return self._line_of(boot_id).estimate(monotonic_us)

    def utc_us(self, boot_id: str, monotonic_us: int) -> int:
        """As `to_utc`, the instant alone.

        Raises:
            RingError: the boot is not known.
        """
        return self._line_of(boot_id).to_utc(monotonic_us)

    def to_monotonic(self, boot_id: str, utc_us: int) -> int:
        """The first monotonic instant of a boot at which it was so late; may lie outside the boot.

        Raises:
            RingError: the boot is not known.
        """
        return self._line_of(boot_id).to_monotonic(utc_us)

    def _line_of(self, boot_id: str) -> _Line:
        line = self._lines.get(boot_id)
        if line is None:
            raise RingError(f"the ring has no clock anchor of boot {boot_id}")
        return line


def _line(anchors: Sequence[Anchor]) -> _Line:
    kept = consistent(anchors)
    return _Line(kept, tuple(anchor.monotonic_us for anchor in kept), tuple(anchor.utc_us for anchor in kept))


def _starts(spans: Sequence[BootSpan], lines: Mapping[str, _Line]) -> list[int]:
    """UTC of each boot's first footage: vouched boots as they are, the others moved between their neighbours."""
    starts = [lines[span.boot_id].to_utc(span.first_us) for span in spans]
    lowest: list[int | None] = []
    end_us: int | None = None
    low_us: int | None = None
    for index, span in enumerate(spans):
        duration_us = span.last_us - span.first_us
        lowest.append(low_us)
        if lines[span.boot_id].is_known:
            low_us = max(starts[index] + duration_us, low_us or 0)
        else:
            starts[index] = max(starts[index], end_us if end_us is not None else starts[index])
            low_us = None if low_us is None else low_us + duration_us
        end_us = max(starts[index] + duration_us, end_us or 0)
    _lower(starts, lowest, spans, lines)
    return starts


def _lower(
    starts: list[int], lowest: list[int | None], spans: Sequence[BootSpan], lines: Mapping[str, _Line]
) -> None:
    ceiling_us: int | None = None
    for index in reversed(range(len(spans))):
        span = spans[index]
        if not lines[span.boot_id].is_known and ceiling_us is not None:
            highest_us = ceiling_us - (span.last_us - span.first_us)
            was_never_set = starts[index] < PLAUSIBLE_FROM_US
            starts[index] = highest_us if was_never_set else min(starts[index], highest_us)
            starts[index] = max(starts[index], lowest[index] or starts[index])
        if lines[span.boot_id].is_known or ceiling_us is not None:
            ceiling_us = starts[index]
