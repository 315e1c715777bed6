"""Applies the table, and remembers: a state changes when what speaks for it has lasted."""

from collections.abc import Mapping
from dataclasses import dataclass

from edge_agent.contract.event_names import EventName
from edge_agent.contract.messages import ProbeState
from edge_agent.health.limits import RANK, Condition, Owner, Threshold
from edge_agent.health.thresholds import BY_ALARM, thresholds_of

AlarmKey = tuple[str, str | None]
"""Name and camera."""
Details = dict[str, object] | None


@dataclass(slots=True)
class _Memory:
    """A state, and since when something else is seen (`risen`: worse)."""

    state: ProbeState = "ok"
    since_us: int | None = None
    risen: bool = False

    def settle(self, seen: ProbeState, now_us: int, rises_after_s: float, falls_after_s: float) -> None:
        if seen == self.state:
            self.since_us = None
            return
        risen = RANK[seen] > RANK[self.state]
        if self.since_us is None or risen != self.risen:
            self.since_us, self.risen = now_us, risen
        if now_us - self.since_us >= (rises_after_s if risen else falls_after_s) * 1e6:
            self.state, self.since_us = seen, None

    @property
    def is_pending(self) -> bool:
        """Worse is seen and has not lasted yet: neither well nor an alarm."""
        return self.since_us is not None and self.risen


class Judge:
    """States of figures and conditions, and the alarms that follow; a memory for each camera, process and probe."""

    def __init__(self) -> None:
        self._memories: dict[tuple[Owner, str | None, str], _Memory] = {}
        self._alarms: dict[AlarmKey, Details] = {}
        self._pending: set[AlarmKey] = set()

    def begin(self) -> None:
        """Another look at everything begins."""
        self._alarms = {}
        self._pending = set()

    def states(
        self, owner: Owner, figures: Mapping[str, object], now_us: int, camera: str | None = None, name: str = ""
    ) -> dict[str, ProbeState]:
        """The state of every figure that the table has a limit for; what was not measured has none.

        Args:
            owner: whose figures.
            figures: by name.
            now_us: monotonic.
            camera: that alarms are of.
            name: told beside the figure in an alarm's details; apart from `camera`, whose memory it is.
        """
        found: dict[str, ProbeState] = {}
        for figure, limit in thresholds_of(owner).items():
            value = figures.get(figure)
            if isinstance(value, bool) or not isinstance(value, int | float):
                continue
            memory = self._memories.setdefault((owner, camera or name, figure), _Memory())
            memory.settle(limit.judge(float(value), memory.state), now_us, limit.rises_after_s, limit.falls_after_s)
            found[figure] = memory.state
            if limit.alarm is not None:
                self._note_limit(
                    limit.alarm, camera, limit, memory, {"figure": figure, "value": value} | _named(name)
                )
        return found

    def holds(
        self, alarm: EventName, is_wrong: bool, now_us: int, camera: str | None, details: Mapping[str, object]
    ) -> bool:
        """Whether a condition of the table is wrong, and has lasted; raises its alarm if so."""
        condition: Condition = BY_ALARM[alarm]
        memory = self._memories.setdefault((condition.owner, camera, alarm), _Memory())
        seen: ProbeState = "critical" if is_wrong else "ok"
        memory.settle(seen, now_us, condition.rises_after_s, condition.falls_after_s)
        is_raised = memory.state == "critical"
        self._note((alarm, camera), is_raised, memory.is_pending, dict(details))
        return is_raised

    @property
    def alarms(self) -> dict[AlarmKey, Details]:
        """What was looked at since `begin`: details where something is wrong, None where all is well.

        What looks wrong and has not lasted yet is not in it: a link that has just started again, and remembers
        nothing, must not clear what it is about to raise.
        """
        return {key: details for key, details in self._alarms.items() if details or key not in self._pending}

    def _note_limit(
        self, alarm: EventName, camera: str | None, limit: Threshold, memory: _Memory, details: dict[str, object]
    ) -> None:
        is_raised = RANK[memory.state] >= RANK[limit.alarm_from]
        bound = limit.critical if memory.state == "critical" else limit.warning
        self._note((alarm, camera), is_raised, memory.is_pending, {"state": memory.state, "limit": bound} | details)

    def _note(self, key: AlarmKey, is_raised: bool, is_pending: bool, details: dict[str, object]) -> None:
        """Several figures may raise the same alarm: the first that does is told."""
        if is_raised:
            self._alarms[key] = self._alarms.get(key) or details
            return
        self._alarms.setdefault(key, None)
        if is_pending:
            self._pending.add(key)


def _named(name: str) -> dict[str, object]:
    return {"process": name} if name else {}
