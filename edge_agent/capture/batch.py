"""Packets on their way to the normaliser, several at a time.

A picture every 40 ms finds the processor's caches cold: dating one then takes ten times as long as dating the next
right behind it. So packets wait until a key frame comes, until the oldest waited for `HOLD_US`, or until somebody
asks for them (`hand_over`): the ring does before it closes a fragment because its time is over and before it tells
its figures, the supervisor before it shuts a silent attempt's gate. Nothing therefore is later on the disk than it
would have been.
"""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

HOLD_US = 1_000_000
MAX_HELD = 128
"""Packets; at 120 a second as long as `HOLD_US`."""
_PATIENCE_S = 0.2
"""A full batch takes a few milliseconds."""


class Batch(Generic[T]):
    """Holds back packets of any kind; `push` is one thread's, `hand_over` any thread's."""

    def __init__(self, take: Callable[[T], None]) -> None:
        """`take` gets every packet in order; no two calls of it overlap."""
        self._take = take
        self._lock = threading.Lock()  # protects what follows, and `take`
        self._held: list[T] = []
        self._oldest_us = 0
        self._failure: Exception | None = None

    @property
    def failure(self) -> Exception | None:
        """What `take` raised in `hand_over`, until a `push` told it."""
        with self._lock:
            return self._failure

    def push(self, packet: T, now_us: int, *, is_urgent: bool) -> None:
        """The next packet; `is_urgent` hands over at once.

        Raises:
            Exception: what `take` raised, now or when another thread had handed over; told once, as it would have
                been at the packet itself. What was held behind that packet is gone, as this one is.
        """
        with self._lock:
            failure, self._failure = self._failure, None
            if failure is not None:
                raise failure
            if not self._held:
                self._oldest_us = now_us
            self._held.append(packet)
            if is_urgent or now_us - self._oldest_us >= HOLD_US or len(self._held) >= MAX_HELD:
                self._take_all()

    def hand_over(self) -> None:
        """Hand over what is held, in any thread; raises nothing: a failure is the next `push`'s, and `failure`.

        While `take` hangs in another thread nothing is handed over: the writer, who asks, must not hang with it.
        """
        if not self._lock.acquire(timeout=_PATIENCE_S):
            return
        try:
            if self._failure is None:
                self._take_all()
        except Exception as error:  # noqa: BLE001 -- raised in the thread whose packets these are
            self._failure = error
        finally:
            self._lock.release()

    def _take_all(self) -> None:
        held, self._held = self._held, []
        for packet in held:
            self._take(packet)
