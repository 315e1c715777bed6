"""A look at the receiver for a person who stands beside the unit."""

import asyncio

from edge_agent.clock import Clock
from edge_agent.position.gpsd import GpsdClient
from edge_agent.position.locator import Locator, Sight
from edge_agent.settings import PositionSettings

_STEP_S = 0.2


async def look(settings: PositionSettings, clock: Clock, longest_s: float) -> tuple[Sight, bool]:
    """Listen to gpsd until there is a fix with its satellites, or the time is over.

    Args:
        settings: `[position]`, with gpsd.
        clock: the clocks.
        longest_s: so long at most.

    Returns:
        What is known then, and whether the receiver said anything.
    """
    host, port = settings.gpsd_address or ("", 0)
    locator = Locator(settings, None, "", clock)
    client = asyncio.create_task(GpsdClient(host, port, locator, clock).run())
    end_us = clock.monotonic_us() + round(longest_s * 1e6)
    while clock.monotonic_us() < end_us and locator.sight().satellites_seen is None:
        await clock.async_sleep(_STEP_S)
    sight, speaks = locator.sight(), locator.silent_s() == 0
    client.cancel()
    await asyncio.wait({client})
    return sight, speaks
