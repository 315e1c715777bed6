"""Asking a recorder for its ring: the other side of `server`, over the Unix socket `run/<camera>.sock`.

Every call has a deadline: a recorder that is stopped in its tracks must not hang who asks. Each request takes its
own connection, so a request that was given up leaves nothing behind.
"""

import asyncio
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from edge_agent.buffer.socket_path import socket_address
from edge_agent.clock import Clock
from edge_agent.contract.clip import Interval
from edge_agent.contract.messages import CameraCoverage
from edge_agent.contract.model import canonical_json
from edge_agent.contract.ring_protocol import (
    MAX_LINE_BYTES,
    ClockOffer,
    CoveragePage,
    CoveragePageRequest,
    CoverageRequest,
    PlanRequest,
    PlanResult,
    PositionNotice,
    RecorderState,
)
from edge_agent.errors import ContractError, RingError, RingRequestError, RingUnavailableError

CONNECT_TIMEOUT_S = 2.0
ANSWER_TIMEOUT_S = 15.0

_READ_BYTES = 65_536

Answer = TypeVar("Answer")


class RingClient:
    """One camera's recorder, as the link sees it.

    Every method raises:
        RingUnavailableError: the recorder is not there or did not answer in time: asked again later.
        RingRequestError: the ring rejects the request; `code` says why.
        RingError: an answer that cannot be understood.
    """

    def __init__(
        self,
        socket_path: Path,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        answer_timeout_s: float = ANSWER_TIMEOUT_S,
    ) -> None:
        self.socket_path = socket_path
        self._connect_timeout_s = connect_timeout_s
        self._answer_timeout_s = answer_timeout_s

    async def state(self) -> RecorderState:
        """The recorder's figures."""
        return _read(RecorderState.from_object, await self.call({"op": "state"}))

    async def plan(self, request: PlanRequest) -> PlanResult:
        """Plan a clip and pin its segments; safe to repeat with the same `clip_id`."""
        return _read(PlanResult.from_object, await self.call(request.to_object()))

    async def release(self, clip_id: str) -> bool:
        """Remove a plan and its pins; False when there was none."""
        return bool(_member(await self.call({"op": "release", "clip_id": clip_id}), "released"))

    async def plans(self) -> list[str]:
        """Ids of the clips that have a plan."""
        return _read(_texts, _member(await self.call({"op": "plans"}), "clip_ids"))

    async def coverage(self, max_intervals: int = 60) -> CameraCoverage:
        """What the ring holds, for `up/coverage`."""
        request = CoverageRequest(max_intervals=max_intervals)
        return _read(CameraCoverage.from_object, await self.call(request.to_object()))

    async def coverage_query(
        self, interval: Interval, cursor: str | None = None, max_intervals: int = 80
    ) -> CoveragePage:
        """One page of footage and gaps between two instants."""
        request = CoveragePageRequest(interval=interval, cursor=cursor, max_intervals=max_intervals)
        return _read(CoveragePage.from_object, await self.call(request.to_object()))

    async def place(self, notice: PositionNotice) -> None:
        """Tell where the unit is; the newest notice counts."""
        await self.call(notice.to_object())

    async def offer_clock(self, offer: ClockOffer) -> None:
        """Offer GNSS time to the ring's clock model."""
        await self.call(offer.to_object())

    async def call(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send one request; its `result` as JSON types."""
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                reader, writer = await self._connect()
        except (OSError, TimeoutError) as error:
            raise _unavailable(self.socket_path, error) from error
        try:
            async with asyncio.timeout(self._answer_timeout_s):
                writer.write(canonical_json(request) + b"\n")
                await writer.drain()
                line = await reader.readuntil(b"\n")
        except asyncio.LimitOverrunError as error:
            raise RingError(f"{self.socket_path}: answer of over {MAX_LINE_BYTES} bytes") from error
        except (OSError, EOFError, TimeoutError) as error:
            raise _unavailable(self.socket_path, error) from error
        finally:
            writer.transport.abort()
        return parse_answer(line)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        with socket_address(self.socket_path) as address:
            return await asyncio.open_unix_connection(address, limit=MAX_LINE_BYTES)


def call_sync(
    socket_path: Path, request: dict[str, Any], clock: Clock, timeout_s: float = ANSWER_TIMEOUT_S
) -> dict[str, Any]:
    """As `RingClient.call`, blocking, for the command line; `timeout_s` bounds the whole exchange.

    Raises:
        RingUnavailableError: the recorder is not there or did not answer in time.
        RingRequestError: the ring rejects the request.
        RingError: an answer that cannot be understood.
    """
    deadline_us = clock.monotonic_us() + round(timeout_s * 1e6)
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(min(timeout_s, CONNECT_TIMEOUT_S))
            with socket_address(socket_path) as address:
                connection.connect(address)
            connection.sendall(canonical_json(request) + b"\n")
            line = _receive_line(connection, clock, deadline_us)
    except OSError as error:
        raise _unavailable(socket_path, error) from error
    return parse_answer(line)


def _receive_line(connection: socket.socket, clock: Clock, deadline_us: int) -> bytes:
    received = bytearray()
    while not received.endswith(b"\n"):
        left_s = (deadline_us - clock.monotonic_us()) / 1e6
        if left_s <= 0:
            raise TimeoutError("no answer in time")
        connection.settimeout(left_s)
        piece = connection.recv(_READ_BYTES)
        if not piece:
            raise ConnectionResetError("closed before the answer")
        received += piece
        if len(received) > MAX_LINE_BYTES:
            raise RingError(f"answer of over {MAX_LINE_BYTES} bytes")
    return bytes(received)


def parse_answer(line: bytes) -> dict[str, Any]:
    """The `result` of an answer line.

    Raises:
        RingRequestError: the answer is an error.
        RingError: not an answer of the protocol.
    """
    try:
        answer = json.loads(line)
        if answer["ok"] is True:
            return dict(answer["result"])
        code, message = str(answer["error"]["code"]), str(answer["error"]["message"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise RingError(f"the recorder's answer cannot be understood: {line[:120]!r}") from error
    raise RingRequestError(code, message)


def _unavailable(path: Path, error: BaseException) -> RingUnavailableError:
    reason = str(error) or type(error).__name__
    return RingUnavailableError(f"the recorder behind {path} does not answer ({reason})")


def _member(value: dict[str, Any], name: str) -> object:
    if name not in value:
        raise RingError(f"the recorder's answer has no {name!r}")
    return value[name]


def _texts(value: object) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise ContractError("expected a list of texts")
    return value


def _read(reader: Callable[[object], Answer], value: object) -> Answer:
    try:
        return reader(value)
    except ContractError as error:
        raise RingError(f"the recorder's answer cannot be understood: {error}") from error
