"""Which segments go, and why: decisions only.

By age: whatever the disk and whoever waits for the footage; law beats convenience, and a clip that is not fetched
within the limit is lost. By bytes and by free space: oldest first, never what a clip waits for (its share is bounded
when it is planned), and for free space never the newest `KEPT_SEGMENTS`: a disk that others filled must not leave the
ring without its last minutes. What the next writes need is kept free even so, but never by the newest
`SPARED_SEGMENTS`: the figure for free space may be wrong (`freed_space`). When a write fails for want of space all
the same, which is no figure but a fact, every unpinned segment may go, and at the very end pinned ones: recording
comes first.
"""

from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from typing import Literal

from edge_agent.buffer.catalogue import Catalogue
from edge_agent.settings import CameraSettings

KEPT_SEGMENTS = 10
"""Closed segments that others' need for space does not take: about the last ten minutes."""
SPARED_SEGMENTS = 3
"""Closed segments that only a write without space takes: about the last three minutes."""

_HEADROOM_SHARE = 8
_HEADROOM_S = 5.0
_INDEX_BYTES = 4_000_000  # the index's log and shared memory, and what it grows by

Reason = Literal["age", "bytes", "free-space", "no-space"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What the ring may hold; `max_bytes` None: as much as the file system gives."""

    max_bytes: int | None
    min_free_bytes: int
    max_age_us: int

    def headroom_bytes(self, bytes_per_s: float) -> int:
        """Room below `max_bytes` for what is written until the next look."""
        return min(round(bytes_per_s * _HEADROOM_S), (self.max_bytes or 0) // _HEADROOM_SHARE)

    def floor_bytes(self, bytes_per_s: float, total_bytes: int) -> int:
        """Free space that a file system of this size must have for what is written until the next look."""
        return min(round(bytes_per_s * _HEADROOM_S) + _INDEX_BYTES, total_bytes // _HEADROOM_SHARE)


def limits_of(camera: CameraSettings) -> Limits:
    """The limits that a camera's settings give."""
    return Limits(camera.max_bytes, camera.min_free_bytes, round(camera.max_age_h * 3600 * 1e6))


@dataclass(frozen=True, slots=True)
class Victim:
    """A segment that goes."""

    sequence: int
    reason: Reason


def expired(catalogue: Catalogue, is_expired: Callable[[int], bool], at_most: int) -> list[Victim]:
    """Segments beyond the age limit, oldest first; the first that is not ends the search."""
    found: list[Victim] = []
    for sequence in catalogue.oldest_first():
        if len(found) >= at_most or not is_expired(sequence):
            break
        found.append(Victim(sequence, "age"))
    return found


def over_limits(
    catalogue: Catalogue, pinned: Container[int], excess_bytes: int, lacking_bytes: int, at_most: int
) -> list[Victim]:
    """Segments to give back.

    Args:
        catalogue: what the ring holds.
        pinned: segments that are passed over.
        excess_bytes: what the ring holds beyond its own limit.
        lacking_bytes: what the file system lacks of the free space to leave.
        at_most: how many.
    """
    found: list[Victim] = []
    protected = frozenset(catalogue.newest(KEPT_SEGMENTS))
    for sequence in _unpinned(catalogue, pinned):
        reason: Reason = "bytes" if excess_bytes > 0 else "free-space"
        if len(found) >= at_most or max(excess_bytes, lacking_bytes) <= 0:
            break
        if reason == "free-space" and sequence in protected:
            break
        found.append(Victim(sequence, reason))
        excess_bytes -= catalogue.size_of(sequence)
        lacking_bytes -= catalogue.size_of(sequence)
    return found


def below_floor(catalogue: Catalogue, pinned: Container[int], lacking_bytes: int, at_most: int) -> list[Victim]:
    """Segments to give back before a write fails for want of space; never the newest `SPARED_SEGMENTS`."""
    found: list[Victim] = []
    protected = frozenset(catalogue.newest(SPARED_SEGMENTS))
    for sequence in _unpinned(catalogue, pinned):
        if len(found) >= at_most or lacking_bytes <= 0 or sequence in protected:
            break
        found.append(Victim(sequence, "no-space"))
        lacking_bytes -= catalogue.size_of(sequence)
    return found


def for_a_write(
    catalogue: Catalogue, pinned: Container[int], wanted_bytes: int, refused: Callable[[int], bool] = lambda _: False
) -> list[Victim]:
    """Segments to give back because a write failed for want of space: unpinned ones, or else the oldest pinned.

    Args:
        catalogue: what the ring holds.
        pinned: segments that are passed over.
        wanted_bytes: what the write needs.
        refused: segments that the storage does not let go: they are passed over even then.
    """
    found: list[Victim] = []
    for sequence in _unpinned(catalogue, pinned):
        if wanted_bytes <= 0:
            break
        found.append(Victim(sequence, "no-space"))
        wanted_bytes -= catalogue.size_of(sequence)
    if not found:
        oldest = next((sequence for sequence in catalogue.oldest_first() if not refused(sequence)), None)
        found.extend([] if oldest is None else [Victim(oldest, "no-space")])
    return found


def _unpinned(catalogue: Catalogue, pinned: Container[int]) -> Iterator[int]:
    return (sequence for sequence in catalogue.oldest_first() if sequence not in pinned)
