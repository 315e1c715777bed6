"""GNSS time beside the machine's wall clock: when it vouches for it, and when the two contradict one another."""

from dataclasses import replace

from edge_agent.clock import Clock
from edge_agent.clock_source import ClockReading
from edge_agent.position.gnss_time import GnssReading

DISPUTED_AFTER_S = 60.0


def vouched_by_gnss(reading: ClockReading, gnss: GnssReading | None) -> ClockReading:
    """The reading, vouched for by GNSS when nobody else does and the two agree within the bound of GNSS.

    A wall clock that GNSS contradicts stays unknown: the agent never sets it.
    """
    if reading.source != "unknown" or gnss is None:
        return reading
    apart_us = abs(gnss.utc_at(reading.monotonic_us) - reading.wall_us)
    if apart_us > gnss.bound_us:
        return reading
    return replace(reading, source="gnss", bound_us=apart_us + gnss.bound_us)


class Dispute:
    """Whether the machine's vouched clock and GNSS have contradicted one another for long enough to say so."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since_us: int | None = None

    def look(self, reading: ClockReading, gnss: GnssReading | None) -> float | None:
        """Seconds that GNSS is ahead while they contradict one another, 0 while they agree; None: not known yet."""
        if gnss is None or reading.source not in {"chrony", "kernel"}:
            self._since_us = None
            return None
        ahead_us = gnss.utc_at(reading.monotonic_us) - reading.wall_us
        if abs(ahead_us) <= gnss.bound_us + (reading.bound_us or 0):
            self._since_us = None
            return 0.0
        now_us = self._clock.monotonic_us()
        self._since_us = now_us if self._since_us is None else self._since_us
        return ahead_us / 1e6 if now_us - self._since_us >= DISPUTED_AFTER_S * 1e6 else None
