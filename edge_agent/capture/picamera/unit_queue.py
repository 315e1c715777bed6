"""Encoded pictures on their way from picamera2's threads to the recorder's; bounded, and never waited for.

picamera2's software encoder calls its output on the camera's own thread with the camera's lock held: an output that
waits holds the camera up, and one that raises ends it. So what finds no room is left out, by whole groups of
pictures, and counted.
"""

import threading
from collections import deque
from dataclasses import dataclass
from typing import Literal

StreamName = Literal["main", "lores"]

MAX_UNITS = 512
"""Of a stream; 20 s at 25 pictures/s."""


@dataclass(frozen=True, slots=True)
class Unit:
    """An encoded picture.

    Attributes:
        stream: of which size.
        data: Annex B.
        is_key: decoding can begin here.
        capture_us: monotonic time at which it was taken.
        arrival_us: monotonic time at which the encoder gave it.
    """

    stream: StreamName
    data: bytes
    is_key: bool
    capture_us: int
    arrival_us: int


class UnitQueue:
    """Any thread puts, any thread takes; each stream has room of its own."""

    def __init__(self, max_bytes: int) -> None:
        """`max_bytes` is the room of a stream; a larger picture is taken alone."""
        self.urgent = threading.Event()
        """Set when something is worth being taken at once: a key frame completes the group before it."""
        self._max_bytes = max_bytes
        self._lock = threading.Lock()  # protects what follows
        self._units: deque[Unit] = deque()
        self._bytes: dict[StreamName, int] = {"main": 0, "lores": 0}
        self._counts: dict[StreamName, int] = {"main": 0, "lores": 0}
        self._leaving_out: set[StreamName] = set()
        self._left_out: dict[StreamName, int] = {"main": 0, "lores": 0}

    def put(self, unit: Unit) -> bool:
        """Put a picture, unless there is no room or the beginning of its group was left out; whether it was put."""
        stream = unit.stream
        with self._lock:
            fits = self._bytes[stream] + len(unit.data) <= self._max_bytes and self._counts[stream] < MAX_UNITS
            has_room = fits or not self._counts[stream]  # one larger than all the room would never be recorded
            is_whole = unit.is_key or stream not in self._leaving_out
            if not (has_room and is_whole):
                self._leaving_out.add(stream)
                self._left_out[stream] += 1
                return False
            self._leaving_out.discard(stream)
            self._units.append(unit)
            self._bytes[stream] += len(unit.data)
            self._counts[stream] += 1
        if unit.is_key:
            self.urgent.set()
        return True

    def take_all(self) -> list[Unit]:
        """All that is there, oldest first."""
        with self._lock:
            units = list(self._units)
            self._units.clear()
            self._bytes = {"main": 0, "lores": 0}
            self._counts = {"main": 0, "lores": 0}
            self.urgent.clear()
        return units

    def left_out(self, stream: StreamName) -> int:
        """Pictures of a stream that were left out so far."""
        with self._lock:
            return self._left_out[stream]
