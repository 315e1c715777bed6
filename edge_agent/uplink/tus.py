"""tus 1.0.0 from the unit's side: create, ask the offset, append, terminate; answers become errors of the tree.

https://tus.io/protocols/resumable-upload. What is retried and what is not is decided here, once:

| answer | error |
|---|---|
| transport error, time-out, 408, 409, 423, 425, 429, 5xx, an answer that makes no sense | TransferInterruptedError |
| 404, 410 of an upload that was created; one whose length or name is not what was declared | TransferLostError |
| 401: the first in a row (the clock may be wrong: see upload_token) | TransferInterruptedError |
| 413: the request is too large, or all of the upload | TransferTooLargeError |
| any other 4xx, 3xx, a `Location` on another origin | TransferRefusedError, with the server's words |
"""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from edge_agent.clock import Clock
from edge_agent.contract.errors import ContractError
from edge_agent.contract.upload import TUS_VERSION, UploadMetadata, origin_of
from edge_agent.errors import (
    TransferInterruptedError,
    TransferLostError,
    TransferRefusedError,
    TransferTooLargeError,
)
from edge_agent.uplink.blocks import ChunkBody
from edge_agent.uplink.paced_sending import PacedSending
from edge_agent.uplink.upload_token import UploadTokens

MAX_WORDS = 500
MAX_RETRY_AFTER_S = 600.0
_MAX_WORDS_BYTES = 4096
_RETRIED = frozenset({408, 409, 423, 425, 429})
_LOST = frozenset({404, 410})


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long the unit waits for an ingest."""

    connect_s: float = 15.0
    answer_s: float = 30.0
    """For the answer to a request without a body."""
    stall_s: float = 30.0
    """A PATCH of which nothing more was acknowledged for so long is dropped, and resumed."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers and the first words of a body."""

    status: int
    headers: Mapping[str, str]
    words: str


class TusClient:
    """Talks about the uploads of one clip."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        tokens: UploadTokens,
        clock: Clock,
        timeouts: Timeouts,
        pacing: PacedSending | None = None,
    ) -> None:
        self._session = session
        self._tokens = tokens
        self._clock = clock
        self._timeouts = timeouts
        self._pacing = pacing
        self._unauthorised = 0

    async def create(self, url: str, length_bytes: int, metadata: UploadMetadata) -> tuple[str, int]:
        """Create an upload: its URL, and the offset to begin at (0 unless the ingest knows the file already).

        Raises:
            TransferRefusedError, TransferInterruptedError: see the module.
        """
        headers = {"Upload-Length": str(length_bytes), "Upload-Metadata": metadata.to_header()}
        answer = await self._ask("POST", url, headers)
        if answer.status in _LOST:
            raise TransferRefusedError(f"there is no ingest at {url}: {answer.status} {answer.words}")
        self._check(answer, {201})
        location = _location(url, answer.headers.get("Location"))
        return location, _offset(answer) if "Upload-Offset" in answer.headers else 0

    async def offset(self, location: str, length_bytes: int, metadata: UploadMetadata) -> int:
        """How many bytes the ingest holds.

        Args:
            location: the upload's URL.
            length_bytes: that it was created with, which the ingest repeats (tus 1.0.0, HEAD).
            metadata: as above.

        Raises:
            TransferLostError, TransferRefusedError, TransferInterruptedError: see the module.
        """
        answer = await self._ask("HEAD", location, {})
        self._check(answer, {200, 204})
        declared = answer.headers.get("Upload-Length", str(length_bytes))
        if declared != str(length_bytes):
            raise TransferLostError(f"the ingest expects {declared:.20} bytes of a file of {length_bytes}")
        if _metadata(answer) not in {None, metadata}:
            raise TransferLostError("the ingest calls the upload something else")
        return _offset(answer)

    async def append(self, location: str, offset: int, body: ChunkBody) -> int:
        """Send a chunk; how many bytes the ingest holds then.

        Raises:
            FormatError: the chunk's bytes are gone.
            TransferLostError, TransferRefusedError, TransferInterruptedError: see the module.
        """
        answer = await self._send_paced(location, offset, body)
        self._check(answer, {200, 204})
        reached = _offset(answer)
        if not offset < reached <= offset + (body.size or 0):
            raise TransferInterruptedError(f"the ingest answered offset {reached} to {body.size} bytes at {offset}")
        return reached

    async def terminate(self, location: str) -> None:
        """Have the ingest forget an upload (termination extension); one that it does not know is forgotten.

        Raises:
            TransferRefusedError, TransferInterruptedError: see the module.
        """
        answer = await self._ask("DELETE", location, {})
        if answer.status not in _LOST:
            self._check(answer, {200, 204})

    async def _ask(self, method: str, url: str, headers: dict[str, str]) -> Answer:
        """A request without a body."""
        limits = aiohttp.ClientTimeout(total=self._timeouts.answer_s, sock_connect=self._timeouts.connect_s)
        try:
            async with self._session.request(
                method,
                URL(url, encoded=True),
                headers=self._headers(url, headers),
                timeout=limits,
                allow_redirects=False,
            ) as response:
                return Answer(response.status, response.headers, await _words(response))
        except (aiohttp.ClientError, ssl.SSLError, OSError) as error:
            raise _interrupted(method, error) from error

    async def _send_paced(self, location: str, offset: int, body: ChunkBody) -> Answer:
        if self._pacing is None:
            return await self._send(location, offset, body)
        with self._pacing.request() as pacing:
            body.on_begin = pacing.begin
            return await self._send(location, offset, body)

    async def _send(self, location: str, offset: int, body: ChunkBody) -> Answer:
        headers = self._headers(location, {"Upload-Offset": str(offset), "Content-Type": body.content_type})
        limits = aiohttp.ClientTimeout(total=None, sock_connect=self._timeouts.connect_s, sock_read=None)
        try:
            async with asyncio.timeout(self._timeouts.stall_s) as scope:
                watch = _StallWatch(body, scope, self._timeouts.stall_s)
                try:
                    async with self._session.patch(
                        URL(location, encoded=True), data=body, headers=headers, timeout=limits, allow_redirects=False
                    ) as response:
                        return Answer(response.status, response.headers, await _words(response))
                finally:
                    watch.stop()
        except (aiohttp.ClientError, ssl.SSLError, OSError) as error:
            if isinstance(body.failure, ContractError):
                raise body.failure from error
            raise _interrupted("PATCH", error) from error

    def _headers(self, url: str, headers: Mapping[str, str]) -> "CIMultiDict[str]":
        merged: CIMultiDict[str] = CIMultiDict(headers)
        merged["Tus-Resumable"] = TUS_VERSION
        merged["Authorization"] = self._tokens.authorization(origin_of(url))
        return merged

    def _check(self, answer: Answer, expected: set[int]) -> None:
        if answer.status in expected:
            self._unauthorised = 0
            return
        told = f"the ingest answered {answer.status}: {answer.words}" if answer.words else f"status {answer.status}"
        if answer.status in _LOST:
            raise TransferLostError(told)
        if answer.status == 401:
            self._tokens.note_refusal(answer.headers.get("Date"))
            self._note_unauthorised(told)
        if answer.status in _RETRIED or answer.status >= 500 or answer.status < 300:
            raise TransferInterruptedError(told, self._retry_after_s(answer.headers.get("Retry-After")))
        if answer.status == 413:
            raise TransferTooLargeError(told)
        raise TransferRefusedError(told)

    def _note_unauthorised(self, told: str) -> None:
        self._unauthorised += 1
        if self._unauthorised == 1:
            raise TransferInterruptedError(f"{told}; tried once more with a fresh token")

    def _retry_after_s(self, value: str | None) -> float | None:
        """Seconds or a date (RFC 9110 §10.2.3), capped; None for anything else."""
        if value is None:
            return None
        try:
            seconds = float(value) if value.isdigit() else self._seconds_until(value)
        except (ValueError, OverflowError):
            return None
        return min(max(seconds, 0.0), MAX_RETRY_AFTER_S)

    def _seconds_until(self, date: str) -> float:
        return parsedate_to_datetime(date).timestamp() - self._clock.wall_us() / 1e6


class _StallWatch:
    """Moves a time-out forward for as long as the other end acknowledges bytes."""

    def __init__(self, body: ChunkBody, scope: asyncio.Timeout, stall_s: float) -> None:
        self._body = body
        self._scope = scope
        self._stall_s = stall_s
        self._seen_bytes = 0
        self._loop = asyncio.get_running_loop()
        self._next = self._loop.call_later(stall_s / 10, self._look)

    def _look(self) -> None:
        if self._scope.expired():
            return
        progress_bytes = self._body.progress_bytes()
        if progress_bytes != self._seen_bytes:
            self._seen_bytes = progress_bytes
            self._scope.reschedule(self._loop.time() + self._stall_s)
        self._next = self._loop.call_later(self._stall_s / 10, self._look)

    def stop(self) -> None:
        self._next.cancel()


def _interrupted(method: str, error: Exception) -> TransferInterruptedError:
    text = _clean(str(error)) or "no answer in time"
    return TransferInterruptedError(f"{method}: {type(error).__name__}: {text}")


def _offset(answer: Answer) -> int:
    text = answer.headers.get("Upload-Offset", "")
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise TransferInterruptedError(f"the ingest answered {answer.status} without an Upload-Offset")
    return int(text)


def _metadata(answer: Answer) -> UploadMetadata | None:
    """None when the ingest does not repeat it, or not in a form that can be compared."""
    try:
        return UploadMetadata.from_header(answer.headers.get("Upload-Metadata", ""))
    except ContractError:
        return None


def _location(url: str, location: str | None) -> str:
    """The upload's URL; it must not lead to another origin than the one that the unit was given (RFC 3986 §5)."""
    if not location:
        raise TransferRefusedError("the ingest answered 201 without a Location")
    try:
        resolved = str(URL(url, encoded=True).join(URL(location, encoded=True)))
        same = origin_of(resolved) == origin_of(url)
    except ValueError as error:
        raise TransferRefusedError(f"the ingest's Location {location!r:.200} is not a URL") from error
    if not same:
        raise TransferRefusedError(f"the ingest's Location {location!r:.200} is on another origin than {url}")
    return resolved


async def _words(response: aiohttp.ClientResponse) -> str:
    """The beginning of an answer's body as one clean line; of success nothing is kept."""
    read = bytearray()
    while len(read) < _MAX_WORDS_BYTES and (data := await response.content.read(_MAX_WORDS_BYTES - len(read))):
        read += data
    if not response.content.at_eof():
        response.close()
    return _clean(read.decode("utf-8", "replace"))


def _clean(text: str) -> str:
    printable = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(printable.split())[:MAX_WORDS]
