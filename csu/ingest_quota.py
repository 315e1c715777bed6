"""How many uploads a unit may have at the ingest: what it begins is bounded, what it goes on with hardly.

A clip that may not go on would keep its place for ever, so a clip that has begun gets its parts; only the sum of all
parts, which no honest unit comes near, is bounded as well.
"""

import asyncio
from dataclasses import dataclass
from typing import Protocol

from csu.errors import UploadRefusedError
from csu.ingest_store import UploadStore
from csu.ingest_turn import Exclusive
from edge_agent.clock import Clock
from edge_agent.contract.upload import UploadMetadata

_SWEEP_INTERVAL_US = 60_000_000
"""Of one unit's uploads, each of which is looked up on the disk; sooner when a clip of it has arrived since."""


class Arriving(Protocol):
    """What is known of clips that arrive (csu.ingest_arrival)."""

    def is_noted(self, unit_id: str, clip_id: str) -> bool:
        """Whether the clip is being handed over: its uploads are needed."""
        ...

    def handed_over_of(self, unit_id: str) -> int:
        """How many clips of a unit were handed over since the start."""
        ...


@dataclass(frozen=True, slots=True)
class IngestLimits:
    """What the ingest takes."""

    max_part_bytes: int = 200_000_000_000
    max_clips_per_unit: int = 200
    """Clips with unfinished uploads; parts of a clip that has begun are let in, 10,000 (`UploadMetadata.index`)."""
    max_empty_uploads_per_unit: int = 1000
    """Uploads without a byte. The agent sends what it created: it leaves one a clip at most, when it steps aside."""
    max_uploads_per_unit: int = 50_000
    """Of any length, those of arrived clips left out: five clips of 10,000 parts, on disk a folder each."""
    kept_uploads_per_unit: int = 2000
    """Beyond this, those of clips that have arrived are forgotten when a further clip begins."""
    reserve_bytes: int = 1_000_000_000
    """Free space that uploads leave."""
    max_requests_per_unit: int = 32
    """In work at once; bodies of one unit alone must not take all connections. The agent sends two, eight at most."""
    unit_share: float = 0.1
    """Part of the free space that one unit's announcements keep from the others, at most."""
    idle_s: float = 60.0
    """A body that brings nothing for so long is read no further."""
    expiry_s: float = 31 * 24 * 3600.0
    """An upload that nothing was added to for so long is removed."""
    empty_expiry_s: float = 3000.0
    """An upload that has no byte for so long is removed; looked at every 5 minutes, so within the hour."""


class Quota:
    """Refuses what a unit begins beyond its limits.

    Args:
        uploads: all of them.
        arrivals: the clips that arrive.
        limits: what is taken.
        clock: for the time between two looks at a unit's uploads.
    """

    def __init__(self, uploads: UploadStore, arrivals: Arriving, limits: IngestLimits, clock: Clock) -> None:
        self._uploads = uploads
        self._arrivals = arrivals
        self._limits = limits
        self._clock = clock
        self._sweeps = Exclusive()
        self._swept: dict[str, tuple[int, int]] = {}
        """Of each unit: when its uploads were last looked through, how many clips had been handed over by then."""

    async def check(self, metadata: UploadMetadata) -> None:
        """Whether an upload may be made.

        Raises:
            UploadRefusedError: 429, the unit has too many.
            OSError: the storage refused.
        """
        unit_id, clip_id = metadata.unit_id, metadata.clip_id
        table, limits = self._uploads.table, self._limits
        if table.empty_of(unit_id) >= limits.max_empty_uploads_per_unit:
            raise UploadRefusedError(429, f"unit {unit_id} has too many empty uploads here; send or cancel some")
        # A manifest is one a clip, and ends it: without it the unit would stay at its limit.
        if metadata.kind == "part" and table.uploads_of(unit_id) >= limits.max_uploads_per_unit:
            await self._forget_arrived(unit_id)
            if table.uploads_of(unit_id) >= limits.max_uploads_per_unit:
                raise UploadRefusedError(429, f"unit {unit_id} has too many uploads here; end or cancel some clips")
        if not table.has_begun(unit_id, clip_id):
            await self._check_clips(unit_id, clip_id)

    async def _check_clips(self, unit_id: str, clip_id: str) -> None:
        """Whether a further clip may begin."""
        table, limits = self._uploads.table, self._limits
        if (
            table.clips_of(unit_id) >= limits.max_clips_per_unit
            or table.uploads_of(unit_id) >= limits.kept_uploads_per_unit
        ):
            await self._forget_arrived(unit_id)
        if table.clips_of(unit_id) < limits.max_clips_per_unit:
            return
        if not await asyncio.to_thread(self._uploads.has_clip_arrived, unit_id, clip_id):
            raise UploadRefusedError(429, f"unit {unit_id} has too many unfinished clips here; end or cancel some")

    async def _forget_arrived(self, unit_id: str) -> None:
        """Forget what has arrived; seldom in vain, since a unit at its limit may ask as often as it likes."""
        async with self._sweeps.alone(unit_id):  # whoever comes meanwhile has what this one finds
            now_us, handed_over = self._clock.monotonic_us(), self._arrivals.handed_over_of(unit_id)
            swept_us, handed_over_then = self._swept.get(unit_id, (now_us - _SWEEP_INTERVAL_US, handed_over))
            if handed_over == handed_over_then and now_us - swept_us < _SWEEP_INTERVAL_US:
                return
            self._swept[unit_id] = now_us, handed_over
            await asyncio.to_thread(self._forget, unit_id)

    def _forget(self, unit_id: str) -> None:
        is_needed = self._arrivals.is_noted
        uploads = self._uploads.arrived(unit_id)
        self._uploads.forget(one for one in uploads if not is_needed(unit_id, one.info.metadata.clip_id))
