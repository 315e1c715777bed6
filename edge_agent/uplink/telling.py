"""When a retained body is worth its bytes: when its meaning changed, within a budget, and otherwise rarely.

An idle unit has 30 MB a month, of which the keep-alive's pings take nearly half (docs/performance.md). What flaps in
spite of all hysteresis is told at the pace of the budget: the newest of it, so that the centre is late and never
wrong for long.
"""

from dataclasses import dataclass

from edge_agent.contract.messages import CameraCoverage, Health, Probe
from edge_agent.contract.model import MAX_MESSAGE_BYTES

PROBES = ("camera", "storage", "power", "network", "clock", "system")


@dataclass(frozen=True, slots=True)
class Policy:
    """How often a topic may speak.

    Attributes:
        interval_s: without a change it is told again after so long.
        burst: so many changes in a row are told at once.
        refill_s: each further one takes so long.
        short_bytes: the interval is that of bodies up to this; a longer one waits as much longer.
    """

    interval_s: float
    burst: int
    refill_s: float
    short_bytes: int = MAX_MESSAGE_BYTES


HEALTH_POLICY = Policy(interval_s=3600.0, burst=10, refill_s=300.0)
COVERAGE_POLICY = Policy(interval_s=3600.0, burst=6, refill_s=900.0, short_bytes=6000)
"""A unit whose health and coverage are as long as a message may be stays within its 30 MB a month."""


class Teller:
    """Remembers what was told of one topic, and when."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._interval_s = policy.interval_s
        self._signature: object = None
        self._told_us: int | None = None
        self._spent: float = 0.0
        self._spent_us = 0

    def is_due(self, signature: object, now_us: int) -> bool:
        """Whether a body of this meaning is to be told now; if so, it counts as told.

        Args:
            signature: equal for bodies that mean the same.
            now_us: monotonic.
        """
        if self._told_us is not None:
            is_old = now_us - self._told_us >= self._interval_s * 1e6
            if not is_old and (signature == self._signature or not self._may_speak(now_us)):
                return False
        self._spend(now_us)
        self._signature, self._told_us = signature, now_us
        return True

    def note_size(self, size_bytes: int) -> None:
        """What was told was so long."""
        self._interval_s = self._policy.interval_s * max(1.0, size_bytes / self._policy.short_bytes)

    def renew(self, now_us: int, after_s: float) -> None:
        """Have the next body told, whatever it says, when the last one is older than this."""
        if self._told_us is not None and now_us - self._told_us >= after_s * 1e6:
            self._told_us = None

    def _may_speak(self, now_us: int) -> bool:
        return self._spent_at(now_us) <= self._policy.burst - 1

    def _spend(self, now_us: int) -> None:
        self._spent, self._spent_us = min(self._spent_at(now_us) + 1, float(self._policy.burst)), now_us

    def _spent_at(self, now_us: int) -> float:
        return max(self._spent - (now_us - self._spent_us) / 1e6 / self._policy.refill_s, 0.0)


def meaning_of(health: Health) -> tuple[tuple[str, str], ...]:
    """The states of probes and of cameras: what of health is news. Figures that only move are not."""
    probes: dict[str, Probe] = {name: getattr(health, name) for name in PROBES}
    states = [(name, str(probe.state)) for name, probe in probes.items()]
    cameras: dict[str, dict[str, object]] = (probes["camera"].model_extra or {}).get("cameras") or {}
    for name, figures in cameras.items():
        states.append((f"camera {name}", f"{figures.get('state')} {figures.get('recording')}"))
    return tuple(states)


class CoverageShape:
    """What of the coverage is news: the first footage, a gap that begins or ends.

    Not the gaps' instants, which a clock that learns moves by milliseconds, and not a gap that leaves the last 24
    hours: gaps are counted as they come, and only a larger number than a moment ago is news.
    """

    def __init__(self) -> None:
        self._gaps: dict[str, int] = {}
        self._news: dict[str, int] = {}

    def of(self, camera: CameraCoverage) -> tuple[str, bool, bool, int]:
        """Equal while nothing happened."""
        gaps = sum(not interval.held for interval in camera.last_24h)
        if gaps > self._gaps.get(camera.camera, gaps):
            self._news[camera.camera] = self._news.get(camera.camera, 0) + 1
        self._gaps[camera.camera] = gaps
        is_held = bool(camera.last_24h) and camera.last_24h[-1].held
        return camera.camera, camera.oldest_us is not None, is_held, self._news.get(camera.camera, 0)
