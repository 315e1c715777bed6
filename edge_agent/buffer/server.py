"""The recorder's Unix socket: what others may ask of the ring (contract/ring_protocol.py).

It runs on the recorder's asyncio loop and never blocks it: each request is worked off in a small pool of threads
with a deadline. Connections, line lengths and waiting times are bounded, and a client that does not read its answer
is dropped, so that a link stopped in its tracks costs the recorder one connection and nothing else. What a client
asked and did not wait for is not begun: a plan that waited behind others would pin what its client released since.
A client that only ended its requests (shutdown(2), SHUT_WR) has not left: it gets its answers.
"""

import asyncio
import contextlib
import json
import logging
import os
import select
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from edge_agent.buffer.socket_path import socket_address
from edge_agent.contract.codes import ErrorCode
from edge_agent.contract.messages import CameraCoverage
from edge_agent.contract.model import ContractModel, canonical_json
from edge_agent.contract.names import Uuid
from edge_agent.contract.ring_protocol import (
    ClockOffer,
    CoveragePage,
    CoveragePageRequest,
    CoverageRequest,
    PlanRequest,
    PlanResult,
    PositionNotice,
    RecorderState,
    StillAnswer,
    StillRequest,
)
from edge_agent.errors import CaptureError, ContractError, RingError, RingRequestError

logger = logging.getLogger(__name__)

MAX_REQUEST_BYTES = 65_536
MAX_CONNECTIONS = 16
MAX_WAITING = 2 * MAX_CONNECTIONS
"""Requests in work; those of clients that were dropped still count until a worker finds them gone."""
MAX_STILLS = 2
"""In work or on their way to a client: one is many megabytes."""
SOCKET_MODE = 0o660

Told = TypeVar("Told", bound=ContractModel)
TakeStill = Callable[[StillRequest], StillAnswer]
"""Takes a picture; may wait as long as the request says, and raises `CaptureError` when there is none."""

_WORKERS = 2
_GONE = object()


def _nothing() -> None:
    """Of requests whose number is bounded by `MAX_WAITING` alone."""


class RingApi(Protocol):
    """What the server needs of a ring; every method may block and may be called from several threads."""

    def state_figures(self) -> RecorderState:
        """The recorder's figures."""
        ...

    def plan(self, request: PlanRequest) -> PlanResult:
        """Plan a clip and pin its segments."""
        ...

    def release(self, clip_id: str) -> bool:
        """Remove a plan and its pins."""
        ...

    def plans(self) -> list[str]:
        """Ids of the clips that have a plan."""
        ...

    def coverage(self, max_intervals: int) -> CameraCoverage:
        """What the ring holds."""
        ...

    def coverage_page(self, request: CoveragePageRequest) -> CoveragePage:
        """One page of footage and gaps."""
        ...

    def place(self, notice: PositionNotice) -> None:
        """Where the unit is."""
        ...

    def offer_clock(self, offer: ClockOffer) -> None:
        """GNSS time."""
        ...


class ReleaseRequest(ContractModel):
    """`release`."""

    clip_id: Uuid


class RingServer:
    """Serves one ring on one socket; start it on the recorder's loop, close it before the ring."""

    def __init__(
        self,
        ring: RingApi,
        socket_path: Path,
        request_timeout_s: float = 12.0,
        idle_timeout_s: float = 60.0,
        *,
        take_still: TakeStill | None = None,
    ) -> None:
        """Nothing is listened on yet; `take_still` is None of a ring whose pictures another one has too."""
        self.socket_path = socket_path
        self._ring = ring
        self._request_timeout_s = request_timeout_s
        self._idle_timeout_s = idle_timeout_s
        self._server: asyncio.Server | None = None
        self._writers: dict[asyncio.StreamWriter, None] = {}  # the one that asked longest ago first
        self._pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="ring-request")
        # A still waits for the camera: what is asked of the ring meanwhile is answered by the other threads.
        self._still_pool = ThreadPoolExecutor(1, thread_name_prefix="still")
        self._waiting = 0
        self._stills = 0
        self._operations: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "state": lambda _: ring.state_figures().to_object(),
            "plan": lambda body: ring.plan(PlanRequest.from_object(body)).to_object(),
            "release": lambda body: {"released": ring.release(ReleaseRequest.from_object(body).clip_id)},
            "plans": lambda _: {"clip_ids": ring.plans()},
            "coverage": lambda body: ring.coverage(CoverageRequest.from_object(body).max_intervals).to_object(),
            "coverage_query": lambda body: ring.coverage_page(CoveragePageRequest.from_object(body)).to_object(),
            "position": lambda body: _taken(ring.place, PositionNotice.from_object(body)),
            "clock": lambda body: _taken(ring.offer_clock, ClockOffer.from_object(body)),
            "still": lambda body: _still(take_still, StillRequest.from_object(body)),
        }

    async def start(self) -> None:
        """Listen; a socket file that a killed recorder left is replaced (the caller owns the ring, so it is stale).

        Raises:
            OSError: the socket cannot be made.
        """
        listener = await asyncio.to_thread(_listen, self.socket_path)
        self._server = await asyncio.start_unix_server(self._serve, sock=listener, limit=MAX_REQUEST_BYTES)

    async def close(self) -> None:
        """Stop listening, drop every client, remove the socket file; requests in work end by themselves."""
        if self._server is not None:
            self._server.close()
        for writer in tuple(self._writers):
            writer.transport.abort()
        for pool in (self._pool, self._still_pool):
            pool.shutdown(wait=False, cancel_futures=True)
        with contextlib.suppress(OSError):  # the next start replaces it; the ring is still to be closed
            await asyncio.to_thread(self.socket_path.unlink, missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._writers) >= MAX_CONNECTIONS:
            # Clients that are stopped hold connections and ask nothing: who comes anew is served instead of them.
            oldest = next(iter(self._writers))
            del self._writers[oldest]
            oldest.transport.abort()
        self._writers[writer] = None
        try:
            while await self._serve_one(reader, writer):
                continue
        except (OSError, EOFError, TimeoutError):
            logger.debug("ring client left", exc_info=True)
        finally:
            self._writers.pop(writer, None)
            writer.transport.abort()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one line; False when the connection cannot go on."""
        async with asyncio.timeout(self._idle_timeout_s):
            try:
                line = await reader.readuntil(b"\n")
            except asyncio.LimitOverrunError:
                message = f"a request is a line of at most {MAX_REQUEST_BYTES} bytes"
                writer.write(_failure(ErrorCode.TOO_LARGE, message))
                await writer.drain()
                return False
        if self._writers.pop(writer, _GONE) is _GONE:
            return False
        self._writers[writer] = None
        try:
            body = _request_of(line)
        except RingRequestError as error:
            return await self._send(writer, _failure(error.code, str(error)))
        if body["op"] == "still":
            return await self._serve_still(writer, body)
        return await self._send(writer, await self._answer(self._pool, body, lambda: _has_left(writer)))

    async def _serve_still(self, writer: asyncio.StreamWriter, body: dict[str, Any]) -> bool:
        if self._stills >= MAX_STILLS:
            return await self._send(writer, _failure(ErrorCode.TOO_MANY, "the recorder is busy with earlier stills"))
        self._stills += 1
        parts = {"work", "answer"}

        def end(part: str) -> None:
            """A camera's library that hangs outlasts its answer: others are turned away, not queued up behind it."""
            parts.discard(part)
            self._stills -= not parts

        try:
            is_gone = partial(_has_left, writer)
            answer = await self._answer(self._still_pool, body, is_gone, on_end=partial(end, "work"))
            return await self._send(writer, answer)
        finally:
            end("answer")

    async def _send(self, writer: asyncio.StreamWriter, answer: bytes) -> bool:
        async with asyncio.timeout(self._request_timeout_s):
            writer.write(answer)
            await writer.drain()
        return True

    async def _answer(
        self,
        pool: ThreadPoolExecutor,
        body: dict[str, Any],
        is_gone: Callable[[], bool],
        on_end: Callable[[], None] = _nothing,
    ) -> bytes:
        """`on_end` is called once nothing works for the answer any more."""
        if self._waiting >= MAX_WAITING:
            on_end()
            return _failure(ErrorCode.TOO_MANY, "the recorder is busy with earlier requests")
        work = asyncio.get_running_loop().run_in_executor(pool, self._work, body, is_gone)
        self._waiting += 1
        work.add_done_callback(self._work_ended)
        work.add_done_callback(lambda _: on_end())
        try:
            return await asyncio.wait_for(asyncio.shield(work), self._request_timeout_s)
        except TimeoutError:
            return _failure(ErrorCode.STORAGE_ERROR, f"the ring took over {self._request_timeout_s:g} s to answer")

    def _work_ended(self, work: asyncio.Future[bytes]) -> None:
        self._waiting -= 1
        if not work.cancelled() and (error := work.exception()) is not None:
            logger.error("ring request failed", exc_info=error)

    def _work(self, body: dict[str, Any], is_gone: Callable[[], bool]) -> bytes:
        if is_gone():
            return b""
        try:
            result = self._operations[body["op"]](body)
        except RingRequestError as error:
            return _failure(error.code, str(error))
        except ContractError as error:
            return _failure(ErrorCode.PARAMETERS_INVALID, str(error))
        except CaptureError as error:
            return _failure(ErrorCode.CAMERA_UNAVAILABLE, str(error))
        except (RingError, OSError) as error:
            return _failure(ErrorCode.STORAGE_ERROR, str(error))
        except Exception as error:
            # A defect in one request must not end the recording: it is answered and told.
            logger.exception("ring request failed")
            return _failure(ErrorCode.INTERNAL, f"{type(error).__name__}: {error}")
        return canonical_json({"ok": True, "result": result}) + b"\n"


def _has_left(writer: asyncio.StreamWriter) -> bool:
    """Whether the client closed its end altogether (poll(2), POLLHUP); any thread may ask."""
    descriptor = writer.get_extra_info("socket").fileno()
    if descriptor < 0:
        return True
    watch = select.poll()
    watch.register(descriptor, 0)
    states = watch.poll(0)
    # Asked last: had the connection been closed meanwhile, the descriptor might be another's.
    return bool(states) or writer.transport.is_closing()


_OPERATION_NAMES = frozenset(
    {"state", "plan", "release", "plans", "coverage", "coverage_query", "position", "clock", "still"}
)


def _taken(take: Callable[[Told], None], what: Told) -> dict[str, Any]:
    take(what)
    return {"taken": True}


def _still(take: TakeStill | None, request: StillRequest) -> dict[str, Any]:
    if take is None:
        raise RingRequestError(ErrorCode.UNKNOWN_CAMERA, "this is a proxy's ring: ask for a still of its camera")
    return take(request).to_object()


def _request_of(line: bytes) -> dict[str, Any]:
    try:
        body = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise RingRequestError(ErrorCode.MALFORMED, f"not a line of JSON: {error}") from error
    if not isinstance(body, dict) or not isinstance(body.get("op"), str):
        raise RingRequestError(ErrorCode.MALFORMED, 'a request is a JSON object with an "op"')
    if body["op"] not in _OPERATION_NAMES:
        known = ", ".join(sorted(_OPERATION_NAMES))
        raise RingRequestError(ErrorCode.UNKNOWN_COMMAND, f"unknown op {body['op']!r:.40}; there are {known}")
    return body


def _failure(code: str, message: str) -> bytes:
    return canonical_json({"ok": False, "error": {"code": str(code), "message": message}}) + b"\n"


def _listen(path: Path) -> socket.socket:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    try:
        with socket_address(path) as address:
            listener.bind(address)
        path.chmod(SOCKET_MODE)
        listener.listen(MAX_CONNECTIONS)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    os.set_inheritable(listener.fileno(), False)
    return listener
