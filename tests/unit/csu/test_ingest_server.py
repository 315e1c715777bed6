"""What the ingest's socket bears."""

import asyncio
import errno
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from aiohttp import web

from csu.ingest import Ingest
from csu.ingest_connections import Connections
from csu.ingest_server import IngestServer
from edge_agent.clock import SystemClock
from edge_agent.contract.jws import TrustedKeys
from tests.support.authority import make_authority
from tests.support.polling import until

REQUEST = b"OPTIONS /files/ HTTP/1.1\r\nHost: a\r\n\r\n"


async def no_keys(_unit_id: str) -> TrustedKeys | None:
    return None


async def nothing(*, unit_id: str, clip_id: str, folder: Path) -> None:
    raise AssertionError((unit_id, clip_id, folder))


@asynccontextmanager
async def listening(
    directory: Path,
    max_connections: int,
    head_s: float,
    context: ssl.SSLContext | None = None,
    answer_s: float = 60.0,
) -> AsyncIterator[str]:
    ingest = Ingest(directory, no_keys, nothing, SystemClock())
    server = IngestServer(
        ingest, ssl_context=context, max_connections=max_connections, head_s=head_s, answer_s=answer_s
    )
    url = await server.start()
    try:
        yield url
    finally:
        await server.stop()


async def opened(
    url: str, words: bytes, context: ssl.SSLContext | None = None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(url).port, ssl=context)
    writer.write(words)
    return reader, writer


async def options(url: str, context: ssl.SSLContext | None = None) -> int:
    """The status of an answer; 0 for none."""
    async with aiohttp.ClientSession() as session:
        try:
            async with session.options(url, ssl=context or True) as response:
                return response.status
        except aiohttp.ClientError:
            return 0


async def test_half_a_head_is_not_waited_for(tmp_path: Path) -> None:
    async with listening(tmp_path, 10, head_s=0.3) as url:
        reader, writer = await opened(url, b"OPTIONS /files/ HT")
        async with asyncio.timeout(20):
            assert await reader.read() == b""
        writer.close()


async def test_a_connection_that_spoke_in_time_stays(tmp_path: Path) -> None:
    async with listening(tmp_path, 10, head_s=0.3) as url:
        reader, writer = await opened(url, REQUEST)
        late, late_writer = await opened(url, b"OPTIONS")
        async with asyncio.timeout(20):
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 204")
            assert await late.read() == b""  # its time, which began later, is over
            writer.write(REQUEST)
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 204")
        writer.close()
        late_writer.close()


async def test_one_connection_too_many_is_closed_and_others_come_in_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, go_on = asyncio.Semaphore(0), asyncio.Event()
    answer = Ingest._options

    async def slow(ingest: Ingest, request: web.Request) -> web.Response:
        asked.release()
        await go_on.wait()
        return await answer(ingest, request)

    monkeypatch.setattr(Ingest, "_options", slow)
    async with listening(tmp_path, 2, head_s=60) as url:
        held = [await opened(url, REQUEST) for _ in range(2)]
        async with asyncio.timeout(20):
            for _ in held:
                await asked.acquire()
        assert await options(url) == 0
        go_on.set()
        async with asyncio.timeout(20):
            for reader, _ in held:
                assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 204")
        assert await options(url) == 204
        for _, writer in held:
            writer.close()


@pytest.mark.parametrize("words", [b"OPTIONS", REQUEST], ids=["before-a-request", "between-requests"])
async def test_who_is_idle_makes_room(tmp_path: Path, words: bytes) -> None:
    async with listening(tmp_path, 2, head_s=60) as url:
        idle = [await opened(url, words) for _ in range(2)]
        if words == REQUEST:
            for reader, _ in idle:
                await reader.readuntil(b"\r\n\r\n")
        assert await options(url) == 204
        async with asyncio.timeout(20):
            assert await idle[0][0].read() == b""
        for _, writer in idle:
            writer.close()


async def ask_only(asking: socket.socket, url: str) -> None:
    """Ask and ask and read nothing, until neither side can send any more."""
    loop = asyncio.get_running_loop()
    await loop.sock_connect(asking, ("127.0.0.1", urlsplit(url).port))
    with suppress(TimeoutError):
        while True:
            async with asyncio.timeout(1):
                await loop.sock_sendall(asking, REQUEST * 500)


async def ask_until_reset(asking: socket.socket, url: str) -> None:
    """Ask, read nothing, and see now and then whether the connection still stands."""
    await ask_only(asking, url)
    async with asyncio.timeout(60):
        while True:
            await asyncio.get_running_loop().sock_sendall(asking, REQUEST)


def reluctant() -> socket.socket:
    """A socket that takes little of what it is sent."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    connection.setblocking(False)
    return connection


async def test_answers_that_nobody_reads_keep_nobody_out(tmp_path: Path) -> None:
    async with listening(tmp_path, 2, head_s=60) as url:
        with reluctant() as one, reluctant() as other:
            for connection in (one, other):
                await ask_only(connection, url)
            for _ in range(4):
                assert await options(url) == 204


async def test_an_answer_is_not_kept_for_ever(tmp_path: Path) -> None:
    async with listening(tmp_path, 2, head_s=60, answer_s=0.5) as url:
        with reluctant() as silent, pytest.raises(ConnectionError):
            await ask_until_reset(silent, url)


async def test_who_is_put_out_is_gone_over_tls_too(
    tmp_path: Path, contexts: tuple[ssl.SSLContext, ssl.SSLContext], begun: list[Connections]
) -> None:
    ours, theirs = contexts
    async with listening(tmp_path / "csu", 3, head_s=60, context=ours) as url:
        # They never answer the closing words of TLS, for which an end in order would wait.
        silent = [await asyncio.to_thread(handshaken, url, theirs) for _ in range(12)]
        await until(lambda: begun[0]._taken() <= 3, what="end of those that were put out")
        assert await options(url, theirs) == 204
        for connection in silent:
            connection.close()


def handshaken(url: str, context: ssl.SSLContext) -> ssl.SSLSocket:
    connection = socket.create_connection(("127.0.0.1", urlsplit(url).port or 0))
    return context.wrap_socket(connection, server_hostname="127.0.0.1")


async def test_a_connection_is_counted_once_while_it_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begun: list[Connections]
) -> None:
    taken: list[int] = []
    made = web.RequestHandler.connection_made

    def look(handler: web.RequestHandler, transport: asyncio.BaseTransport) -> None:
        made(handler, transport)
        taken.append(begun[0]._taken())

    monkeypatch.setattr(web.RequestHandler, "connection_made", look)
    async with listening(tmp_path, 2, head_s=60) as url:
        assert await options(url) == 204
    assert taken == [1]


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[Connections]:
    """What accepts connections, once it does."""
    begun: list[Connections] = []
    begin = Connections.begin

    def noted(connections: Connections) -> None:
        begun.append(connections)
        begin(connections)

    monkeypatch.setattr(Connections, "begin", noted)
    return begun


@pytest.fixture
def contexts(tmp_path: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The ingest's and a client's."""
    authority = make_authority(tmp_path / "ca")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("ingest"))
    return context, ssl.create_default_context(cafile=str(authority.file))


async def test_handshakes_that_say_nothing_keep_nobody_out(
    tmp_path: Path, contexts: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    ours, theirs = contexts
    async with listening(tmp_path / "csu", 3, head_s=60, context=ours) as url:
        silent = [await opened(url, b"\x16") for _ in range(8)]
        async with asyncio.timeout(20):
            for reader, _ in silent[:5]:
                assert await reader.read() == b""
        assert await options(url, theirs) == 204
        for _, writer in silent:
            writer.close()


async def test_a_handshake_that_fails_takes_no_place(
    tmp_path: Path, contexts: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    ours, theirs = contexts
    async with listening(tmp_path / "csu", 2, head_s=60, context=ours) as url:
        silent, silent_writer = await opened(url, b"\x16")
        for _ in range(3):
            reader, writer = await opened(url, b"GET / HTTP/1.0\r\n\r\n")
            async with asyncio.timeout(20):
                await reader.read()
            writer.close()
        assert await options(url, theirs) == 204
        assert not silent.at_eof()
        silent_writer.close()


async def test_a_want_of_descriptors_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failures = [OSError(errno.EMFILE, "too many open files: so the test wants it")]

    class Wanting(socket.socket):
        def accept(self) -> tuple[socket.socket, Any]:
            if failures:
                raise failures.pop()
            return super().accept()

    bind = IngestServer._bind
    monkeypatch.setattr(IngestServer, "_bind", lambda server: Wanting(fileno=bind(server).detach()))
    async with listening(tmp_path, 2, head_s=60) as url:
        assert await options(url) == 204
    assert not failures
