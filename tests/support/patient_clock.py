"""A clock whose sleepers wait until the test moves it."""

import asyncio

from edge_agent.clock import FakeClock


class PatientClock(FakeClock):
    """`FakeClock` lets a sleeper move time; this one lets the test alone do it."""

    async def async_sleep(self, seconds: float) -> None:
        """Return when the test has let so much time pass."""
        deadline_us = self.monotonic_us() + round(seconds * 1e6)
        while self.monotonic_us() < deadline_us:  # noqa: ASYNC110 -- tests move the clock from any thread
            await asyncio.sleep(0.001)
