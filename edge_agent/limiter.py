"""A token bucket: how often something may be said that anybody can provoke."""

from edge_agent.clock import Clock


class RateLimiter:
    """`burst` at once, then one every `interval_s`; what is held back is counted."""

    def __init__(self, clock: Clock, burst: int = 10, interval_s: float = 6.0) -> None:
        self._clock = clock
        self._burst = burst
        self._interval_us = round(interval_s * 1e6)
        self._tokens = float(burst)
        self._seen_us = clock.monotonic_us()
        self._left_out = 0

    def take(self) -> int | None:
        """How many were held back since the last one that was let through; None when this one is held back too."""
        now_us = self._clock.monotonic_us()
        self._tokens = min(self._burst, self._tokens + (now_us - self._seen_us) / self._interval_us)
        self._seen_us = now_us
        if self._tokens < 1:
            self._left_out += 1
            return None
        self._tokens -= 1
        left_out, self._left_out = self._left_out, 0
        return left_out
