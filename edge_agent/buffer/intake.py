"""The bounded queue between a camera and the disk.

Putting never blocks, and it wakes the writer only where a fragment may end: a picture that goes into the midst of
one waits until the next key frame, or until the writer's own time is over (a wake a picture cost as much as muxing).

When the disk falls behind by more than the limits, whole groups of pictures are left out,
oldest first, so that what is kept can be decoded and is the newest; the writer is told of the hole and its cause.
"""

import threading
from collections import deque
from dataclasses import dataclass

from edge_agent.contract.access_unit import AccessUnit, CodecConfig, GapCause

MAX_UNITS = 8192

_UNIT_OVERHEAD_BYTES = 200  # a small unit's own objects


@dataclass(frozen=True, slots=True)
class StreamStarted:
    """A continuous stream begins."""

    config: CodecConfig
    cause: GapCause


@dataclass(frozen=True, slots=True)
class StreamEnded:
    """The stream ended."""

    cause: GapCause
    detail: str


@dataclass(frozen=True, slots=True)
class Hole:
    """Units were left out here; the next one is a key frame."""

    cause: GapCause


Item = StreamStarted | StreamEnded | Hole | AccessUnit


class Intake:
    """The queue; any thread may put, one takes.

    Args:
        max_bytes: of units that wait, beyond which groups of pictures are left out.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._changed = threading.Condition()  # protects everything below
        self._items: deque[Item] = deque()
        self._size_bytes = 0
        self._units = 0
        self._dropped_units = 0
        self._awaits_key = False
        self._stopped = False
        self._is_due = False  # what waits is to be taken now
        self._wants_any = False  # the taker waits for any item
        self._cause: GapCause = "overload"

    @property
    def dropped_units(self) -> int:
        """Units left out since the start."""
        with self._changed:
            return self._dropped_units

    @property
    def size_bytes(self) -> int:
        """Bytes of the units that wait."""
        with self._changed:
            return self._size_bytes

    @property
    def is_empty(self) -> bool:
        """Nothing waits."""
        with self._changed:
            return not self._items

    @property
    def is_stopped(self) -> bool:
        """`stop` was called."""
        with self._changed:
            return self._stopped

    def set_cause(self, cause: GapCause) -> None:
        """Why holes come about from now on: `overload`, or `storage-error` while the storage refuses."""
        with self._changed:
            self._cause = cause

    def put(self, item: StreamStarted | StreamEnded) -> None:
        """A stream began or ended."""
        with self._changed:
            self._awaits_key = False
            self._items.append(item)
            self._call_taker()

    def put_unit(self, unit: AccessUnit) -> None:
        """The next unit; it may push older ones out."""
        with self._changed:
            if self._awaits_key and not unit.is_key:
                self._dropped_units += 1
                return
            self._awaits_key = False
            self._items.append(unit)
            self._size_bytes += _cost(unit)
            self._units += 1
            if self._size_bytes > self._max_bytes or self._units > MAX_UNITS:
                self._make_room()
            if unit.is_key or self._wants_any:
                self._call_taker()

    def _call_taker(self) -> None:
        self._is_due = True
        self._changed.notify()

    def get(self, timeout_s: float, *, eager: bool = True) -> Item | None:
        """The next item; None when none came in time, or when the intake is stopped and empty.

        Args:
            timeout_s: the longest wait.
            eager: wait for any item; else only for a key frame, for the begin or end of a stream, or for the time
                to be over. What waits by then comes item by item without further waiting.
        """
        with self._changed:
            if not self._is_due and not self._stopped and not (eager and self._items):
                self._wants_any = eager
                self._changed.wait(timeout_s)
                self._wants_any = False
            self._is_due = len(self._items) > 1
            if not self._items:
                return None
            item = self._items.popleft()
            if isinstance(item, AccessUnit):
                self._size_bytes -= _cost(item)
                self._units -= 1
            return item

    def wait_stopped(self, timeout_s: float) -> bool:
        """Wait until `stop` or for so long; whether it is stopped."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped, timeout_s)
            return self._stopped

    def stop(self) -> None:
        """Nothing more is coming: waiting takers wake up."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _make_room(self) -> None:
        """Leave out the oldest whole groups until half of the room is free; control items stay in their places."""
        kept: deque[Item] = deque()
        skipping = True
        for item in self._items:
            if not isinstance(item, AccessUnit):
                kept.append(item)
                continue
            fits = self._size_bytes <= self._max_bytes // 2 and self._units <= MAX_UNITS // 2
            if skipping and item.is_key and fits:
                skipping = False
                kept.append(Hole(self._cause))
            if skipping:
                self._size_bytes -= _cost(item)
                self._units -= 1
                self._dropped_units += 1
            else:
                kept.append(item)
        if skipping:
            kept.append(Hole(self._cause))
            self._awaits_key = True
        self._items = kept


def _cost(unit: AccessUnit) -> int:
    return len(unit.data) + _UNIT_OVERHEAD_BYTES
