"""Whether the recorder itself stood still: stopped by a signal, starved of its processor, or suspended.

What is lost meanwhile is not the camera's doing, though it looks so: its packets stop, or it hangs up. A thread that
waits for so long and finds much more time gone has slept through it, and with it all others.
"""

import threading
from dataclasses import dataclass

from edge_agent.clock import Clock

_NOTICED_US = 2_000_000


@dataclass(frozen=True, slots=True)
class _Wait:
    start_us: int
    end_us: int


class StandstillWatch:
    """Waits for the supervisor, and looks at how long that took; `explanation` may be asked from any thread."""

    def __init__(self, clock: Clock, after_effect_s: float) -> None:
        """What happens up to `after_effect_s` after a standstill is put down to it."""
        self._clock = clock
        self._after_effect_us = round(after_effect_s * 1e6)
        self._wait: _Wait | None = None
        """The wait that goes on. One reference, swapped whole."""
        self._last: _Wait | None = None
        """The last standstill. One reference, swapped whole."""

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        """As `Clock.wait`."""
        start_us = self._clock.monotonic_us()
        self._wait = _Wait(start_us, start_us + round(timeout_s * 1e6))
        is_set = self._clock.wait(event, timeout_s)
        self._look()
        self._wait = None
        return is_set

    def explanation(self) -> str | None:
        """What a loss that shows now is due to; None when the recorder did not stand still lately."""
        self._look()
        last = self._last
        if last is None or self._clock.monotonic_us() - last.end_us > self._after_effect_us:
            return None
        return f"the recorder itself stood still for {(last.end_us - last.start_us) / 1e6:.0f} s"

    def _look(self) -> None:
        """A thread that goes on earlier than the one that waits sees the same."""
        wait, now_us = self._wait, self._clock.monotonic_us()
        if wait is not None and now_us - wait.end_us > _NOTICED_US:
            self._last = _Wait(wait.start_us, now_us)
