"""Which clip is verified next, and how often one is tried that could not be.

Units take turns, so that one unit's backlog does not become the others'. What could not be verified waits a little
longer each time, whatever else arrives meanwhile.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from csu.backoff import delay_s
from csu.records import ClipRecord

_FIRST_DELAY_S = 2.0
_MAX_DELAY_S = 600.0
_SHORTEST_PAUSE_S = 0.05

Kind = Literal["stalled", "missing", "crashed", "odd", "unreadable", "passing"]
ATTEMPTS: dict[Kind, int] = {"stalled": 3, "missing": 5, "crashed": 8, "odd": 5, "unreadable": 10}
"""Tries of each kind of failure; storage and memory may come back, an hour at most is waited for them.

What is `passing`, such as a want of descriptors, is tried for ever.
"""

Key = tuple[str, str]
"""Unit and clip."""


def key_of(clip: ClipRecord) -> Key:
    """What a clip is known by."""
    return clip.unit_id, clip.clip_id


class Tries:
    """How often each clip could not be verified, kind by kind."""

    def __init__(self) -> None:
        self._counts: dict[Key, dict[Kind, int]] = {}

    def is_last(self, key: Key, kind: Kind) -> bool:
        """Count one more; whether it was the last that this kind has."""
        counts = self._counts.setdefault(key, {})
        counts[kind] = counts.get(kind, 0) + 1
        return kind in ATTEMPTS and counts[kind] >= ATTEMPTS[kind]

    def count(self, key: Key) -> int:
        """Of all kinds together."""
        return sum(self._counts.get(key, {}).values())

    def forget(self, key: Key) -> None:
        """The clip has its end."""
        self._counts.pop(key, None)


@dataclass(slots=True)
class Lane:
    """Clips that are verified one after another."""

    long_of: str | None
    """The unit whose long clips these are; None for the first few minutes of everyone's."""
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    _served: dict[str, int] = field(default_factory=dict)
    """When each unit's turn last came; a number that rises with every turn."""
    _due_us: dict[Key, int] = field(default_factory=dict)
    """Until when, by the monotonic clock, what failed is left alone."""

    def choose(self, waiting: Iterable[ClipRecord], now_us: int) -> ClipRecord | None:
        """The oldest of the unit that was served longest ago.

        Args:
            waiting: every pending clip of this lane, oldest first.
            now_us: of the monotonic clock.
        """
        clips = list(waiting)
        keys = {key_of(clip) for clip in clips}
        self._due_us = {key: due_us for key, due_us in self._due_us.items() if key in keys}
        due = [clip for clip in clips if self._due_us.get(key_of(clip), now_us) <= now_us]
        if not due:
            return None
        chosen = min(due, key=lambda clip: self._served.get(clip.unit_id, 0))
        self._served[chosen.unit_id] = max(self._served.values(), default=0) + 1
        self._due_us.pop(key_of(chosen), None)
        return chosen

    def postpone(self, key: Key, tries: int, now_us: int) -> None:
        """Leave a clip alone for a while, longer with each try."""
        self._due_us[key] = now_us + round(delay_s(tries, _FIRST_DELAY_S, _MAX_DELAY_S) * 1e6)

    def pause_s(self, now_us: int) -> float | None:
        """Seconds until the next one is due; None when none waits for that."""
        if not self._due_us:
            return None
        return max(_SHORTEST_PAUSE_S, (min(self._due_us.values()) - now_us) / 1e6)
