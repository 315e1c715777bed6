"""One range of one file, or all of it, from a descriptor (RFC 9110 §13, §14).

aiohttp's `FileResponse` opens by a path (and what lies beside it with `.gz`), takes `If-Range` for a date only, and
answers ranges of an unknown kind with 416; a player that goes on in another version of a file would get bytes of
both. So ranges and conditions are decided here.
"""

import asyncio
import os
import re
from dataclasses import dataclass

from aiohttp import web

from csu.errors import RequestRefusedError

_RANGE = re.compile(r"bytes=\s*(?:(\d{1,18})-(\d{0,18})|-(\d{1,18}))\s*", re.ASCII)
_CHUNK_BYTES = 1 << 18
_STALL_S = 60.0
"""A reader who takes nothing for so long is let go; a player that is paused asks again."""


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes of a file."""

    offset: int
    length_bytes: int


class FileAnswer:
    """Answers with a regular file that is open; the descriptor stays the caller's."""

    def __init__(self, descriptor: int, headers: dict[str, str]) -> None:
        self._descriptor = descriptor
        self._headers = headers

    async def send(self, request: web.Request) -> web.StreamResponse:
        """Answer a GET or HEAD.

        Raises:
            RequestRefusedError: a condition does not hold (412), or the range lies behind the end (416).
        """
        status = os.fstat(self._descriptor)
        etag = f'"{status.st_mtime_ns:x}-{status.st_size:x}"'
        headers = self._headers | {"ETag": etag, "Accept-Ranges": "bytes", "Cache-Control": "private, no-store"}
        if not _names(request.headers.get("If-Match", "*"), etag):
            raise RequestRefusedError("changed", "the file is not the one that If-Match names", 412)
        if _names(request.headers.get("If-None-Match", "").replace("W/", ""), etag):
            return web.Response(status=304, headers={"ETag": etag})
        span = None
        if request.method == "GET" and request.headers.get("If-Range", etag) == etag:
            span = span_of(request.headers.get("Range"), status.st_size)
        whole = Span(0, status.st_size)
        response = web.StreamResponse(status=200 if span is None else 206, headers=headers)
        if span is not None:
            last = span.offset + span.length_bytes - 1
            response.headers["Content-Range"] = f"bytes {span.offset}-{last}/{status.st_size}"
        return await self._send(request, response, span or whole)

    async def _send(self, request: web.Request, response: web.StreamResponse, span: Span) -> web.StreamResponse:
        response.content_length = span.length_bytes
        await response.prepare(request)
        if request.method != "HEAD":
            try:
                async with asyncio.timeout(None) as deadline:
                    await self._write(response, span, deadline)
            except (OSError, TimeoutError) as error:  # too late for an answer that says so
                raise ConnectionError(f"the file breaks off: {error}") from error
        await response.write_eof()
        return response

    async def _write(self, response: web.StreamResponse, span: Span, deadline: asyncio.Timeout) -> None:
        loop = asyncio.get_running_loop()
        offset, end = span.offset, span.offset + span.length_bytes
        while offset < end:
            data = await asyncio.to_thread(os.pread, self._descriptor, min(_CHUNK_BYTES, end - offset), offset)
            if not data:
                raise ConnectionError("it became shorter while it was sent")
            deadline.reschedule(loop.time() + _STALL_S)
            await response.write(data)
            offset += len(data)


def span_of(header: str | None, size_bytes: int) -> Span | None:
    """What a `Range` header asks for; None: all of it.

    A header of another unit, of several ranges, or that cannot be read is passed over, which RFC 9110 §14.2 allows.

    Raises:
        RequestRefusedError: it lies behind the end (§15.5.17).
    """
    match = _RANGE.fullmatch(header or "")
    if match is None:
        return None
    first, last, suffix = match.groups()
    if suffix is not None:
        offset, end = max(0, size_bytes - int(suffix)), size_bytes
    else:
        offset, end = int(first), min(size_bytes, int(last) + 1) if last else size_bytes
        if last and int(last) < offset:
            return None
    if offset >= end:
        words = f"the file has {size_bytes} bytes"
        raise RequestRefusedError("range-unsatisfiable", words, 416, {"Content-Range": f"bytes */{size_bytes}"})
    return Span(offset, end - offset)


def _names(tags: str, etag: str) -> bool:
    """Whether a list of entity tags (RFC 9110 §8.8.3) names this one, or any."""
    return any(tag.strip() in {"*", etag} for tag in tags.split(","))
