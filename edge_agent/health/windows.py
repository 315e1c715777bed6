"""What happened lately: growth of counters over a time, means over a minute, what is usual over a week."""

from collections import deque
from statistics import fmean, quantiles

_MAX_STEPS = 512
_MINUTE_US = 60_000_000
_MINUTES = 60
_HOURS = 7 * 24
_DAY_HOURS = 24
_FEWEST_MINUTES = 10
_FEWEST_HOURS = 3


class Growth:
    """How much a counter grew over the last so many seconds; it begins at zero with each life of who counts."""

    def __init__(self, window_s: float) -> None:
        self._window_us = round(window_s * 1e6)
        self._steps: deque[tuple[int, int]] = deque(maxlen=_MAX_STEPS)
        self._last: tuple[str, int] | None = None

    def note(self, now_us: int, life: str, count: int) -> int:
        """Take the count of now; the growth within the window.

        Args:
            now_us: monotonic.
            life: of the process that counts; another one began at zero.
            count: what it says.
        """
        if self._last is not None:
            begin = self._last[1] if self._last[0] == life else 0
            if count > begin:
                self._steps.append((now_us, count - begin))
        self._last = life, count
        while self._steps and now_us - self._steps[0][0] > self._window_us:
            self._steps.popleft()
        return sum(step for _, step in self._steps)


class Usual:
    """What a figure was lately, and what it usually is: means of minutes, and of hours for a week.

    Usual is what four fifths of the hours reach: a camera that gives half the pictures by night does not differ from
    itself, and one night or one bad hour does not become the norm.
    """

    def __init__(self) -> None:
        self._recent: deque[tuple[int, float]] = deque(maxlen=_MAX_STEPS)
        self._minute: list[float] = []
        self._minute_us: int | None = None
        self._minutes: deque[float] = deque(maxlen=_MINUTES)
        self._new_minutes = 0
        self._hours: deque[float] = deque(maxlen=_HOURS)

    def note(self, now_us: int, value: float) -> None:
        """Take a sample."""
        self._recent.append((now_us, value))
        if self._minute_us is None or now_us - self._minute_us >= _MINUTE_US:
            self._close_minute()
            self._minute_us = now_us
        self._minute.append(value)

    def forget_recent(self) -> None:
        """The figure begins anew: what came before is no part of its last minute."""
        self._recent.clear()

    def lately(self, now_us: int) -> float | None:
        """The mean of the last minute; None while less than half of one is known."""
        values = [(at_us, value) for at_us, value in self._recent if now_us - at_us <= _MINUTE_US]
        if not values or now_us - values[0][0] < _MINUTE_US // 2:
            return None
        return fmean(value for _, value in values)

    @property
    def usual(self) -> float | None:
        """What is usual; None before ten minutes are known."""
        if len(self._hours) >= _FEWEST_HOURS:
            return quantiles(self._hours, n=5)[0]
        return quantiles(self._minutes, n=5)[0] if len(self._minutes) >= _FEWEST_MINUTES else None

    @property
    def day_mean(self) -> float | None:
        """The mean of the last 24 hours, or of what is known of them; None before the first minute."""
        hours = list(self._hours)[-_DAY_HOURS:]
        begun = list(self._minutes)[len(self._minutes) - self._new_minutes :] if self._new_minutes else []
        weight = len(hours) * _MINUTES + len(begun)
        return (sum(hours) * _MINUTES + sum(begun)) / weight if weight else None

    def _close_minute(self) -> None:
        if not self._minute:
            return
        self._minutes.append(fmean(self._minute))
        self._minute.clear()
        self._new_minutes += 1
        if self._new_minutes == _MINUTES:
            self._hours.append(fmean(self._minutes))
            self._new_minutes = 0
