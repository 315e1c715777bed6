"""Health and position of units by time, for the API."""

from typing import Any

from csu import stored_history
from csu.registry import Registry
from edge_agent.contract.messages import HistoryKind

_EVER_US = 253_000_000_000_000_000
"""A little before the year 10,000, where the calendar ends."""


class HistoryBook:
    """Reads what `stored_history` keeps."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def load(
        self, unit_id: str, kind: HistoryKind, from_us: int | None, to_us: int | None, limit: int
    ) -> tuple[list[dict[str, Any]], int]:
        """A unit's line, oldest first and thinned out to `limit` samples, and how many samples of it are missing.

        Raises:
            RegistryError: the registry cannot be read.
        """
        start_us, end_us = from_us or 0, _EVER_US if to_us is None else to_us
        found = await self._registry.run(stored_history.load, unit_id, kind, start_us, end_us, limit)
        return list(found.samples), found.left_out
