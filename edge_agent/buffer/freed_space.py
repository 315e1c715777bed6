"""Whether giving up footage makes the free space rise.

It does not where a file system returns space late, where another process holds a removed file open, where others take
what was freed at once, and as long as root's writes have eaten into the reserve of an ext file system (`f_bavail` of
statvfs(3) stays 0). Retention that believed such a figure would take segment after segment for nothing. So it stops
as soon as the figure did not rise after a removal, and asks again once it has risen, or after a growing pause.

Only retention that looks ahead is held back so: a write that finds no space takes what it needs (`for_a_write`).
"""

import logging

from edge_agent.clock import Clock
from edge_agent.retry import backoff_s, jittered

logger = logging.getLogger(__name__)

LONGEST_PAUSE_S = 600.0
_PAUSE = jittered(2.0, LONGEST_PAUSE_S)


class FreedSpace:
    """What the last removals for the sake of free space brought; for one thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures = 0
        self._before_bytes = 0
        self._again_us = 0

    def may_remove(self, free_bytes: int) -> bool:
        """Whether a removal is worth trying, now that so much is free."""
        if self._failures and free_bytes > self._before_bytes:
            self._succeeded()
        return not self._failures or self._clock.monotonic_us() >= self._again_us

    def helped(self, before_bytes: int, after_bytes: int) -> bool:
        """Whether a removal between two looks at the free space made it rise."""
        if after_bytes > before_bytes:
            self._succeeded()
            return True
        self._failures += 1
        self._before_bytes = before_bytes
        self._again_us = self._clock.monotonic_us() + round(backoff_s(_PAUSE, self._failures) * 1e6)
        if self._failures == 2:
            logger.warning("giving up footage frees no space (%d bytes are free): it is tried rarely", after_bytes)
        return False

    def _succeeded(self) -> None:
        if self._failures > 1:
            logger.info("giving up footage frees space again")
        self._failures = 0
