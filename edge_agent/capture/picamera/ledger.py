"""Which picture an encoder's output is: its capture time, found again by the sensor's stamp."""

import threading
from collections import deque

_MAX_UNDER_WAY = 256
_NEAR_US = 500
"""picamera2 divides nanoseconds as a float; and half a millisecond is nearer than any two pictures."""


class Ledger:
    """Pictures that one encoder took, in order; any thread may call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # protects what follows
        self._under_way: deque[tuple[int, int]] = deque(maxlen=_MAX_UNDER_WAY)
        self._owed = 0
        self._given = 0

    @property
    def owed(self) -> int:
        """Pictures that the encoder took since it last gave one."""
        with self._lock:
            return self._owed

    @property
    def given(self) -> int:
        """Pictures that it gave."""
        with self._lock:
            return self._given

    def note(self, sensor_us: int, capture_us: int) -> None:
        """The encoder is given a picture."""
        with self._lock:
            self._under_way.append((sensor_us, capture_us))
            self._owed += 1

    def find(self, sensor_us: int) -> int | None:
        """`capture_us` of the picture with this stamp; those before it were skipped by the encoder."""
        with self._lock:
            self._owed = 0
            self._given += 1
            while self._under_way and self._under_way[0][0] < sensor_us - _NEAR_US:
                self._under_way.popleft()
            if not self._under_way or self._under_way[0][0] > sensor_us + _NEAR_US:
                return None
            return self._under_way.popleft()[1]
