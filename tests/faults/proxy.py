"""A TCP proxy that misbehaves on request: delay, throttle, cut after so many bytes, half-open, canned answers.

It runs in a thread with a loop of its own, so that synchronous and asynchronous tests use it alike. Attributes may be
set at any time; they hold for open connections too, but for `canned`, which is taken an entry a new connection.
"""

import asyncio
import threading
from collections import deque
from types import TracebackType
from typing import Literal, Self

_BLOCK_BYTES = 16_384
_START_S = 10.0

Canned = bytes | Literal["hang", "close"]


class Proxy:
    """Forwards connections on an ephemeral port of the loopback, or on `listen`, to `host:port`.

    Attributes:
        delay_s: before each forwarded block.
        throttle_bytes_per_s: of each direction of each connection; 0 for no limit.
        cut_after_bytes: so many bytes more go to the server, then every connection is reset, once.
        refuse: new connections are reset at once.
        canned: an entry a new connection: an answer to its first request, after which it is closed; `hang` reads and
            never answers; `close` closes at the first bytes. When empty, connections are forwarded.
        to_server_bytes, to_client_bytes: forwarded so far.
        connections: accepted so far.
        cuts: made by `cut` and `cut_after_bytes`.
    """

    def __init__(self, host: str, port: int, listen: tuple[str, int] = ("127.0.0.1", 0)) -> None:
        self._target = host, port
        self._listen = listen
        self.delay_s = 0.0
        self.throttle_bytes_per_s = 0
        self.cut_after_bytes: int | None = None
        self.refuse = False
        self.canned: deque[Canned] = deque()
        self.to_server_bytes = 0
        self.to_client_bytes = 0
        self.connections = 0
        self.cuts = 0
        self.port = 0
        self._frozen: set[asyncio.StreamWriter] = set()
        self._open: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(_START_S), "the proxy did not start"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(_START_S)
        self._loop.close()

    def cut(self) -> None:
        """Reset every open connection."""
        self._loop.call_soon_threadsafe(self._cut)

    def freeze(self) -> None:
        """Leave open connections half-open: nothing is forwarded on them any more, neither end hears of it."""
        self._loop.call_soon_threadsafe(lambda: self._frozen.update(self._open))

    def _cut(self) -> None:
        self.cuts += 1
        for writer in list(self._open):
            writer.transport.abort()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._accept, *self._listen)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        for writer in list(self._open):
            writer.transport.abort()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._open.add(writer)
        try:
            if self.refuse:
                writer.transport.abort()
            elif self.canned:
                await self._answer(self.canned.popleft(), reader, writer)
            else:
                await self._forward(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            writer.transport.abort()
        finally:
            self._open.discard(writer)
            writer.close()

    async def _answer(self, canned: Canned, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if canned == "hang":
            while await reader.read(_BLOCK_BYTES):
                continue
        elif canned == "close":
            await reader.read(1)
        else:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(bytes(canned))
            await writer.drain()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection(*self._target)
        self._open.add(server_writer)
        try:
            pumps = [self._pump(reader, server_writer, up=True), self._pump(server_reader, writer, up=False)]
            tasks = [asyncio.create_task(pump) for pump in pumps]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            self._open.discard(server_writer)
            server_writer.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, up: bool) -> None:
        while data := await reader.read(_BLOCK_BYTES):
            await asyncio.sleep(self.delay_s)
            if writer in self._frozen:
                await self._stop.wait()
            allowed = self._allowed(data, up=up)
            writer.write(allowed)
            await writer.drain()
            if up:
                self.to_server_bytes += len(allowed)
            else:
                self.to_client_bytes += len(allowed)
            if len(allowed) < len(data):
                await asyncio.sleep(0.05)  # what was forwarded reaches the server before the reset does
                self._cut()
                return
            if self.throttle_bytes_per_s:
                await asyncio.sleep(len(data) / self.throttle_bytes_per_s)

    def _allowed(self, data: bytes, *, up: bool) -> bytes:
        if not up or self.cut_after_bytes is None:
            return data
        if len(data) < self.cut_after_bytes:
            self.cut_after_bytes -= len(data)
            return data
        allowed, self.cut_after_bytes = data[: self.cut_after_bytes - 1], None
        return allowed
