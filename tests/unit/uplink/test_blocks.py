"""Bytes on their way out and their digest."""

import asyncio
import hashlib
import os

import pytest
from aiohttp.abc import AbstractStreamWriter
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.errors import FormatError
from edge_agent.uplink.blocks import BLOCK_BYTES, ChunkBody, RunningDigest, TextSource

CONTENT = os.urandom(3 * BLOCK_BYTES + 77)


class Collected(AbstractStreamWriter):
    """A stream writer that keeps what is written."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.largest_piece_bytes = 0

    async def write(self, chunk: bytes | bytearray | memoryview) -> None:
        self.data += chunk
        self.largest_piece_bytes = max(self.largest_piece_bytes, len(chunk))
        await asyncio.sleep(0)

    async def write_eof(self, chunk: bytes = b"") -> None:
        raise AssertionError("the request ends the body, not its source")

    async def drain(self) -> None:
        raise AssertionError("writing drains")

    def enable_compression(self, encoding: str = "deflate", strategy: int | None = None) -> None:
        raise AssertionError("footage does not compress")

    def enable_chunking(self) -> None:
        raise AssertionError("the length is known")

    async def write_headers(self, status_line: str, headers: object) -> None:
        raise AssertionError("the request writes headers")


@pytest.mark.parametrize("size_bytes", [1, BLOCK_BYTES, BLOCK_BYTES + 1, len(CONTENT)])
async def test_a_chunk_is_sent_in_pieces_and_digested(size_bytes: int) -> None:
    source = TextSource(CONTENT[:size_bytes])
    digest = RunningDigest(source)
    writer = Collected()
    await ChunkBody(source, digest, 0, size_bytes).write(writer)
    assert writer.data == CONTENT[:size_bytes]
    assert writer.largest_piece_bytes <= BLOCK_BYTES
    assert digest.finish() == hashlib.sha256(CONTENT[:size_bytes]).hexdigest()


async def test_a_chunk_begins_where_it_is_told() -> None:
    writer = Collected()
    await ChunkBody(TextSource(CONTENT), None, 1000, BLOCK_BYTES).write(writer)
    assert writer.data == CONTENT[1000 : 1000 + BLOCK_BYTES]


async def test_bytes_that_are_gone_are_remembered_as_the_cause() -> None:
    class Gone(TextSource):
        def read(self, offset: int, size: int) -> bytes:
            raise FormatError("segments/1.mp4: gone")

    body = ChunkBody(Gone(CONTENT), None, 0, 10)
    with pytest.raises(FormatError):
        await body.write(Collected())
    assert isinstance(body.failure, FormatError)


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(1, 100)), max_size=20))
def test_the_digest_is_right_whatever_was_sent_twice_or_before(blocks: list[tuple[int, int]]) -> None:
    content = CONTENT[:100]
    digest = RunningDigest(TextSource(content))
    for offset, size in blocks:
        digest.feed(offset, content[offset : offset + size])
    assert digest.finish() == hashlib.sha256(content).hexdigest()
