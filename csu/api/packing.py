"""Answers compressed with gzip (RFC 1952) for who accepts it: JSON as a whole, events one by one."""

import asyncio
import re
import zlib

from aiohttp import web

_WORTH_BYTES = 2000
_LARGE_BYTES = 64_000
_GZIP = re.compile(r"gzip(;q=(0\.0*[1-9]\d*|1(\.0*)?))?", re.ASCII)
_GZIP_WINDOW_BITS = 16 + 13
_MEMORY_LEVEL = 6
"""64 kB a stream (zlib.h, deflateInit2), which costs 5 % of size beside zlib's own 256 kB."""


def accepts_gzip(request: web.BaseRequest) -> bool:
    """Whether gzip is among what the client accepts (RFC 9110 §12.5.3)."""
    codings = [coding.replace(" ", "").lower() for coding in request.headers.get("Accept-Encoding", "").split(",")]
    return any(_GZIP.fullmatch(coding) for coding in codings)


def pack_json(request: web.BaseRequest, response: web.StreamResponse) -> web.StreamResponse:
    """Have an answer of JSON compressed where that is worth it; aiohttp does so with long ones in a thread."""
    is_packed = "Content-Encoding" in response.headers
    if isinstance(response, web.Response) and response.content_type == "application/json" and not is_packed:
        response.headers["Vary"] = "Accept-Encoding"
        if isinstance(response.body, bytes) and len(response.body) >= _WORTH_BYTES and accepts_gzip(request):
            response.enable_compression(web.ContentCoding.gzip)
    return response


class EventPacker:
    """Compresses a stream so that each piece can be read as soon as it has come (zlib's Z_SYNC_FLUSH)."""

    def __init__(self, request: web.BaseRequest) -> None:
        is_packed = accepts_gzip(request)
        self.headers = {"Vary": "Accept-Encoding"} | ({"Content-Encoding": "gzip"} if is_packed else {})
        self._packer = zlib.compressobj(wbits=_GZIP_WINDOW_BITS, memLevel=_MEMORY_LEVEL) if is_packed else None

    async def pack(self, data: bytes) -> bytes:
        """A piece."""
        return await asyncio.to_thread(self._pack, data) if len(data) > _LARGE_BYTES else self._pack(data)

    def _pack(self, data: bytes) -> bytes:
        if self._packer is None:
            return data
        return self._packer.compress(data) + self._packer.flush(zlib.Z_SYNC_FLUSH)

    def end(self) -> bytes:
        """What belongs behind the last piece."""
        return b"" if self._packer is None else self._packer.flush()
