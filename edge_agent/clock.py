"""The only place that reads clocks and sleeps.

`monotonic_us` is CLOCK_BOOTTIME: it never steps and it goes on while the board is suspended, so that an interval
measured with it is an interval of the street. Its origin is the boot that `boot_id` names; readings of two boots are
never compared.
"""

import asyncio
import threading
import time
import uuid
from pathlib import Path
from typing import Protocol

_BOOT_ID_FILE = Path("/proc/sys/kernel/random/boot_id")


class Clock(Protocol):
    """Wall clock, monotonic clock and sleep, injected everywhere."""

    def wall_us(self) -> int:
        """Microseconds of UTC since 1970, as the system believes it."""
        ...

    def monotonic_us(self) -> int:
        """Microseconds since boot; never steps back."""
        ...

    def boottime_of_monotonic_us(self, monotonic_us: int) -> int:
        """`monotonic_us` of an instant of this boot that a driver or a library gave in CLOCK_MONOTONIC."""
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

    def boottime_of_monotonic_us(self, monotonic_us: int) -> int:
        """An instant of CLOCK_MONOTONIC, which stands still in suspend, as CLOCK_BOOTTIME; since the last suspend."""
        before_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        boottime_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        after_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        return monotonic_us + (boottime_ns - (before_ns + after_ns) // 2) // 1000

    def sleep(self, seconds: float) -> None:
        """Block this thread."""
        time.sleep(seconds)

    async def async_sleep(self, seconds: float) -> None:
        """Suspend this task."""
        await asyncio.sleep(seconds)

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        """Block until `event` is set or the time is over; True if it is set."""
        return event.wait(timeout_s)


class FakeClock:
    """A clock that tests move by hand; sleeping moves it."""

    def __init__(self, wall_us: int = 1_790_000_000_000_000, monotonic_us: int = 60_000_000) -> None:
        self._lock = threading.Lock()  # protects both readings, so that they move together
        self._wall_us = wall_us
        self._monotonic_us = monotonic_us

    def wall_us(self) -> int:
        """The wall reading set or advanced by the test."""
        with self._lock:
            return self._wall_us

    def monotonic_us(self) -> int:
        """The monotonic reading advanced by the test."""
        with self._lock:
            return self._monotonic_us

    def boottime_of_monotonic_us(self, monotonic_us: int) -> int:
        """The same: this board is never suspended."""
        return monotonic_us

    def advance(self, seconds: float) -> None:
        """Let time pass on both clocks."""
        step_us = round(seconds * 1e6)
        with self._lock:
            self._wall_us += step_us
            self._monotonic_us += step_us

    def step_wall(self, seconds: float) -> None:
        """Step the wall clock alone, as NTP or a technician does."""
        with self._lock:
            self._wall_us += round(seconds * 1e6)

    def sleep(self, seconds: float) -> None:
        """Advance instead of blocking."""
        self.advance(seconds)

    async def async_sleep(self, seconds: float) -> None:
        """Advance, and let other tasks run once."""
        self.advance(seconds)
        await asyncio.sleep(0)

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        """Advance by the whole time-out unless the event is set already."""
        if event.is_set():
            return True
        self.advance(timeout_s)
        return event.is_set()


def read_boot_id(path: Path = _BOOT_ID_FILE) -> str:
    """The kernel's identity of this boot, 32 hex digits (proc(5), random/boot_id)."""
    return uuid.UUID(path.read_text(encoding="ascii").strip()).hex
