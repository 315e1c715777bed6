"""What happens, as it happens, for whoever watches: bounded queues, a watcher that does not keep up is cut off."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_MAX_BEHIND = 500
TOO_SLOW = {"error": {"code": "too-slow", "message": "more happened than this connection took: watch again"}}
"""The last thing that a watcher hears who does not keep up."""


Take = Callable[[dict[str, Any] | None], None]
"""Takes an item at once and without waiting; None is the feed's end."""


class Feed:
    """Publishes JSON objects `{"kind", "unit_id", "at", …}` to every watcher; used on the event loop only."""

    def __init__(self) -> None:
        self._watchers: set[asyncio.Queue[dict[str, Any] | None]] = set()
        self._followers: list[Take] = []

    def publish(self, item: dict[str, Any]) -> None:
        """Hand an item to every watcher; one whose queue is full is told so, and its end."""
        for queue in list(self._watchers):
            if queue.full():
                self._watchers.discard(queue)
                _end(queue, TOO_SLOW)
            else:
                queue.put_nowait(item)
        for take in list(self._followers):
            take(item)

    def listen(self, take: Callable[[dict[str, Any]], None]) -> None:
        """Hand every item from now on to a part of the service that lives as long as this."""
        self._followers.append(lambda item: None if item is None else take(item))

    @contextmanager
    def follow(self, take: Take) -> Iterator[None]:
        """Hand every item from now on to a follower, who bounds by itself what waits."""
        self._followers.append(take)
        try:
            yield
        finally:
            self._followers.remove(take)

    @contextmanager
    def watch(self) -> Iterator[asyncio.Queue[dict[str, Any] | None]]:
        """A queue of all items from now on; None in it is its end."""
        queue: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue(_MAX_BEHIND)
        self._watchers.add(queue)
        try:
            yield queue
        finally:
            self._watchers.discard(queue)

    def close(self) -> None:
        """End every watcher and follower."""
        for take in list(self._followers):
            take(None)
        for queue in list(self._watchers):
            self._watchers.discard(queue)
            _end(queue)


def _end(queue: asyncio.Queue[dict[str, Any] | None], *last: dict[str, Any]) -> None:
    """Put last words and the end into a queue, in the place of older items where it is full."""
    for item in (*last, None):
        if queue.full():
            queue.get_nowait()
        queue.put_nowait(item)
