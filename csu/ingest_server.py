"""Serving the ingest on a socket, with the limits that a public upload server needs."""

import asyncio
import socket
import ssl
from typing import cast

from aiohttp import web

from csu.ingest import PREFIX, Handler, Ingest
from csu.ingest_connections import Connections

_KEEPALIVE_S = 75.0
_LINGER_S = 2.0
"""After a refusal, so long is a body that is still coming read and thrown away, so that the answer is not lost to a
reset of the connection (RFC 9112 §9.6)."""
_READ_BUFFER_BYTES = 1 << 19
_SHUTDOWN_S = 3.0
_BACKLOG = 128
_MAX_CONNECTIONS = 400
"""With a file for each body, below the 1024 descriptors that a process may have by default."""
_HEAD_S = 15.0
"""From the connection to the first whole head of a request."""
_ANSWER_S = _KEEPALIVE_S + _HEAD_S
"""From there being an answer to the next whole head of a request; who reads no answer keeps a place no longer."""


class IngestServer:
    """One listening socket in front of an ingest."""

    def __init__(
        self,
        ingest: Ingest,
        host: str = "127.0.0.1",
        port: int = 0,
        ssl_context: ssl.SSLContext | None = None,
        *,
        max_connections: int = _MAX_CONNECTIONS,
        head_s: float = _HEAD_S,
        answer_s: float = _ANSWER_S,
    ) -> None:
        self._ingest = ingest
        self._host = host
        self._port = port
        self._ssl = ssl_context
        self._max_connections = max_connections
        self._head_s = head_s
        self._answer_s = answer_s
        self._connections: Connections | None = None
        ingest.app.middlewares.append(self._hold)
        self._runner = web.AppRunner(
            ingest.app,
            access_log=None,
            keepalive_timeout=_KEEPALIVE_S,
            lingering_time=_LINGER_S,
            read_bufsize=_READ_BUFFER_BYTES,
            shutdown_timeout=_SHUTDOWN_S,
        )

    async def start(self) -> str:
        """Listen; the creation URL as seen from this machine, whose origin is accepted in tokens from now on.

        Raises:
            OSError: the address is not free, or the directory cannot be read.
        """
        # Bound first: an address that is not free is known before any background work has begun.
        listening = await asyncio.to_thread(self._bind)
        try:
            await self._runner.setup()
            self._listen(listening)
        except BaseException:
            listening.close()
            await self._runner.cleanup()
            raise
        port = listening.getsockname()[1]
        scheme = "https" if self._ssl is not None else "http"
        host = f"[{self._host}]" if ":" in self._host else self._host
        url = f"{scheme}://{host}:{port}{PREFIX}"
        self._ingest.add_origin(url)
        return url

    def _listen(self, listening: socket.socket) -> None:
        server = cast("web.Server", self._runner.server)  # there is one since `setup`
        self._connections = Connections(
            server,
            listening,
            self._ssl,
            max_connections=self._max_connections,
            head_s=self._head_s,
            answer_s=self._answer_s,
        )
        self._connections.begin()

    @web.middleware
    async def _hold(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Keep the connection while its request is in work."""
        if self._connections is None:
            return await handler(request)
        with self._connections.in_work(request.protocol):
            return await handler(request)

    def _bind(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        return socket.create_server((self._host, self._port), family=family, backlog=_BACKLOG)

    async def stop(self) -> None:
        """Stop listening, end open requests (what they brought is stored) and background work."""
        if self._connections is not None:
            await self._connections.end()
        await self._runner.cleanup()
