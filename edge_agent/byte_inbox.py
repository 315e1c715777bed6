"""What one thread hands to another, bounded by its bytes: the giver asks for room first and then always succeeds."""

import threading
from collections import deque
from typing import Generic, TypeVar

Item = TypeVar("Item")


class ByteInbox(Generic[Item]):
    """One thread puts, one other takes; neither ever waits for a lock of the other's."""

    def __init__(self, max_bytes: int) -> None:
        """Empty; full from `max_bytes` on."""
        self._max_bytes = max_bytes
        self._items: deque[tuple[Item, int]] = deque()
        # Each written by one thread alone: a sum that both change would need a lock.
        self._put_bytes = 0
        self._taken_bytes = 0
        self._has_room = threading.Event()

    def __len__(self) -> int:
        """Items that wait."""
        return len(self._items)

    @property
    def is_full(self) -> bool:
        """Whether no more should be put."""
        return self._put_bytes - self._taken_bytes >= self._max_bytes

    def put(self, item: Item, size_bytes: int) -> None:
        """Append an item, also beyond the bound."""
        self._put_bytes += size_bytes
        self._items.append((item, size_bytes))

    def take(self) -> Item | None:
        """The oldest item; None when there is none."""
        if not self._items:
            return None
        item, size_bytes = self._items.popleft()
        self._taken_bytes += size_bytes
        if not self.is_full:
            self._has_room.set()
        return item

    def wait_for_room(self, timeout_s: float) -> None:
        """Return when there is room, or after `timeout_s`; blocks the thread that puts."""
        self._has_room.clear()
        if self.is_full:
            self._has_room.wait(timeout_s)
