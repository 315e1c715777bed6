"""What the ingest's socket bears."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from csu.ingest import Ingest
from csu.ingest_server import IngestServer
from edge_agent.clock import SystemClock
from edge_agent.contract.jws import TrustedKeys


async def no_keys(_unit_id: str) -> TrustedKeys | None:
    return None


async def nothing(*, unit_id: str, clip_id: str, folder: Path) -> None:
    raise AssertionError((unit_id, clip_id, folder))


@asynccontextmanager
async def listening(directory: Path, max_connections: int, head_s: float) -> AsyncIterator[str]:
    ingest = Ingest(directory, no_keys, nothing, SystemClock())
    server = IngestServer(ingest, max_connections=max_connections, head_s=head_s)
    url = await server.start()
    try:
        yield url
    finally:
        await server.stop()


async def opened(url: str, words: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(url).port)
    writer.write(words)
    return reader, writer


async def options(url: str) -> int:
    async with aiohttp.ClientSession() as session:
        try:
            async with session.options(url) as response:
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
        request = b"OPTIONS /files/ HTTP/1.1\r\nHost: a\r\n\r\n"
        reader, writer = await opened(url, request)
        late, late_writer = await opened(url, b"OPTIONS")
        async with asyncio.timeout(20):
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 204")
            assert await late.read() == b""  # its time, which began later, is over
            writer.write(request)
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 204")
        writer.close()
        late_writer.close()


async def test_one_connection_too_many_is_closed_and_others_come_in_again(tmp_path: Path) -> None:
    async with listening(tmp_path, 2, head_s=60) as url:
        held = [await opened(url, b"OPTIONS") for _ in range(2)]
        statuses = [0]

        async def ask() -> None:
            statuses.append(await options(url))

        await ask()
        assert statuses[-1] == 0
        for _, writer in held:
            writer.close()
            await writer.wait_closed()
        async with asyncio.timeout(20):
            while statuses[-1] != 204:
                await ask()
