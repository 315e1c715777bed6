"""A TCP proxy that misbehaves on request: delay, throttle, corrupt, cut, half-open, canned answers.

It runs in a thread with a loop of its own, so that synchronous and asynchronous tests use it alike. Attributes may be
set at any time; they hold for open connections too, but for `canned`, which is taken an entry a new connection.
"""

import asyncio
import ssl
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
        corrupt_to_server, corrupt_to_client: a pattern that is laid over what passes, again and again; bits that are
            set in it are inverted: `bytes(999) + b"\x01"` changes one bit in a thousand bytes.
        canned: an entry a new connection: an answer to its first request, after which it is closed; `hang` reads and
            never answers; `close` closes at the first bytes. When empty, connections are forwarded.
        to_server_bytes, to_client_bytes: forwarded so far.
        connections: accepted so far.
        cuts: made by `cut` and `cut_after_bytes`.
    """

    def __init__(
        self, host: str, port: int, listen: tuple[str, int] = ("127.0.0.1", 0), tls: ssl.SSLContext | None = None
    ) -> None:
        """With `tls` clients speak TLS to it, and the server behind it does not."""
        self._target = host, port
        self._listen = listen
        self._tls = tls
        self.corrupt_to_server = self.corrupt_to_client = b""
        self._corrupted = {True: 0, False: 0}
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
        self._clients: set[asyncio.StreamWriter] = set()
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

    def strand(self) -> None:
        """Reset every client; the server is told nothing and believes in their connections as long as it likes."""
        self._loop.call_soon_threadsafe(self._strand)

    def _strand(self) -> None:
        self._frozen.update(self._open)
        for writer in list(self._clients):
            writer.transport.abort()

    def _cut(self) -> None:
        self.cuts += 1
        for writer in list(self._open):
            writer.transport.abort()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._accept, *self._listen, ssl=self._tls)
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
        self._clients.add(writer)
        try:
            if self.refuse:
                writer.transport.abort()
            elif self.canned:
                await self._answer(self.canned.popleft(), reader, writer)
            else:
                await self._forward(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            writer.transport.abort()
        except asyncio.CancelledError:  # the proxy ends; Python 3.11 complains of handlers that were cancelled
            writer.transport.abort()
        finally:
            self._open.discard(writer)
            self._clients.discard(writer)
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
            if server_writer in self._frozen:  # a client that gave up does not end the server's side
                await self._stop.wait()
        finally:
            self._open.discard(server_writer)
            server_writer.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, up: bool) -> None:
        while data := await reader.read(_BLOCK_BYTES):
            await asyncio.sleep(self.delay_s)
            if writer in self._frozen:
                await self._stop.wait()
            allowed = self._corrupt(self._allowed(data, up=up), up=up)
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

    def _corrupt(self, data: bytes, *, up: bool) -> bytes:
        pattern = self.corrupt_to_server if up else self.corrupt_to_client
        begin, self._corrupted[up] = self._corrupted[up], self._corrupted[up] + len(data)
        if not pattern:
            return data
        return bytes(byte ^ pattern[(begin + place) % len(pattern)] for place, byte in enumerate(data))

    def _allowed(self, data: bytes, *, up: bool) -> bytes:
        if not up or self.cut_after_bytes is None:
            return data
        if len(data) < self.cut_after_bytes:
            self.cut_after_bytes -= len(data)
            return data
        allowed, self.cut_after_bytes = data[: self.cut_after_bytes - 1], None
        return allowed
