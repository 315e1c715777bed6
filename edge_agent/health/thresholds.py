"""One table of when a figure is a warning or critical, with hysteresis so that a figure at the edge does not flap."""

from collections.abc import Mapping
from dataclasses import dataclass

from edge_agent.contract.messages import ProbeState

_RANK: dict[ProbeState, int] = {"ok": 0, "unknown": 0, "warning": 1, "critical": 2}


@dataclass(frozen=True, slots=True)
class Threshold:
    """Limits of one figure.

    Attributes:
        warning: at and beyond it the figure is a warning; None when it never is.
        critical: at and beyond it the figure is critical; None when it never is.
        slack: how far it has to come back behind a limit before it counts as recovered.
        low_is_bad: whether beyond means below.
    """

    warning: float | None
    critical: float | None
    slack: float
    low_is_bad: bool = False

    def judge(self, value: float, before: ProbeState) -> ProbeState:
        """The state of a value, given the state that it had."""
        if self._beyond(value, self.critical, self.slack if before == "critical" else 0.0):
            return "critical"
        if self._beyond(value, self.warning, self.slack if _RANK[before] else 0.0):
            return "warning"
        return "ok"

    def _beyond(self, value: float, limit: float | None, slack: float) -> bool:
        if limit is None:
            return False
        return value <= limit + slack if self.low_is_bad else value >= limit - slack


THRESHOLDS: dict[str, Threshold] = {
    # Boards throttle at 80 to 85 °C (Raspberry Pi documentation, "Frequency management and thermal control").
    "temperature_c": Threshold(warning=75.0, critical=82.0, slack=4.0),
    "memory_used_share": Threshold(warning=0.85, critical=0.95, slack=0.05),
    "cpu_load_share": Threshold(warning=0.90, critical=None, slack=0.10),
    # A ring that fills its disk keeps this at 1; it falls when something else takes the space.
    "reserve_share": Threshold(warning=0.8, critical=0.4, slack=0.1, low_is_bad=True),
    "free_inodes_share": Threshold(warning=0.05, critical=0.01, slack=0.01, low_is_bad=True),
    "sync_max_ms": Threshold(warning=1000.0, critical=5000.0, slack=300.0),
    # Of `min_age_h`, where the settings give one.
    "retention_share": Threshold(warning=0.99, critical=0.5, slack=0.05, low_is_bad=True),
    # Acceptance: normally within a second.
    "clock_bound_ms": Threshold(warning=1000.0, critical=60_000.0, slack=200.0),
}
"""By the figure's name."""


def worst(states: list[ProbeState]) -> ProbeState:
    """The worst of several; `unknown` only when nothing is known."""
    known: list[ProbeState] = [state for state in states if state != "unknown"]
    return max(known, key=_RANK.__getitem__) if known else "unknown"


class Judge:
    """Applies the table and remembers the states, a memory for each probe (and camera)."""

    def __init__(self, thresholds: Mapping[str, Threshold] = THRESHOLDS) -> None:
        self._thresholds = thresholds
        self._before: dict[tuple[str, str], ProbeState] = {}

    def states(self, owner: str, figures: Mapping[str, object]) -> list[ProbeState]:
        """The state of every figure that the table knows; others, and what was not measured, have none."""
        found: list[ProbeState] = []
        for name, threshold in self._thresholds.items():
            value = figures.get(name)
            if isinstance(value, int | float):
                state = threshold.judge(float(value), self._before.get((owner, name), "ok"))
                self._before[owner, name] = state
                found.append(state)
        return found

    def state_of(self, owner: str, figure: str) -> ProbeState:
        """The last state of one figure; `unknown` when it was never measured."""
        return self._before.get((owner, figure), "unknown")
