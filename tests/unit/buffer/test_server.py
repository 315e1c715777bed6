"""The recorder's socket: right answers, clear refusals, bounded whatever a client does."""

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from edge_agent.buffer.client import RingClient, call_sync
from edge_agent.buffer.server import MAX_CONNECTIONS, MAX_REQUEST_BYTES, MAX_STILLS, MAX_WAITING, RingServer
from edge_agent.buffer.socket_path import socket_address
from edge_agent.clock import SystemClock
from edge_agent.contract.clip import Interval
from edge_agent.contract.messages import CameraCoverage
from edge_agent.contract.ring_protocol import (
    ClockOffer,
    ClockState,
    CoveragePage,
    CoveragePageRequest,
    PlanRequest,
    PlanResult,
    PositionNotice,
    RecorderState,
    StillAnswer,
    StillRequest,
)
from edge_agent.contract.segment_format import PositionStamp
from edge_agent.errors import (
    RingError,
    RingRequestError,
    RingStorageError,
    RingUnavailableError,
    SourceUnavailableError,
)
from tests.support.polling import until
from tests.support.rings import REQUESTER, clip_id

STATE = RecorderState(
    camera="main",
    recording=True,
    since_us=1_790_000_000_000_000,
    frames_per_second=25.0,
    bitrate_kbps=4000.0,
    dropped_units=0,
    stream_restarts=0,
    size_bytes=1,
    pinned_bytes=0,
    write_errors=0,
    storage_ok=True,
    clock=ClockState(source="chrony", bound_us=5, utc_us=1_790_000_000_000_000),
    boot_id="a" * 32,
    run_id="b" * 32,
)
STILL = StillAnswer(
    jpeg_base64="A" * 20_000_000, width_px=4056, height_px=3040, at_us=STATE.since_us, age_s=0.1, clock=STATE.clock
)
RESULT = PlanResult(state="planned", plan_file="ring/main/plans/x.plan", length_bytes=7, parts=1)
INTERVAL = Interval(start_us=1_790_000_000_000_000, end_us=1_790_000_001_000_000)


class FakeRing:
    """Answers what it is told to."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.requests: list[PlanRequest] = []
        self.told: list[PositionNotice | ClockOffer] = []
        self.gate = threading.Event()
        self.gate.set()
        self.waiting: list[None] = []

    def _check(self) -> None:
        if self.error is not None:
            raise self.error

    def state_figures(self) -> RecorderState:
        self._check()
        return STATE

    def plan(self, request: PlanRequest) -> PlanResult:
        self._check()
        self.requests.append(request)
        return RESULT

    def release(self, clip: str) -> bool:
        self._check()
        return clip == clip_id(1)

    def plans(self) -> list[str]:
        self.waiting.append(None)
        self.gate.wait(60)
        return [clip_id(1), clip_id(2)]

    def coverage(self, max_intervals: int) -> CameraCoverage:
        return CameraCoverage(camera="main", size_bytes=max_intervals)

    def coverage_page(self, request: CoveragePageRequest) -> CoveragePage:
        return CoveragePage(intervals=(), cursor=request.cursor)

    def place(self, notice: PositionNotice) -> None:
        self._check()
        self.told.append(notice)

    def offer_clock(self, offer: ClockOffer) -> None:
        self._check()
        self.told.append(offer)


@pytest.fixture
def ring() -> FakeRing:
    return FakeRing()


@pytest.fixture
async def server(tmp_path: Path, ring: FakeRing) -> AsyncIterator[RingServer]:
    server = RingServer(ring, tmp_path / "run" / "main.sock", request_timeout_s=5.0)
    await server.start()
    yield server
    await server.close()
    assert not server.socket_path.exists()


@pytest.fixture
def client(server: RingServer) -> RingClient:
    return RingClient(server.socket_path)


async def test_every_operation_is_answered(client: RingClient, ring: FakeRing) -> None:
    request = PlanRequest(clip_id=clip_id(1), interval=INTERVAL, requester=REQUESTER)
    assert await client.state() == STATE
    assert await client.plan(request) == RESULT
    assert ring.requests == [request]
    assert await client.release(clip_id(1))
    assert not await client.release(clip_id(2))
    assert await client.plans() == [clip_id(1), clip_id(2)]
    assert (await client.coverage(33)).size_bytes == 33
    assert (await client.coverage_query(INTERVAL, "17")).cursor == "17"


async def test_places_and_times_are_handed_to_the_ring(client: RingClient, ring: FakeRing) -> None:
    stamp = PositionStamp(longitude_deg=4.85, latitude_deg=45.76, source="gnss", fix="3d")
    notice = PositionNotice(position=stamp, monotonic_us=7, moving=True)
    nowhere = PositionNotice(position=None, moving=False)
    offer = ClockOffer(boot_id="a" * 32, monotonic_us=7, utc_us=1_790_000_000_000_000, bound_us=5)
    await client.place(notice)
    await client.place(nowhere)
    await client.offer_clock(offer)
    assert ring.told == [notice, nowhere, offer]


HERE = {"longitude_deg": 1.0, "latitude_deg": 1.0, "source": "gnss"}


@pytest.mark.parametrize(
    "request_body",
    [
        {"op": "position", "moving": False, "position": {"longitude_deg": 181, "latitude_deg": 1, "source": "gnss"}},
        {"op": "position", "moving": True, "position": HERE | {"source": "nowhere"}},
        {"op": "position", "moving": True, "position": HERE | {"source": "x" * 60_000}},
        {"op": "position", "moving": True, "position": HERE | {"accuracy_m": -1.0}},
        {"op": "position", "moving": True, "position": HERE | {"accuracy_m": 1e308}},
        {"op": "position", "moving": True, "position": HERE | {"age_s": -1.0}},
        {"op": "position", "moving": "perhaps"},
        {"op": "position", "moving": True, "monotonic_us": -1},
        {"op": "clock", "boot_id": "a" * 32, "monotonic_us": 1, "utc_us": "2007-04-08T00:00:00Z", "bound_us": 1},
        {"op": "clock", "boot_id": "a" * 32, "monotonic_us": 1, "utc_us": "2046-07-01T00:00:00Z", "bound_us": 1},
        {"op": "clock", "boot_id": "a" * 32, "monotonic_us": 1, "utc_us": "2026-12-01T00:00:00Z", "bound_us": -1},
        {"op": "clock", "boot_id": "me", "monotonic_us": 1, "utc_us": "2026-12-01T00:00:00Z", "bound_us": 1},
    ],
)
async def test_absurd_places_and_times_are_refused(
    client: RingClient, ring: FakeRing, request_body: dict[str, object]
) -> None:
    with pytest.raises(RingRequestError) as refusal:
        await client.call(request_body)
    assert refusal.value.code == "parameters-invalid"
    assert ring.told == []


async def test_the_command_line_is_answered_too(server: RingServer) -> None:
    answer = await asyncio.to_thread(call_sync, server.socket_path, {"op": "plans"}, SystemClock())
    assert answer == {"clip_ids": [clip_id(1), clip_id(2)]}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RingRequestError("interval-empty", "nothing"), "interval-empty"),
        (RingStorageError("no space"), "storage-error"),
        (OSError(5, "I/O error"), "storage-error"),
        (ZeroDivisionError("a defect"), "internal"),
    ],
)
async def test_refusals_keep_their_code(client: RingClient, ring: FakeRing, error: Exception, code: str) -> None:
    ring.error = error
    with pytest.raises(RingRequestError) as refusal:
        await client.state()
    assert refusal.value.code == code
    ring.error = None
    assert await client.state() == STATE


async def exchange(path: Path, line: bytes) -> bytes:
    with socket_address(path) as address:
        reader, writer = await asyncio.open_unix_connection(address)
    writer.write(line)
    with contextlib.suppress(OSError):
        await writer.drain()
    try:
        return await asyncio.wait_for(reader.readline(), 20)
    finally:
        writer.transport.abort()


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"hello\n", "malformed"),
        (b"\xff\xfe\n", "malformed"),
        (b"[1]\n", "malformed"),
        (b'{"op": 7}\n', "malformed"),
        (b'{"op": "format"}\n', "unknown-command"),
        (b'{"op": "release"}\n', "parameters-invalid"),
        (b'{"op": "release", "clip_id": "../../etc"}\n', "parameters-invalid"),
        (b'{"op": "plan", "clip_id": 1}\n', "parameters-invalid"),
        (b'{"op": "coverage", "max_intervals": -1}\n', "parameters-invalid"),
        (b"x" * (MAX_REQUEST_BYTES + 10) + b"\n", "too-large"),
        (b"[" * 60_000 + b"\n", "malformed"),
    ],
)
async def test_garbage_gets_an_error_line(server: RingServer, line: bytes, code: str) -> None:
    answer = json.loads(await exchange(server.socket_path, line))
    assert answer["ok"] is False
    assert answer["error"]["code"] == code
    assert answer["error"]["message"]


async def test_one_connection_may_ask_again(server: RingServer) -> None:
    reader, writer = await asyncio.open_unix_connection(server.socket_path)
    for _ in range(3):
        writer.write(b'{"op":"plans"}\n')
        assert json.loads(await reader.readline())["ok"] is True
    writer.close()


async def test_a_client_that_ends_its_requests_gets_its_answers(server: RingServer, ring: FakeRing) -> None:
    ring.gate.clear()
    reader, writer = await asyncio.open_unix_connection(server.socket_path)
    writer.write(b'{"op":"plans"}\n' * 3)
    writer.write_eof()
    await until(lambda: bool(ring.waiting), what="the first request in work")
    ring.gate.set()
    answers = (await asyncio.wait_for(reader.read(), 20)).splitlines()
    assert [json.loads(answer)["ok"] for answer in answers] == [True] * 3
    writer.close()
    await until(lambda: not server._writers, what="the connection ended")


async def hold_workers_up(client: RingClient, ring: FakeRing) -> list["asyncio.Task[list[str]]"]:
    """Both workers are busy until the ring's gate opens."""
    ring.gate.clear()
    asked = [asyncio.create_task(client.plans()) for _ in range(2)]
    await until(lambda: len(ring.waiting) == 2, what="both workers held up")
    return asked


async def check_that_nothing_begins(
    server: RingServer, ring: FakeRing, asked: list["asyncio.Task[list[str]]"]
) -> None:
    """What waits behind the held up workers is dropped when they go on: its client has left."""
    refused = b"x" * (MAX_REQUEST_BYTES + 10) + b"\n"  # answered by the loop, behind the client's leaving
    assert json.loads(await exchange(server.socket_path, refused))["ok"] is False
    ring.gate.set()
    assert [await task for task in asked] == [[clip_id(1), clip_id(2)]] * 2
    await until(lambda: server._waiting == 0, what="all requests worked off")
    assert ring.requests == []


async def test_what_a_client_asked_that_ended_its_requests_and_left_is_not_begun(
    server: RingServer, client: RingClient, ring: FakeRing
) -> None:
    asked = await hold_workers_up(client, ring)
    _, writer = await asyncio.open_unix_connection(server.socket_path)
    request = PlanRequest(clip_id=clip_id(1), interval=INTERVAL, requester=REQUESTER)
    writer.write(request.to_json() + b"\n")
    writer.write_eof()
    await until(lambda: server._waiting == 3, what="the request waiting")
    writer.transport.abort()
    await check_that_nothing_begins(server, ring, asked)


async def test_connections_are_bounded_and_the_most_idle_gives_way(server: RingServer, client: RingClient) -> None:
    idle = [await asyncio.open_unix_connection(server.socket_path) for _ in range(MAX_CONNECTIONS)]
    await until(lambda: len(server._writers) == MAX_CONNECTIONS, what="connections accepted")
    first_reader, first_writer = idle[0]
    first_writer.write(b'{"op":"plans"}\n')
    assert json.loads(await first_reader.readline())["ok"] is True
    assert await client.state() == STATE
    assert await asyncio.wait_for(idle[1][0].read(), 20) == b""
    first_writer.write(b'{"op":"plans"}\n')
    assert json.loads(await first_reader.readline())["ok"] is True
    assert len(server._writers) <= MAX_CONNECTIONS
    for _, writer in idle:
        writer.transport.abort()
    await until(lambda: not server._writers, what="connections gone")


async def test_an_idle_client_is_dropped(tmp_path: Path, ring: FakeRing) -> None:
    server = RingServer(ring, tmp_path / "main.sock", idle_timeout_s=0.2)
    await server.start()
    reader, writer = await asyncio.open_unix_connection(server.socket_path)
    assert await asyncio.wait_for(reader.read(), 20) == b""
    writer.close()
    await server.close()


async def test_what_a_client_that_left_had_asked_is_not_begun(
    server: RingServer, client: RingClient, ring: FakeRing
) -> None:
    asked = await hold_workers_up(client, ring)
    hasty = RingClient(server.socket_path, answer_timeout_s=0.2)
    with pytest.raises(RingUnavailableError):
        await hasty.plan(PlanRequest(clip_id=clip_id(1), interval=INTERVAL, requester=REQUESTER))
    assert server._waiting == 3
    await check_that_nothing_begins(server, ring, asked)


async def test_a_stale_socket_file_is_replaced(tmp_path: Path, ring: FakeRing) -> None:
    path = tmp_path / "main.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    server = RingServer(ring, path)
    await server.start()
    assert await RingClient(path).state() == STATE
    assert path.stat().st_mode & 0o777 == 0o660
    await server.close()


async def test_a_path_longer_than_an_address_works(tmp_path: Path, ring: FakeRing) -> None:
    path = tmp_path / ("deep" * 30) / "main.sock"
    server = RingServer(ring, path)
    await server.start()
    assert await RingClient(path).state() == STATE
    assert (await asyncio.to_thread(call_sync, path, {"op": "plans"}, SystemClock()))["clip_ids"]
    await server.close()


async def test_an_absent_recorder_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(RingUnavailableError, match=r"gone\.sock"):
        await RingClient(tmp_path / "gone.sock").state()
    with pytest.raises(RingUnavailableError):
        await asyncio.to_thread(call_sync, tmp_path / "gone.sock", {"op": "state"}, SystemClock())


@pytest.mark.parametrize(
    "answer", [b"", b"hello\n", b"{}\n", b'{"ok":true,"result":{"camera":5}}\n', b'{"ok":true}\n']
)
async def test_an_answer_that_is_none_is_an_error(tmp_path: Path, answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(answer)
        writer.close()

    fake = await asyncio.start_unix_server(serve, tmp_path / "main.sock")
    with pytest.raises(RingError):
        await RingClient(tmp_path / "main.sock").state()
    fake.close()


async def test_a_recorder_that_does_not_answer_is_unavailable_in_time(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "main.sock"))
        silent.listen(1)
        client = RingClient(tmp_path / "main.sock", answer_timeout_s=0.2)
        with pytest.raises(RingUnavailableError):
            await client.state()
        with pytest.raises(RingUnavailableError):
            await asyncio.to_thread(call_sync, tmp_path / "main.sock", {"op": "state"}, SystemClock(), 0.2)


class Camera:
    """Gives a still when it is let, or none."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.requests: list[StillRequest] = []
        self.fault = ""

    def take(self, request: StillRequest) -> StillAnswer:
        self.requests.append(request)
        self.gate.wait(60)
        if self.fault:
            raise SourceUnavailableError(self.fault)
        return STILL


@pytest.fixture
def still_camera() -> Iterator[Camera]:
    camera = Camera()
    yield camera
    camera.gate.set()


@pytest.fixture
async def still_server(tmp_path: Path, ring: FakeRing, still_camera: Camera) -> AsyncIterator[RingServer]:
    server = RingServer(ring, tmp_path / "still.sock", request_timeout_s=5.0, take_still=still_camera.take)
    await server.start()
    yield server
    await server.close()


@pytest.fixture
def camera(still_camera: Camera, still_server: RingServer) -> tuple[Camera, RingClient]:
    return still_camera, RingClient(still_server.socket_path)


async def test_a_still_of_twelve_million_pixels_fits_into_an_answer(camera: tuple[Camera, RingClient]) -> None:
    asked, client = camera
    assert StillAnswer.from_object(await client.call({"op": "still", "wait_s": 2.0})) == STILL
    assert asked.requests == [StillRequest(wait_s=2.0)]
    answer = await asyncio.to_thread(call_sync, client.socket_path, {"op": "still"}, SystemClock())
    assert StillAnswer.from_object(answer) == STILL


async def test_a_still_that_waits_for_its_camera_holds_nothing_up_and_others_are_turned_away(
    still_server: RingServer, camera: tuple[Camera, RingClient]
) -> None:
    asked, client = camera
    asked.gate.clear()
    waiting = [asyncio.create_task(client.call({"op": "still"})) for _ in range(MAX_STILLS)]
    await until(lambda: asked.requests, what="a still under way")
    assert await client.state() == STATE
    assert len(await asyncio.gather(client.plans(), client.plans(), client.plans())) == 3
    await until(lambda: still_server._stills == MAX_STILLS, what="both asked")
    with pytest.raises(RingRequestError) as refused:
        await client.call({"op": "still"})
    assert refused.value.code == "too-many"
    asked.gate.set()
    assert all(StillAnswer.from_object(answer) == STILL for answer in await asyncio.gather(*waiting))
    assert StillAnswer.from_object(await client.call({"op": "still"})) == STILL


async def test_stills_that_hang_do_not_take_the_ring_with_them(
    tmp_path: Path, ring: FakeRing, still_camera: Camera
) -> None:
    still_camera.gate.clear()
    server = RingServer(ring, tmp_path / "hung.sock", request_timeout_s=1.0, take_still=still_camera.take)
    await server.start()
    try:
        client = RingClient(server.socket_path)
        codes = []
        for _ in range(MAX_WAITING + 2):
            with pytest.raises(RingRequestError) as caught:
                await client.call({"op": "still"})
            codes.append(caught.value.code)
        assert codes[MAX_STILLS:] == ["too-many"] * (len(codes) - MAX_STILLS)
        assert await client.state() == STATE, "the ring is asked as ever"
        still_camera.gate.set()
        await until(lambda: server._stills == 0, what="the stills' end")
        assert StillAnswer.from_object(await client.call({"op": "still"})) == STILL
    finally:
        await server.close()


async def test_a_still_is_refused_with_the_reason(camera: tuple[Camera, RingClient], server: RingServer) -> None:
    asked, client = camera
    asked.fault = "the camera gave no picture within 3 s"
    with pytest.raises(RingRequestError, match="gave no picture") as refused:
        await client.call({"op": "still"})
    assert refused.value.code == "camera-unavailable"
    with pytest.raises(RingRequestError, match="wait_s") as refused:
        await client.call({"op": "still", "wait_s": 3600})
    assert refused.value.code == "parameters-invalid"
    with pytest.raises(RingRequestError, match="proxy") as refused:
        await RingClient(server.socket_path).call({"op": "still"})
    assert refused.value.code == "unknown-camera"
