"""What a figure's limits are, and what a figure is: the words of the table in `thresholds`."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from edge_agent.contract.event_names import EventName
from edge_agent.contract.messages import ProbeState

RANK: dict[ProbeState, int] = {"ok": 0, "unknown": 0, "warning": 1, "critical": 2}

MINUTE_S = 60.0
HOUR_S = 3600.0

Owner = Literal["camera", "storage", "system", "process", "network", "clock"]
"""Whose figure it is: of each camera, of each process, or of the unit's probe of that name."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """Limits of one figure.

    Attributes:
        warning: at and beyond it the figure is a warning; None when it never is.
        critical: at and beyond it the figure is critical; None when it never is.
        slack: how far it has to come back behind a limit before it counts as recovered.
        low_is_bad: whether beyond means below.
        rises_after_s: it has to be beyond a limit for so long.
        falls_after_s: it has to be back for so long.
        alarm: raised while the figure is in `alarm_from` or worse.
        alarm_from: see `alarm`.
    """

    warning: float | None
    critical: float | None
    slack: float
    low_is_bad: bool = False
    rises_after_s: float = 0.0
    falls_after_s: float = 0.0
    alarm: EventName | None = None
    alarm_from: ProbeState = "warning"

    def judge(self, value: float, before: ProbeState) -> ProbeState:
        """The state of a value, given the state that it had."""
        if self._beyond(value, self.critical, self.slack if before == "critical" else 0.0):
            return "critical"
        if self._beyond(value, self.warning, self.slack if RANK[before] else 0.0):
            return "warning"
        return "ok"

    def _beyond(self, value: float, limit: float | None, slack: float) -> bool:
        if limit is None:
            return False
        return value <= limit + slack if self.low_is_bad else value >= limit - slack


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of `up/health`.

    Attributes:
        name: as the message has it.
        owner: see `Owner`.
        unit: of measurement, as people write it.
        source: what is read, by whom it is documented.
        limit: when it is bad; None for figures that are only told.
        remedy: what a technician does when it is.
    """

    name: str
    owner: Owner
    unit: str
    source: str
    limit: Threshold | None = None
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that is wrong or not, without a figure.

    Attributes:
        name: of the field in `up/health`, or of what is looked at.
        owner: see `Owner`.
        meaning: when it is wrong, and where that is known from.
        state: of the probe while it is.
        alarm: raised while it is.
        rises_after_s: it has to last so long.
        falls_after_s: it has to be over for so long.
        remedy: what a technician does.
    """

    name: str
    owner: Owner
    meaning: str
    state: ProbeState
    alarm: EventName
    rises_after_s: float
    falls_after_s: float
    remedy: str


def worst(states: Iterable[ProbeState]) -> ProbeState:
    """The worst of several; `unknown` only when nothing is known."""
    known: list[ProbeState] = [state for state in states if state != "unknown"]
    return max(known, key=RANK.__getitem__) if known else "unknown"
