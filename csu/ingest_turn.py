"""One request at a time works on an upload, and the newest one wins.

A unit whose connection was cut comes back while the server still believes in the old connection; were the old PATCH
to keep the upload, the unit would wait until the server gave up. So a newer request drops the older one: its
body is read no further, what it brought is stored, then the newer one goes on. (tusd does the same since 2.0.)

What concerns a whole clip (a creation, a removal, noting its arrival) waits for its turn instead: `Exclusive`. Who
needs both takes the clip's first.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from csu.errors import UploadRefusedError

DROPPED = "a newer request took this upload over, or its unit was shut out; ask for its offset"


class Turn:
    """The right to work on an upload, until a newer request wants it."""

    def __init__(self) -> None:
        self.dropped = False
        self._scope: asyncio.Timeout | None = None

    def drop(self) -> None:
        """Take the right away: what is awaited inside `reading` ends."""
        self.dropped = True
        if self._scope is not None and not self._scope.expired():
            self._scope.reschedule(asyncio.get_running_loop().time())

    @asynccontextmanager
    async def reading(self, idle_s: float) -> AsyncIterator[None]:
        """Bound what is awaited inside.

        Raises:
            UploadRefusedError: 409, the turn was dropped; 408, `idle_s` is over.
        """
        if self.dropped:
            raise UploadRefusedError(409, DROPPED)
        try:
            async with asyncio.timeout(idle_s) as self._scope:
                yield
        except TimeoutError as error:
            if self.dropped:
                raise UploadRefusedError(409, DROPPED) from error
            raise UploadRefusedError(408, f"nothing came for {idle_s:.0f} s; what came before is kept") from error
        finally:
            self._scope = None


class _Gate:
    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.newest: Turn | None = None
        self.users = 0


class Exclusive:
    """Work on one key at a time, in the order in which it came; nobody is dropped."""

    def __init__(self) -> None:
        self._gates: dict[str, _Gate] = {}

    @asynccontextmanager
    async def alone(self, key: str) -> AsyncIterator[None]:
        """Wait until nobody else works on the key."""
        gate = self._gates.setdefault(key, _Gate())
        gate.users += 1
        try:
            async with gate.lock:
                yield
        finally:
            gate.users -= 1
            if gate.users == 0:
                del self._gates[key]


class Gates:
    """Turns of all uploads; an upload that nobody works on costs nothing."""

    def __init__(self) -> None:
        self._gates: dict[str, _Gate] = {}

    def is_busy(self, upload_id: str) -> bool:
        """Whether somebody works on the upload, or waits for their turn."""
        return upload_id in self._gates

    def drop(self, upload_id: str) -> None:
        """Take the upload from whoever works on it; what they brought is stored."""
        gate = self._gates.get(upload_id)
        if gate is not None and gate.newest is not None:
            gate.newest.drop()

    @asynccontextmanager
    async def turn(self, upload_id: str) -> AsyncIterator[Turn]:
        """Drop who works on the upload, wait until what it brought is stored, take its place.

        Raises:
            UploadRefusedError: 409, a still newer request came meanwhile.
        """
        gate = self._gates.setdefault(upload_id, _Gate())
        mine, older = Turn(), gate.newest
        gate.newest = mine
        gate.users += 1
        if older is not None:
            older.drop()
        try:
            async with gate.lock:
                if mine.dropped:
                    raise UploadRefusedError(409, DROPPED)
                yield mine
        finally:
            gate.users -= 1
            if gate.newest is mine:
                gate.newest = None
            if gate.users == 0:
                del self._gates[upload_id]
