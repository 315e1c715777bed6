"""Where the unit is, as its link told this recorder, for the headers of new segments.

Segments are written some time after their pictures were taken: a second, or more while the disk is slow. So the last
few notices are kept, and a segment gets the one that was newest when its first picture was taken. A link that is dead
sends none: then the age in the stamps grows and says so.
"""

import threading
from collections import deque
from dataclasses import dataclass

from edge_agent.clock import Clock
from edge_agent.contract.codes import ErrorCode
from edge_agent.contract.ring_protocol import PositionNotice
from edge_agent.contract.segment_format import PositionStamp
from edge_agent.errors import RingRequestError

MOVING_HOLDS_US = 30_000_000
"""A link that said so long ago that the unit moves is not believed any more: nothing new would be stamped."""

_KEPT = 64
_AHEAD_US = 2_000_000
"""A fix may be that much younger than the first picture of the segment that it is stamped into."""


@dataclass(frozen=True, slots=True)
class _Heard:
    """A notice, and the instant that it tells of."""

    at_us: int
    notice: PositionNotice


class Whereabouts:
    """What the link told; every method may be called from any thread.

    Args:
        start: until the link says something; the last place that is known, or that of the settings.
        clock: the monotonic clock of the notices.
    """

    def __init__(self, start: PositionStamp | None, clock: Clock) -> None:
        self._start = start
        self._clock = clock
        self._lock = threading.Lock()  # protects _heard and _last_us
        self._heard: deque[_Heard] = deque(maxlen=_KEPT)
        self._last_us = 0

    def take(self, notice: PositionNotice) -> None:
        """A notice came.

        Raises:
            RingRequestError: its fix lies in the future, so it is not of this boot.
        """
        now_us = self._clock.monotonic_us()
        at_us = now_us if notice.monotonic_us is None else notice.monotonic_us
        if at_us > now_us + _AHEAD_US:
            raise RingRequestError(
                ErrorCode.PARAMETERS_INVALID,
                f"monotonic_us: {(at_us - now_us) / 1e6:.0f} s ahead of this boot's clock; tell of fixes that were",
            )
        with self._lock:
            if self._heard and self._heard[-1].at_us == at_us:
                self._heard.pop()  # the same fix again: what was said of it last counts
            self._heard.append(_Heard(at_us, notice))
            self._last_us = now_us

    def is_moving(self) -> bool:
        """Whether the unit moves, as far as is known."""
        with self._lock:
            if not self._heard or self._clock.monotonic_us() - self._last_us > MOVING_HOLDS_US:
                return False
            return self._heard[-1].notice.moving

    def stamp_at(self, monotonic_us: int) -> PositionStamp | None:
        """Where the unit was at an instant, as far as is known, with the age of that knowledge."""
        with self._lock:
            heard = next((one for one in reversed(self._heard) if one.at_us <= monotonic_us), None)
            if heard is None and self._heard and self._heard[0].at_us <= monotonic_us + _AHEAD_US:
                heard = self._heard[0]
        if heard is None or heard.notice.position is None:
            return self._start
        if heard.notice.monotonic_us is None:
            return heard.notice.position
        age_s = round(max(monotonic_us - heard.at_us, 0) / 1e6, 1)
        return heard.notice.position.model_copy(update={"age_s": age_s})
