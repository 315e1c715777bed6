"""Serving the API on loopback: bounded in connections and in how long a request may take to come."""

import asyncio
import logging
import socket
from typing import cast

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from csu.api.application import Api
from csu.api.errors import answer_of_status, error_answer
from csu.api.guard import SECURITY_HEADERS
from csu.api.route import Handler
from csu.ingest_connections import Connections

_log = logging.getLogger(__name__)

_MAX_CONNECTIONS = 200
_KEEPALIVE_S = 75.0
_HEAD_S = 15.0
_ANSWER_S = _KEEPALIVE_S + _HEAD_S
_LINGER_S = 2.0
_SHUTDOWN_S = 1.0
_BACKLOG = 128


class _Protocol(web.RequestHandler):
    """Answers in the API's own words what never becomes a request: a head that cannot be read, or is too long."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer; the connection is over after it."""
        if isinstance(exc, ConnectionError):  # nobody is left to answer, and aiohttp would log a defect
            level = logging.DEBUG if isinstance(exc, ConnectionResetError | BrokenPipeError) else logging.WARNING
            _log.log(level, "an answer to %s breaks off: %s", request.path, exc)
            raise exc
        if not isinstance(exc, HttpProcessingError):
            return super().handle_error(request, status, exc, message)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer was begun already")
        words = (message or "").partition("\n")[0].rstrip(":")
        response = (
            answer_of_status(status, words)
            if status in {413, 414, 431}
            else error_answer("malformed", f"the request cannot be read: {words}", 400)
        )
        response.headers.update(SECURITY_HEADERS)
        response.force_close()
        return response


class _Protocols:
    """Makes the protocols of a server's connections; without an access log: an address may hold a ticket."""

    def __init__(self, server: web.Server) -> None:
        self._server = server
        self._loop = asyncio.get_running_loop()

    @property
    def connections(self) -> list[web.RequestHandler]:
        """Open ones."""
        return self._server.connections

    def __call__(self) -> web.RequestHandler:
        return _Protocol(
            self._server,
            loop=self._loop,
            keepalive_timeout=_KEEPALIVE_S,
            lingering_time=_LINGER_S,
            auto_decompress=False,
            access_log=None,  # type: ignore[arg-type]  # None is what aiohttp's own runner passes for none
        )


class ApiServer:
    """One listening socket in front of the API."""

    def __init__(self, api: Api, host: str, port: int, *, max_connections: int = _MAX_CONNECTIONS) -> None:
        self._host = host
        self._port = port
        self._max_connections = max_connections
        self._connections: Connections | None = None
        api.app.middlewares.insert(0, self._hold)
        self._runner = web.AppRunner(
            api.app, access_log=None, shutdown_timeout=_SHUTDOWN_S, handler_cancellation=True
        )

    async def start(self) -> str:
        """Listen; the URL.

        Raises:
            OSError: the address is not free.
        """
        listening = await asyncio.to_thread(
            socket.create_server, (self._host, self._port), family=socket.AF_INET, backlog=_BACKLOG
        )
        try:
            await self._runner.setup()
            server = cast("web.Server", self._runner.server)  # there is one since `setup`
            self._connections = Connections(
                _Protocols(server),
                listening,
                None,
                max_connections=self._max_connections,
                head_s=_HEAD_S,
                answer_s=_ANSWER_S,
            )
        except BaseException:
            listening.close()
            await self._runner.cleanup()
            raise
        self._connections.begin()
        return f"http://{self._host}:{listening.getsockname()[1]}"

    async def stop(self) -> None:
        """Stop listening and end open requests."""
        if self._connections is not None:
            await self._connections.end()
        await self._runner.cleanup()

    @web.middleware
    async def _hold(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Keep the connection while its request is in work."""
        if self._connections is None:
            return await handler(request)
        with self._connections.in_work(request.protocol):
            return await handler(request)
