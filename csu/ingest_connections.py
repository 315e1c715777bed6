"""Connections from their acceptance on, TLS handshake included; bounded in number.

asyncio's own servers ask for a protocol before the handshake and tell it of its connection afterwards: what hangs in
its handshake is then seen by no bound. So the sockets are accepted here.

Where all places are taken, whoever has been idle longest makes room: in its handshake, before its first request, or
between two (a client of HTTP has to bear that, RFC 9112 §9.5). Being idle costs nothing, so that it would otherwise
keep everybody out. Nobody is put out whose request is in work; it is no longer once there is an answer to be read.

Who is put out is put out at once, by a reset: in order, a connection ends only when the other side has read what was
sent to it, and over TLS when it has said goodbye.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from aiohttp import web

_PAUSE_S = 1.0
"""After a failure to accept, which is a want of descriptors mostly."""

_GOODBYE_S = 5.0
"""For TLS's closing words, where a connection ends in order."""
_LEAVING = 16
"""Places beyond the bound, for those that were put out and are gone a few turns of the event loop later."""

_log = logging.getLogger(__name__)


class Protocols(Protocol):
    """What of an aiohttp server is needed here."""

    @property
    def connections(self) -> list[web.RequestHandler]:
        """Open ones."""
        ...

    def __call__(self) -> web.RequestHandler:
        """A protocol for one more."""
        ...


class Connections:
    """Accepts for an aiohttp server; used on the event loop.

    Args:
        server: makes the protocols; its connections are counted.
        listening: the socket, bound; closed by `end`.
        context: for TLS; None speaks plainly.
        max_connections: open ones at once.
        head_s: from the acceptance to the first whole head of a request.
        answer_s: from there being an answer to the next whole head; longer than the keep-alive, which begins when the
            answer has been taken.
    """

    def __init__(
        self,
        server: Protocols,
        listening: socket.socket,
        context: ssl.SSLContext | None,
        *,
        max_connections: int,
        head_s: float,
        answer_s: float,
    ) -> None:
        self._server = server
        self._listening = listening
        self._context = context
        self._max_connections = max_connections
        self._head_s = head_s
        self._answer_s = answer_s
        self._loop = asyncio.get_running_loop()
        self._idle: dict[web.RequestHandler, asyncio.TimerHandle] = {}
        """The longest idle first, each with the end of its time. Closed ones stay until they are looked at."""
        self._arriving: dict[web.RequestHandler, asyncio.Task[None]] = {}
        self._pause: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Accept from now on."""
        self._listening.setblocking(False)
        self._loop.add_reader(self._listening, self._accept)

    async def end(self) -> None:
        """Accept nothing more, and let go of who is idle."""
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._listening)
        self._listening.close()
        tasks = list(self._arriving.values())
        await asyncio.sleep(0)  # noqa: TID251 -- no time passes; a task closes its connection only once it has begun
        for handler in list(self._idle):
            self._let_go(handler)
        await asyncio.gather(*tasks, return_exceptions=True)

    @contextmanager
    def in_work(self, handler: web.RequestHandler) -> Iterator[None]:
        """A request of this connection is answered inside."""
        self._forget(handler)
        try:
            yield
        finally:
            self._idle[handler] = self._loop.call_later(self._answer_s, self._let_go, handler)

    def _accept(self) -> None:
        try:
            connection, _ = self._listening.accept()
        except (BlockingIOError, InterruptedError, ConnectionError):
            return  # it was gone already
        except OSError as error:
            _log.warning("connections wait for %.0f s: %s", _PAUSE_S, error)
            self._loop.remove_reader(self._listening)
            self._pause = self._loop.call_later(_PAUSE_S, self.begin)
            return
        if self._has_room():
            self._take(connection)
        else:
            connection.close()

    def _has_room(self) -> bool:
        if len(self._idle) > 2 * self._max_connections:
            for handler in [one for one in self._idle if not self._is_open(one)]:
                self._forget(handler)
        taken = self._taken()
        if taken < self._max_connections:
            return True
        longest = next((one for one in self._idle if self._is_open(one)), None)
        if longest is not None:
            self._let_go(longest)
        return longest is not None and taken < self._max_connections + _LEAVING

    def _taken(self) -> int:
        """Places taken; the server knows of a connection before its task here has ended, and it counts once."""
        return len(self._server.connections) + sum(handler.transport is None for handler in self._arriving)

    def _is_open(self, handler: web.RequestHandler) -> bool:
        return handler in self._arriving or handler.transport is not None

    def _take(self, connection: socket.socket) -> None:
        handler = self._server()
        self._idle[handler] = self._loop.call_later(self._head_s, self._let_go, handler)
        self._arriving[handler] = asyncio.create_task(self._arrive(handler, connection))

    async def _arrive(self, handler: web.RequestHandler, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(
                lambda: handler,
                connection,
                ssl=self._context,
                ssl_shutdown_timeout=None if self._context is None else _GOODBYE_S,
            )
        except OSError as error:  # ssl.SSLError is one
            _log.debug("a connection did not come about: %s", error)
            self._forget(handler)
        finally:
            del self._arriving[handler]

    def _let_go(self, handler: web.RequestHandler) -> None:
        self._forget(handler)
        arriving, transport = self._arriving.get(handler), handler.transport
        if transport is not None:
            handler.force_close()
            transport.abort()
        elif arriving is not None:
            arriving.cancel()

    def _forget(self, handler: web.RequestHandler) -> None:
        timer = self._idle.pop(handler, None)
        if timer is not None:
            timer.cancel()
