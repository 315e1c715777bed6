"""How long the broker takes to answer, and how fast the last transfer was: what the link's own traffic tells."""

from collections import deque
from statistics import median
from typing import Any

from edge_agent.clock import Clock

_KEPT = 8
"""The median of so many: a modem that wakes for a single ping takes a second or two."""


class RoundTrips:
    """The last answers; the event loop notes them, the probes' thread reads them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._samples: deque[tuple[int, int]] = deque(maxlen=_KEPT)

    def note(self, took_us: int) -> None:
        """The broker answered after so long."""
        self._samples.append((self._clock.monotonic_us(), took_us))

    def figures(self) -> dict[str, Any]:
        """`round_trip_ms` and `round_trip_age_s`; nothing before the first answer."""
        samples = tuple(self._samples)
        if not samples:
            return {}
        age_s = (self._clock.monotonic_us() - samples[-1][0]) / 1e6
        took_ms = median(took_us for _, took_us in samples) / 1000
        return {"round_trip_ms": round(took_ms, 1), "round_trip_age_s": round(age_s)}
