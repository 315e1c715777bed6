"""Where fragments and segments begin and end: decisions only, no input or output.

A fragment closes at a key frame, after 1 s of media, or 1.25 s of monotonic time after its first unit was received,
whichever comes first; the last is for `poll` alone to say, once all that came was written: a stalled camera's last
pictures do not wait for the next one. A segment ends at a key frame, at the last one that keeps it within its length,
judged by the longest of the recent groups of pictures; when a group turns out longer, the segment is cut in its
midst, and the next one begins with pictures that need the former's.

A segment says once where the unit is. While the unit moves, segments are `MOVING_SEGMENT_S` long at most, but none is
cut in the midst of a group of pictures for that.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from edge_agent.contract.access_unit import TIMESCALE_HZ, AccessUnit, CodecConfig, GapCause
from edge_agent.errors import RingError

MOVING_SEGMENT_S = 10.0
"""So often footage says where it was taken while the unit moves."""

_LONGEST_IN_HAND_US = 1_250_000
"""Longer than a fragment of a camera that sends steadily, also of one whose pictures come several at a time. As long
as a fragment, it would end before the pictures that end it by their own time, and its last few would have a fragment
and a sync of their own."""
_FRAGMENT_90K = TIMESCALE_HZ
_MAX_FRAGMENT_UNITS = 4_096
_MAX_FRAGMENT_BYTES = 64_000_000
_GROUPS_REMEMBERED = 8


def stands() -> bool:
    """A unit that does not move."""
    return False


@dataclass(frozen=True, slots=True)
class SegmentOpening:
    """A new segment begins.

    Attributes:
        config: codec parameters of all its units.
        cause: why it begins; `rotation` when nothing is missing.
    """

    config: CodecConfig
    cause: GapCause


@dataclass(frozen=True, slots=True)
class ClosedFragment:
    """Units that are written together.

    Attributes:
        units: at least one; durations are true but for the last's when its successor was not there yet.
        opening: set when a new segment begins with this fragment.
        closed_early: a stall, a stop or a cut ended it before its time.
    """

    units: tuple[AccessUnit, ...]
    opening: SegmentOpening | None
    closed_early: bool


class Assembler:
    """Collects units; each call returns the fragments that it closed, in order.

    `now_us` is the monotonic clock at the call.
    """

    def __init__(self, segment_s: float, is_moving: Callable[[], bool] = stands) -> None:
        """Segments are at most `segment_s` of media long, shorter while `is_moving` (asked at each key frame)."""
        self._segment_90k = round(segment_s * TIMESCALE_HZ)
        self._moving_90k = min(self._segment_90k, round(MOVING_SEGMENT_S * TIMESCALE_HZ))
        self._is_moving = is_moving
        self._opening: SegmentOpening | None = None
        self._config: CodecConfig | None = None
        self._units: list[AccessUnit] = []
        self._size_bytes = 0
        self._first_arrival_us = 0
        self._segment_start_90k: int | None = None
        self._last_key_90k: int | None = None
        self._groups_90k: deque[int] = deque(maxlen=_GROUPS_REMEMBERED)

    @property
    def flush_at_us(self) -> int | None:
        """Monotonic time at which `poll` has something to close; None when nothing is in hand."""
        return self._first_arrival_us + _LONGEST_IN_HAND_US if self._units else None

    def start_stream(self, config: CodecConfig, cause: GapCause) -> list[ClosedFragment]:
        """What follows is another stream: the next unit opens a segment."""
        closed = self._close(early=True)
        self._config = config
        self._groups_90k.clear()
        self._last_key_90k = None
        self._open_next(cause)
        return list(closed)

    def end_stream(self) -> list[ClosedFragment]:
        """No unit follows before the next `start_stream`; the caller closes the segment."""
        closed = self._close(early=True)
        self._config = None
        return list(closed)

    def cut(self, cause: GapCause) -> list[ClosedFragment]:
        """Let the next unit open a segment, key frame or not: it falls under another deployment."""
        closed = self._close(early=True)
        self._open_next(cause)
        return list(closed)

    def poll(self, now_us: int) -> list[ClosedFragment]:
        """Close what has been in hand for long enough."""
        if self.flush_at_us is None or now_us < self.flush_at_us:
            return []
        return list(self._close(early=True))

    def write(self, unit: AccessUnit, now_us: int) -> list[ClosedFragment]:
        """The next unit in decode order.

        Raises:
            RingError: no stream has been started.
        """
        if self._config is None:
            raise RingError("an access unit came before start_stream, or after end_stream")
        self._complete_last(unit.dts_90k)
        closed = []
        if self._fragment_ends_before(unit):
            closed = list(self._close(early=False))
        if self._segment_ends_before(unit):
            closed += self._close(early=True)
            self._open_next("rotation")
        self._take(unit, now_us)
        return closed

    def _complete_last(self, next_dts_90k: int) -> None:
        """The last unit in hand lasts until the next one."""
        if not self._units:
            return
        last = self._units[-1]
        duration_90k = next_dts_90k - last.dts_90k
        if duration_90k > 0 and duration_90k != last.duration_90k:
            self._units[-1] = replace(last, duration_90k=duration_90k)

    def _fragment_ends_before(self, unit: AccessUnit) -> bool:
        if not self._units:
            return False
        return (
            unit.is_key
            or unit.dts_90k - self._units[0].dts_90k >= _FRAGMENT_90K
            or len(self._units) >= _MAX_FRAGMENT_UNITS
            or self._size_bytes + len(unit.data) > _MAX_FRAGMENT_BYTES
        )

    def _segment_ends_before(self, unit: AccessUnit) -> bool:
        if self._segment_start_90k is None:
            return False
        expected_90k, longest_90k = unit.duration_90k, self._segment_90k
        if unit.is_key:
            self._remember_group(unit.dts_90k)
            expected_90k = max(self._groups_90k, default=unit.duration_90k)
            longest_90k = self._moving_90k if self._is_moving() else self._segment_90k
        return unit.dts_90k + expected_90k - self._segment_start_90k > longest_90k

    def _remember_group(self, key_dts_90k: int) -> None:
        """Groups longer than a segment tell nothing about where to end it: they are stalls, or cut anyway."""
        if self._last_key_90k is not None and key_dts_90k - self._last_key_90k <= self._segment_90k:
            self._groups_90k.append(key_dts_90k - self._last_key_90k)

    def _take(self, unit: AccessUnit, now_us: int) -> None:
        if not self._units:
            self._first_arrival_us = now_us if unit.received_us is None else min(now_us, unit.received_us)
        if self._segment_start_90k is None:
            self._segment_start_90k = unit.dts_90k
        if unit.is_key:
            self._last_key_90k = unit.dts_90k
        self._units.append(unit)
        self._size_bytes += len(unit.data)

    def _open_next(self, cause: GapCause) -> None:
        if self._config is not None:
            self._opening = SegmentOpening(self._config, cause)
            self._segment_start_90k = None

    def _close(self, *, early: bool) -> Iterable[ClosedFragment]:
        if not self._units:
            return ()
        media_90k = self._units[-1].dts_90k + self._units[-1].duration_90k - self._units[0].dts_90k
        closed = ClosedFragment(tuple(self._units), self._opening, early and media_90k < _FRAGMENT_90K)
        self._opening = None
        self._units = []
        self._size_bytes = 0
        return (closed,)
