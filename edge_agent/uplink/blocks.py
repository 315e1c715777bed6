"""Bytes on their way out: read in threads a block ahead, digested on the way, written no faster than they leave.

Memory is bounded by three blocks an upload whatever the size of a chunk. A block is one hop to a thread, which reads
and digests it while the previous one is being sent.
"""

import asyncio
import fcntl
import hashlib
import termios
import threading
from array import array
from collections.abc import AsyncIterator, Callable
from typing import Protocol

from aiohttp import Payload
from aiohttp.abc import AbstractStreamWriter

from edge_agent.contract.upload import PATCH_CONTENT_TYPE

BLOCK_BYTES = 1 << 20


class ByteSource(Protocol):
    """What is uploaded: `edge_agent.buffer.clip.reader.PartReader`, or a manifest's text."""

    length_bytes: int

    def read(self, offset: int, size: int) -> bytes:
        """The bytes `[offset, offset + size)`; blocks.

        Raises:
            FormatError: they are gone.
        """
        ...

    def close(self) -> None:
        """Let go of files."""
        ...


class TextSource:
    """A manifest as a byte source."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.length_bytes = len(content)

    def read(self, offset: int, size: int) -> bytes:
        """The bytes `[offset, offset + size)`."""
        return self._content[offset : offset + size]

    def close(self) -> None:
        """Nothing is open."""


class RunningDigest:
    """SHA-256 of a source, fed as its bytes are sent; whatever was not fed is read once more.

    Bytes that are sent twice after a cut are digested once. A digest in mid-way does not outlive the process, so the
    beginning of an upload that another process made is read again.

    Calls may come from several threads: a request that was dropped leaves its last read behind.
    """

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self._lock = threading.Lock()  # protects digest and position, which move together
        self._digest = hashlib.sha256()
        self._position = 0

    def feed(self, offset: int, block: bytes) -> None:
        """Digest what of this block is next; blocks beyond that are left for `catch_up`."""
        with self._lock:
            begin = self._position - offset
            if 0 <= begin < len(block):
                self._digest.update(memoryview(block)[begin:])
                self._position = offset + len(block)

    def catch_up(self, offset: int) -> None:
        """Read and digest what lies before `offset` and was not digested yet; blocks.

        Raises:
            FormatError: the bytes are gone.
        """
        while (position := self._position) < offset:
            self.feed(position, self._source.read(position, min(BLOCK_BYTES, offset - position)))

    def finish(self) -> str:
        """The digest of the whole source, hex; blocks.

        Raises:
            FormatError: the bytes are gone.
        """
        self.catch_up(self._source.length_bytes)
        return self._digest.hexdigest()


class ChunkBody(Payload):
    """The body of one PATCH: `size_bytes` of a source from `offset` on.

    `failure` holds what reading raised: aiohttp wraps it into an error of the connection. `on_begin` is called with
    the connection before the first byte.
    """

    _autoclose = True

    def __init__(self, source: ByteSource, digest: RunningDigest | None, offset: int, size_bytes: int) -> None:
        super().__init__(source, content_type=PATCH_CONTENT_TYPE)
        self._size = size_bytes
        self._source = source
        self._digest = digest
        self._offset = offset
        self._writer: AbstractStreamWriter | None = None
        self._written_bytes = 0
        self.failure: Exception | None = None
        self.on_begin: Callable[[asyncio.WriteTransport], None] | None = None

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:  # noqa: ARG002 -- aiohttp's signature
        """A body that is streamed has no text.

        Raises:
            TypeError: always.
        """
        raise TypeError("the body of an upload is not text")

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Send the chunk."""
        await self.write_with_length(writer, None)

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """Send the chunk.

        Raises:
            ValueError: another length was declared than the chunk has.
        """
        if content_length not in {None, self._size}:
            raise ValueError(f"Content-Length {content_length} for a chunk of {self._size} bytes")
        self._consumed = True
        self._writer = writer
        try:
            # A block waits until the one before it is in the kernel: appending to what waits would copy it.
            # Not 0, at which a TLS transport of asyncio pauses for ever.
            if writer.transport is not None:
                writer.transport.set_write_buffer_limits(high=1)
                if self.on_begin is not None:
                    self.on_begin(writer.transport)
            async for block in self._blocks():
                self._written_bytes += len(block)
                await writer.write(block)
        except Exception as error:
            self.failure = error
            raise

    async def _blocks(self) -> AsyncIterator[bytes]:
        """Blocks in order, each read while the previous one is sent."""
        end = self._offset + (self._size or 0)
        offsets = range(self._offset, end, BLOCK_BYTES)
        reading = self._begin_reading(offsets[0], end)
        try:
            for following in offsets[1:]:
                block = await reading
                reading = self._begin_reading(following, end)
                yield block
            yield await reading
        finally:
            reading.cancel()

    def _begin_reading(self, offset: int, end: int) -> asyncio.Task[bytes]:
        return asyncio.create_task(asyncio.to_thread(self._read, offset, min(BLOCK_BYTES, end - offset)))

    def _read(self, offset: int, size_bytes: int) -> bytes:
        block = self._source.read(offset, size_bytes)
        if self._digest is not None:
            self._digest.feed(offset, block)
        return block

    def progress_bytes(self) -> int:
        """How much the other end of the connection has acknowledged; only ever compared with itself.

        What waits in this process and in the kernel (SIOCOUTQ, tcp(7)) is taken off, so that a slow link that drains
        a full buffer is not mistaken for a dead one.
        """
        transport = self._writer.transport if self._writer is not None else None
        if transport is None or transport.is_closing():
            return self._written_bytes
        waiting = array("i", [0])
        fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, waiting)
        return self._written_bytes - transport.get_write_buffer_size() - waiting[0]
