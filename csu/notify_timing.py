"""When a channel speaks: storms become digests, an alarm that flaps becomes quiet, and neither holds others up.

Times are of the monotonic clock, µs. A restart of the centre begins anew, which lets a few messages more through.
"""

from collections import defaultdict, deque
from collections.abc import Sequence

from csu.notify_channel import Pace
from csu.stored_notices import Notice

HOUR_US = 3_600_000_000
QUIET_S = 3600.0
"""So long is an alarm kept back that changed too often to be told each time."""
_MAX_KEYS = 5_000


class Timing:
    """Of one channel."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._sent_us: deque[int] = deque(maxlen=max(2, pace.burst))
        self._raised_us: dict[tuple[object, ...], deque[int]] = defaultdict(deque)
        self._spoke_us: dict[object, int] = {}
        self._loud_us: int | None = None
        self._quiet_us: int | None = None
        self._urgent_us: int | None = None
        self._last_loud = 0
        self._last_quiet = 0
        self._last_urgent = 0

    def see(self, notices: Sequence[Notice], now_us: int) -> None:
        """Take notice of what is new, in order."""
        for notice in notices:
            if self._is_quiet(notice, now_us):
                self._last_quiet = notice.number
                self._quiet_us = now_us if self._quiet_us is None else self._quiet_us
            else:
                self._last_loud = notice.number
                self._loud_us = now_us if self._loud_us is None else self._loud_us
            if self._is_urgent(notice, now_us):
                self._last_urgent = notice.number
                self._urgent_us = now_us if self._urgent_us is None else self._urgent_us

    def due_us(self) -> int | None:
        """When the next message may be sent; None when nothing waits."""
        times_us = []
        if self._loud_us is not None:
            times_us.append(self._loud_us + round(self._pace.gather_s * 1e6))
        if self._quiet_us is not None:
            times_us.append(self._quiet_us + round(QUIET_S * 1e6))
        due_us = [max(min(times_us), self._free_us())] if times_us else []
        if self._urgent_us is not None:
            due_us.append(max(self._urgent_us + round(self._pace.gather_s * 1e6), self._free_us(is_urgent=True)))
        return min(due_us, default=None)

    def sent(self, now_us: int, end: int) -> None:
        """A message was sent that told of everything up to a notice; what came after it waits from now on."""
        self._sent_us.append(now_us)
        self._loud_us = now_us if self._last_loud > end else None
        self._quiet_us = now_us if self._last_quiet > end else None
        self._urgent_us = now_us if self._last_urgent > end else None

    def skipped(self, end: int) -> None:
        """There was nothing to be told up to a notice."""
        self._loud_us = self._loud_us if self._last_loud > end else None
        self._quiet_us = self._quiet_us if self._last_quiet > end else None
        self._urgent_us = self._urgent_us if self._last_urgent > end else None

    def _free_us(self, *, is_urgent: bool = False) -> int:
        """When the pace allows the next message."""
        if not self._sent_us:
            return 0
        last_us = self._sent_us[-1]
        in_hour = sum(last_us - one_us < HOUR_US for one_us in self._sent_us)
        is_slow = in_hour >= self._pace.burst and not is_urgent
        interval_s = self._pace.slow_interval_s if is_slow else self._pace.interval_s
        return last_us + round(interval_s * 1e6)

    def _is_urgent(self, notice: Notice, now_us: int) -> bool:
        """Whether it is grave, and of a unit that had nothing to say for an hour: no other's chatter holds it up."""
        unit_id = notice.body.get("unit_id")
        spoke_us = self._spoke_us.get(unit_id)
        if len(self._spoke_us) > _MAX_KEYS:
            self._spoke_us.clear()
        self._spoke_us[unit_id] = now_us
        is_grave = notice.kind == "alarm-raised" and notice.severity == "critical"
        return is_grave and (spoke_us is None or now_us - spoke_us >= HOUR_US)

    def _is_quiet(self, notice: Notice, now_us: int) -> bool:
        """Whether its alarm was raised too often lately."""
        if notice.kind == "summary":
            return False
        raised_us = self._raised_us[tuple(notice.body.get(name) for name in ("unit_id", "name", "camera"))]
        while raised_us and now_us - raised_us[0] >= HOUR_US:
            raised_us.popleft()
        if notice.kind == "alarm-raised":
            raised_us.append(now_us)
            while len(raised_us) > self._pace.quiet_after + 1:
                raised_us.popleft()
        if len(self._raised_us) > _MAX_KEYS:
            self._raised_us.clear()
        return len(raised_us) > self._pace.quiet_after
