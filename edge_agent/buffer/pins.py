"""Which segments a clip waits for: retention by bytes and by free space passes them over.

A plan pins the segments that it names; a reserved one, whose end is not recorded yet, also every segment that comes
to overlap its interval. The truth is that the plan's file exists (`clip.store`); this is its image in memory.

Not thread-safe: the ring's lock protects it.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from edge_agent.contract.clip import Interval
from edge_agent.contract.ring_protocol import PlanResult

MAX_PINNED_SHARE = 0.5
"""Of what the ring may take: beyond it a new plan is refused, so that clips nobody fetches cannot stop recording."""


@dataclass(frozen=True, slots=True)
class Pin:
    """One clip's claim.

    Attributes:
        sequences: segments that it names.
        reserved: its interval, while its end is not recorded yet.
        result: what its request was answered; None while it is being planned.
    """

    sequences: frozenset[int]
    reserved: Interval | None = None
    result: PlanResult | None = None


class Pins:
    """Claims by clip id."""

    def __init__(self) -> None:
        self._pins: dict[str, Pin] = {}
        self._counts: Counter[int] = Counter()

    def __contains__(self, sequence: object) -> bool:
        """Whether a segment is pinned."""
        return sequence in self._counts

    def get(self, clip_id: str) -> Pin | None:
        """The claim of a clip."""
        return self._pins.get(clip_id)

    def clip_ids(self) -> list[str]:
        """Clips with a plan, sorted."""
        return sorted(clip_id for clip_id, pin in self._pins.items() if pin.result is not None)

    def sequences(self) -> Iterable[int]:
        """Every pinned segment."""
        return self._counts.keys()

    def put(self, clip_id: str, pin: Pin) -> None:
        """Place or replace a claim."""
        self.drop(clip_id)
        self._pins[clip_id] = pin
        self._counts.update(pin.sequences)

    def drop(self, clip_id: str) -> bool:
        """End a claim; False when there was none."""
        pin = self._pins.pop(clip_id, None)
        if pin is None:
            return False
        for sequence in pin.sequences:
            self._counts[sequence] -= 1
            if self._counts[sequence] <= 0:
                del self._counts[sequence]
        return True

    def reservations(self) -> list[tuple[str, Interval]]:
        """Clips that wait for the end of their interval."""
        return [(clip_id, pin.reserved) for clip_id, pin in self._pins.items() if pin.reserved is not None]

    def extend(self, clip_id: str, sequence: int) -> None:
        """A reserved clip also needs this segment."""
        pin = self._pins[clip_id]
        self.put(clip_id, Pin(pin.sequences | {sequence}, pin.reserved, pin.result))
