"""A PATCH's body becomes bytes of a file: read in blocks, written in threads, synced before the answer."""

import asyncio
import os
import shutil
from pathlib import Path

from aiohttp import StreamReader, web

from csu.errors import UploadRefusedError
from csu.ingest_turn import Turn
from edge_agent.clock import Clock

_BLOCK_BYTES = 1 << 20
_BLOCK_AGE_US = 500_000
"""A slow sender's bytes are written so often."""
_SYNC_BYTES = 16 << 20
"""Syncing begins while more is still coming, so that the last sync, which the sender waits for, has little to do."""


class BodyWriter:
    """Appends one request's body to an upload's file.

    Blocks are written in order, each in a thread while the next one is read; at most two are in memory.
    """

    def __init__(self, path: Path, offset: int, clock: Clock, reserve_bytes: int = 0) -> None:
        self._path = path
        self._reserve_bytes = reserve_bytes
        self._clock = clock
        self._descriptor = -1
        self._offset = offset
        self._writing: asyncio.Task[None] | None = None
        self._syncing: asyncio.Task[None] | None = None
        self._sync_begun_at = offset

    @property
    def offset(self) -> int:
        """Size of the file."""
        return self._offset

    async def receive(self, body: StreamReader, turn: Turn, allowed_bytes: int, idle_s: float) -> None:
        """Read the body to its end; whatever happens, what came is written and synced when this returns or raises.

        Raises:
            UploadRefusedError: 413, the body is longer than `allowed_bytes` and what is beyond was not written; 408
                and 409 as `Turn.reading`; 400, the connection was lost or the body is malformed; 507, no more than
                the reserve is free.
            OSError: the storage refused.
        """
        await self._check_room()
        self._descriptor = await asyncio.to_thread(os.open, self._path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            await self._copy(body, turn, self._offset + allowed_bytes, idle_s)
        finally:
            # Shielded: were this task cancelled, the descriptor would be closed under a thread that writes.
            await asyncio.shield(asyncio.create_task(self._finish()))

    async def _copy(self, body: StreamReader, turn: Turn, end: int, idle_s: float) -> None:
        expected = self._offset
        while True:
            block: list[bytes] = []
            try:
                at_end = await self._collect(body, turn, block, idle_s)
            finally:
                expected += sum(map(len, block))
                if expected <= end:
                    await self._write(block)
            if expected > end:
                raise UploadRefusedError(413, "the body is longer than what the upload's length leaves")
            if at_end:
                return

    async def _collect(self, body: StreamReader, turn: Turn, block: list[bytes], idle_s: float) -> bool:
        """Fill a block; True at the body's end. What was read is in `block` even when this raises."""
        size_bytes = 0
        started_us = 0
        async with turn.reading(idle_s):
            while size_bytes < _BLOCK_BYTES:
                data = await _read(body)
                if not data:
                    return True
                block.append(data)
                size_bytes += len(data)
                now_us = self._clock.monotonic_us()
                started_us = started_us or now_us
                if now_us - started_us > _BLOCK_AGE_US:
                    break
        return False

    async def _write(self, block: list[bytes]) -> None:
        if self._writing is not None:
            await self._writing
        if block:
            self._writing = asyncio.create_task(asyncio.to_thread(self._write_block, block))
        await self._sync_now_and_then()

    async def _sync_now_and_then(self) -> None:
        if self._offset - self._sync_begun_at < _SYNC_BYTES:
            return
        if self._syncing is not None and not self._syncing.done():
            return
        if self._syncing is not None:
            await self._syncing
        await self._check_room()
        self._sync_begun_at = self._offset
        self._syncing = asyncio.create_task(asyncio.to_thread(os.fdatasync, self._descriptor))

    async def _check_room(self) -> None:
        """What was announced may be more than what there is; the reserve is never given away."""
        usage = await asyncio.to_thread(shutil.disk_usage, self._path.parent)
        if usage.free < self._reserve_bytes:
            raise UploadRefusedError(507, "no room at the centre; what came before is kept")

    def _write_block(self, block: list[bytes]) -> None:
        for data in block:
            view = memoryview(data)
            while view:
                written = os.pwrite(self._descriptor, view, self._offset)
                self._offset += written
                view = view[written:]

    async def _finish(self) -> None:
        tasks = [task for task in (self._writing, self._syncing) if task is not None]
        results = await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.to_thread(self._sync_and_close)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    def _sync_and_close(self) -> None:
        try:
            os.fdatasync(self._descriptor)
        finally:
            os.close(self._descriptor)


async def _read(body: StreamReader) -> bytes:
    try:
        return await body.readany()
    except (OSError, web.RequestPayloadError) as error:
        raise UploadRefusedError(400, f"the body ended early: {error}; what came before is kept") from error
