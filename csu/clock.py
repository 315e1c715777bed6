"""The only place of the centre that reads clocks and sleeps; of the same shape as the agent's."""

import asyncio
import threading
import time
from typing import Protocol


class Clock(Protocol):
    """Wall clock, monotonic clock and sleep, injected everywhere."""

    def wall_us(self) -> int:
        """Microseconds of UTC since 1970."""
        ...

    def monotonic_us(self) -> int:
        """Microseconds since boot; never steps back."""
        ...

    def sleep(self, seconds: float) -> None:
        """Block this thread."""
        ...

    async def async_sleep(self, seconds: float) -> None:
        """Suspend this task."""
        ...

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        """Block until `event` is set or the time is over; True if it is set."""
        ...


class SystemClock:
    """The clocks of this machine."""

    def wall_us(self) -> int:
        """Microseconds of UTC since 1970, as the system believes it."""
        return time.time_ns() // 1000

    def monotonic_us(self) -> int:
        """Microseconds since boot, suspend included (CLOCK_BOOTTIME)."""
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000

    def sleep(self, seconds: float) -> None:
        """Block this thread."""
        time.sleep(seconds)

    async def async_sleep(self, seconds: float) -> None:
        """Suspend this task."""
        await asyncio.sleep(seconds)

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        """Block until `event` is set or the time is over; True if it is set."""
        return event.wait(timeout_s)
