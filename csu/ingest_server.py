"""Serving the ingest on a socket, with the limits that a public upload server needs."""

import asyncio
import socket
import ssl

from aiohttp import web

from csu.ingest import PREFIX, Ingest

_KEEPALIVE_S = 75.0
_LINGER_S = 2.0
"""After a refusal, so long is a body that is still coming read and thrown away, so that the answer is not lost to a
reset of the connection (RFC 9112 §9.6)."""
_READ_BUFFER_BYTES = 1 << 19
_SHUTDOWN_S = 3.0


class IngestServer:
    """One listening socket in front of an ingest."""

    def __init__(
        self, ingest: Ingest, host: str = "127.0.0.1", port: int = 0, ssl_context: ssl.SSLContext | None = None
    ) -> None:
        self._ingest = ingest
        self._host = host
        self._port = port
        self._ssl = ssl_context
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
            await web.SockSite(self._runner, listening, ssl_context=self._ssl).start()
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

    def _bind(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        return socket.create_server((self._host, self._port), family=family, backlog=128)

    async def stop(self) -> None:
        """Stop listening, end open requests (what they brought is stored) and background work."""
        await self._runner.cleanup()
