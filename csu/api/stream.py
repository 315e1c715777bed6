"""Server-sent events (WHATWG HTML §9.2): what happens, as it happens; and the older stream of JSON lines.

A page that is slow, or hidden, gets the newest state of each unit and not each state on the way: of a unit one
summary waits at most, of all other things a bounded number. Who does not take even those is ended, connects again,
and begins with the whole fleet.
"""

import asyncio
import json
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aiohttp import web

from csu import stored_units
from csu.api.input import NoQuery, UnitQuery, read_query
from csu.api.packing import EventPacker
from csu.api.ports import Parts
from csu.api.route import Answer, Route
from csu.errors import RequestRefusedError
from csu.feed import TOO_SLOW

PING_INTERVAL_S = 15.0
_WRITE_TIMEOUT_S = 30.0
_MAX_WAITING = 500
_MAX_STREAMS = 120
"""Of the connections that are held at once: open pages must not keep everybody else out."""
_STEP_US = 2_000_000
_SHOWN = ("command", "clip", "alarm", "service", "unit-removed")
"""Kinds of the feed that are events of the stream under the same name; `unit` is one more."""


class Outbox:
    """What one page has still to hear; filled on the event loop by the feed."""

    def __init__(self) -> None:
        self._units: dict[str, dict[str, Any]] = {}
        self._others: deque[dict[str, Any]] = deque()
        self._arrived = asyncio.Event()
        self.is_over = False
        """The feed ended, or more waits here than a page may be behind."""

    def put(self, item: dict[str, Any] | None) -> None:
        """Take an item; None is the feed's end."""
        if item is None or len(self._others) >= _MAX_WAITING:
            self.is_over = True
        elif item.get("kind") == "unit":
            self._units[str(item.get("unit_id"))] = item
        elif item.get("kind") in _SHOWN:
            if item["kind"] == "unit-removed":  # what waits of it would come after its end
                self._units.pop(str(item.get("unit_id")), None)
            self._others.append(item)
        else:
            return
        self._arrived.set()

    async def take(self) -> list[dict[str, Any]]:
        """All that waits, once something does; nothing when it is over."""
        await self._arrived.wait()
        self._arrived.clear()
        items = [*self._others, *self._units.values()]
        self._others.clear()
        self._units.clear()
        return items


def frame_of(event: str, data: object) -> bytes:
    """One event; JSON has no line ends of its own, so its data is one line."""
    return f"event: {event}\ndata: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}\n\n".encode()


class StreamRoutes:
    """Handlers."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._open = 0

    def routes(self) -> tuple[Route, ...]:
        """As the table of `csu.api` has them."""
        words = "`hello` (fleet), then `unit`, `unit-removed`, `alarm`, `command`, `clip`, `service` as they come."
        events = Answer(None, content_type="text/event-stream", description=words)
        lines = Answer(None, content_type="application/x-ndjson", description="A JSON object a line.")
        return (
            Route("GET", "/v1/stream", self._stream, "What happens, for pages", events, NoQuery),
            Route("GET", "/v1/watch", self._watch, "What happens, for programs", lines, UnitQuery, None, (404,)),
        )

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        read_query(NoQuery, request)
        with self._place():
            return await self._tell(request)

    @contextmanager
    def _place(self) -> Iterator[None]:
        """One of the places that there are for what has no end."""
        if self._open >= _MAX_STREAMS:
            raise RequestRefusedError("unavailable", f"{self._open} streams are open, no more are served", 503)
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1

    def _ahead_us(self) -> int:
        """Moves when the wall clock is set."""
        return self._parts.clock.wall_us() - self._parts.clock.monotonic_us()

    async def _tell(self, request: web.Request) -> web.StreamResponse:
        outbox, ahead_us = Outbox(), self._ahead_us()
        # Listening first: what changes while the fleet is looked at is told after it.
        with self._parts.feed.follow(outbox.put):
            fleet = await self._parts.fleet.view()
            packer = EventPacker(request)
            headers = {"Content-Type": "text/event-stream", "Cache-Control": "no-store"} | packer.headers
            response = web.StreamResponse(headers=headers)
            await response.prepare(request)
            await _write(response, await packer.pack(frame_of("hello", fleet.to_object())))
            # A page tells ages by the time in `hello`: after a step of this machine's clock it needs another one.
            while not outbox.is_over and abs(self._ahead_us() - ahead_us) < _STEP_US:
                await _write(response, await packer.pack(await _next(outbox)))
            await _write(response, packer.end())
        return response

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        unit_id = read_query(UnitQuery, request).unit_id
        if unit_id is not None:
            await self._parts.registry.run(stored_units.load_unit, unit_id)
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        with self._place(), self._parts.feed.watch() as queue:
            await response.prepare(request)
            while True:
                try:
                    async with asyncio.timeout(PING_INTERVAL_S):
                        item = await queue.get()
                except TimeoutError:
                    await _write(response, b"\n")
                    continue
                if item is None:
                    return response
                if unit_id in {None, item.get("unit_id")} or item is TOO_SLOW:
                    await _write(response, json.dumps(item, ensure_ascii=False).encode() + b"\n")


async def _next(outbox: Outbox) -> bytes:
    """The next events together, or a comment that shows that the connection lives."""
    try:
        async with asyncio.timeout(PING_INTERVAL_S):
            items = await outbox.take()
    except TimeoutError:
        return b": ping\n\n"
    return b"".join(
        frame_of(str(item["kind"]), {name: value for name, value in item.items() if name != "kind"}) for item in items
    )


async def _write(response: web.StreamResponse, data: bytes) -> None:
    """Write; a reader that takes nothing for long is let go."""
    try:
        async with asyncio.timeout(_WRITE_TIMEOUT_S):
            await response.write(data)
    except TimeoutError as error:
        raise ConnectionError("the reader takes nothing") from error
