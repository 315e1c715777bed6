"""When coded pictures are handed on.

Several at a time: each waking-up finds two processes' caches cold, and costs five times as much as the picture behind
it.
"""

import math

from .bindings import Bound

GATHER_S = 0.4
SLACK_NS = 20_000_000
DRIFT_NS = 1_000_000


class Rhythm:
    """When to wake up next: just after each key frame, where the recorder closes its fragments, and in between."""

    def __init__(self, clock: Bound) -> None:
        self._clock = clock
        self._key_ns = self._group_ns = 0
        self._late_ns = 1 << 62

    def note(self, capture_ns: int, is_key: bool, is_newest: bool) -> None:
        """A picture was pulled, which was taken then."""
        if is_newest:  # others have waited
            self._late_ns = min(self._late_ns + DRIFT_NS, self._clock.get_time() - capture_ns)
        if is_key:
            self._group_ns = capture_ns - self._key_ns if self._key_ns else 0
            self._key_ns = capture_ns

    def pause_s(self) -> float:
        """For how long to sleep."""
        if not 0 < self._group_ns < 10 * 10**9:
            return GATHER_S
        step_ns = self._group_ns / math.ceil(self._group_ns / 1e9 / GATHER_S)
        since_ns = self._clock.get_time() - self._key_ns - self._late_ns - SLACK_NS
        pause_s = float(step_ns - since_ns % step_ns) / 1e9
        return pause_s if pause_s > 0.02 else pause_s + step_ns / 1e9
