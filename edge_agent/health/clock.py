"""Figures of the wall clock: who vouches for it, how far, since when."""

from dataclasses import dataclass
from typing import Any

from edge_agent.clock import Clock
from edge_agent.contract.segment_format import ClockSource


@dataclass(frozen=True, slots=True)
class ClockSight:
    """Who vouches for the wall clock.

    Attributes:
        source: `unknown` when nobody does.
        bound_us: its largest error, µs.
        synced_us: UTC of the last word of a time server, as far as whoever vouches tells.
        offset_us: how far the wall clock is from what chrony believes, without sign.
    """

    source: ClockSource
    bound_us: int | None
    synced_us: int | None = None
    offset_us: int | None = None


class ClockProbe:
    """Remembers since when nobody has vouched."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known_us = clock.monotonic_us()

    def figures(self, sight: ClockSight) -> dict[str, Any]:
        """What is known."""
        now_us = self._clock.monotonic_us()
        if sight.bound_us is not None:
            self._known_us = now_us
        figures: dict[str, Any] = {
            "source": sight.source,
            "unsynchronised_s": round((now_us - self._known_us) / 1e6),
            "clock_bound_ms": _ms(sight.bound_us),
            "clock_offset_ms": _ms(sight.offset_us),
            "last_sync_age_s": self._age_s(sight.synced_us),
        }
        return {name: value for name, value in figures.items() if value is not None}

    def _age_s(self, synced_us: int | None) -> int | None:
        """None also for an instant to come: the clock has stepped since."""
        if synced_us is None or synced_us > self._clock.wall_us():
            return None
        return round((self._clock.wall_us() - synced_us) / 1e6)


def _ms(value_us: int | None) -> float | None:
    return None if value_us is None else round(value_us / 1000, 1)
