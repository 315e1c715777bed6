"""What the unit makes of an ingest's answers."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import nullcontext
from email.utils import formatdate

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from edge_agent.clock import FakeClock
from edge_agent.contract.jws import SigningKey, TrustedKeys
from edge_agent.contract.upload import UploadClaims, UploadMetadata, origin_of
from edge_agent.errors import TransferInterruptedError, TransferLostError, TransferRefusedError, UplinkError
from edge_agent.uplink.blocks import ChunkBody, TextSource
from edge_agent.uplink.http_session import open_session
from edge_agent.uplink.tus import MAX_RETRY_AFTER_S, MAX_WORDS, Timeouts, TusClient
from edge_agent.uplink.upload_token import UploadTokens
from tests.support.tus_requests import metadata
from tests.support.uploads import UNIT_ID, trusted, upload_settings

KEY = SigningKey.generate()

Ask = Callable[[TusClient, str], Awaitable[object]]


class Scripted:
    """An ingest that answers what a test says, and remembers what it was asked."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.answers: list[web.Response] = []
        self.requests: list[web.Request] = []

    async def answer(self, request: web.Request) -> web.Response:
        self.requests.append(request)
        await request.read()
        return self.answers.pop(0)


@pytest.fixture
async def ingest() -> AsyncIterator[Scripted]:
    scripted = Scripted("")
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", scripted.answer)
    async with TestServer(app) as server:
        scripted.url = str(server.make_url("/files/"))
        yield scripted


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with await open_session(upload_settings("http://127.0.0.1/")) as opened:
        yield opened


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def tus(session: aiohttp.ClientSession, clock: FakeClock) -> TusClient:
    return TusClient(session, UploadTokens(KEY, UNIT_ID, clock), clock, Timeouts(answer_s=5.0, stall_s=5.0))


async def create(tus: TusClient, url: str) -> object:
    return await tus.create(url, 10, metadata())


async def offset(tus: TusClient, url: str) -> object:
    return await tus.offset(url + "1", 10, metadata())


async def append(tus: TusClient, url: str) -> object:
    return await tus.append(url + "1", 0, ChunkBody(TextSource(b"0123456789"), None, 0, 10))


async def terminate(tus: TusClient, url: str) -> object:
    await tus.terminate(url + "1")
    return None


EVERYTHING = [create, offset, append, terminate]


@pytest.mark.parametrize("ask", EVERYTHING)
@pytest.mark.parametrize("status", [408, 409, 423, 425, 429, 500, 502, 503, 507])
async def test_failures_and_conflicts_are_interruptions(
    ingest: Scripted, tus: TusClient, ask: Ask, status: int
) -> None:
    ingest.answers = [web.Response(status=status, text="not now")]
    with pytest.raises(TransferInterruptedError):
        await ask(tus, ingest.url)


@pytest.mark.parametrize("ask", EVERYTHING)
@pytest.mark.parametrize("status", [302, 307, 400, 403, 405, 412, 413, 415, 451])
async def test_a_refusal_carries_the_words_of_the_ingest(
    ingest: Scripted, tus: TusClient, ask: Ask, status: int
) -> None:
    words = "no:\tthis   case\n\x1b[31m is closed " + "x" * 5000
    ingest.answers = [web.Response(status=status, text=words, headers={"Location": "/elsewhere"})]
    with pytest.raises(TransferRefusedError) as refused:
        await ask(tus, ingest.url)
    assert len(ingest.requests) == 1
    if ask is not offset:  # an answer to HEAD has no body
        assert f"{status}: no: this case [31m is closed xxx" in str(refused.value)
        assert len(str(refused.value)) < MAX_WORDS + 100


@pytest.mark.parametrize("ask", [offset, append])
@pytest.mark.parametrize("status", [404, 410])
async def test_an_unknown_upload_is_lost(ingest: Scripted, tus: TusClient, ask: Ask, status: int) -> None:
    ingest.answers = [web.Response(status=status)]
    with pytest.raises(TransferLostError):
        await ask(tus, ingest.url)


async def test_an_upload_of_another_length_is_not_the_one_that_was_created(ingest: Scripted, tus: TusClient) -> None:
    """A line that corrupts a creation's `Upload-Length` leaves one behind that can never be filled."""
    ingest.answers = [web.Response(status=200, headers={"Upload-Offset": "3", "Upload-Length": "18"})]
    with pytest.raises(TransferLostError, match="18 bytes of a file of 10"):
        await offset(tus, ingest.url)


@pytest.mark.parametrize(
    ("said", "is_lost"),
    [
        (metadata(), False),
        (metadata(index=2), True),
        (metadata(clip_id="00000000-0000-4000-8000-000000000000"), True),
        (None, False),
    ],
)
async def test_an_upload_of_another_name_is_not_the_one_that_was_created(
    ingest: Scripted, tus: TusClient, said: UploadMetadata | None, is_lost: bool
) -> None:
    header = "filename cGFydDEubXA0,is_confidential" if said is None else said.to_header()
    ingest.answers = [web.Response(status=200, headers={"Upload-Offset": "3", "Upload-Metadata": header})]
    with pytest.raises(TransferLostError) if is_lost else nullcontext():
        assert await offset(tus, ingest.url) == 3


async def test_a_missing_ingest_refuses(ingest: Scripted, tus: TusClient) -> None:
    ingest.answers = [web.Response(status=404, text="nothing here")]
    with pytest.raises(TransferRefusedError, match="nothing here"):
        await create(tus, ingest.url)


async def test_terminating_what_is_not_there_is_fine(ingest: Scripted, tus: TusClient) -> None:
    ingest.answers = [web.Response(status=404)]
    await terminate(tus, ingest.url)


@pytest.mark.parametrize(
    ("location", "resolved"),
    [("/files/1", "/files/1"), ("1?x=%2F", "/files/1?x=%2F"), ("//{host}/up/1", "/up/1"), ("http://{host}/2", "/2")],
)
async def test_a_location_is_resolved(ingest: Scripted, tus: TusClient, location: str, resolved: str) -> None:
    host = origin_of(ingest.url).removeprefix("http://")
    ingest.answers = [web.Response(status=201, headers={"Location": location.format(host=host)})]
    assert await tus.create(ingest.url, 10, metadata()) == (origin_of(ingest.url) + resolved, 0)


@pytest.mark.parametrize(
    "location",
    ["http://127.0.0.1:1/files/1", "//elsewhere.example/1", "https://127.0.0.1/1", "file:///etc", "http://["],
)
async def test_a_location_elsewhere_is_refused(ingest: Scripted, tus: TusClient, location: str) -> None:
    ingest.answers = [web.Response(status=201, headers={"Location": location})]
    with pytest.raises(TransferRefusedError, match="Location"):
        await create(tus, ingest.url)


async def test_a_creation_without_a_location_is_refused(ingest: Scripted, tus: TusClient) -> None:
    ingest.answers = [web.Response(status=201)]
    with pytest.raises(TransferRefusedError, match="Location"):
        await create(tus, ingest.url)


@pytest.mark.parametrize("value", ["", "-1", "1.5", "11", "0", "9" * 16, "٣", "ten"])
async def test_an_offset_that_makes_no_sense_is_an_interruption(ingest: Scripted, tus: TusClient, value: str) -> None:
    ingest.answers = [web.Response(status=204, headers={"Upload-Offset": value})]
    with pytest.raises(TransferInterruptedError):
        await append(tus, ingest.url)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("7", 7.0), ("999999", MAX_RETRY_AFTER_S), ("soon", None), ("-5", None), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0)],
)
async def test_retry_after_is_read_and_capped(
    ingest: Scripted, tus: TusClient, value: str, seconds: float | None
) -> None:
    ingest.answers = [web.Response(status=503, headers={"Retry-After": value})]
    with pytest.raises(TransferInterruptedError) as interrupted:
        await offset(tus, ingest.url)
    assert interrupted.value.retry_after_s == seconds


def claims_of(request: web.Request) -> UploadClaims:
    keys: TrustedKeys = trusted(KEY)
    scheme, _, token = request.headers["Authorization"].partition(" ")
    assert scheme == "Bearer"
    return UploadClaims.from_object(keys.verify("upload", token))


async def test_every_request_carries_its_own_short_token(ingest: Scripted, tus: TusClient, clock: FakeClock) -> None:
    for ask in EVERYTHING:
        ingest.answers = [web.Response(status=503)]
        with pytest.raises(UplinkError):
            await ask(tus, ingest.url)
    claims = [claims_of(request) for request in ingest.requests]
    assert {(one.iss, one.aud) for one in claims} == {(UNIT_ID, origin_of(ingest.url))}
    assert all(one.iat == clock.wall_us() // 1_000_000 and one.exp - one.iat == 120 for one in claims)
    assert len({one.jti for one in claims}) == len(EVERYTHING)


async def test_a_refused_token_is_tried_once_more_by_the_clock_of_the_ingest(
    ingest: Scripted, tus: TusClient
) -> None:
    unauthorised = web.Response(status=401, headers={"Date": formatdate(1_800_000_000, usegmt=True)})
    ingest.answers = [unauthorised, web.Response(status=200, headers={"Upload-Offset": "3"})]
    with pytest.raises(TransferInterruptedError):
        await offset(tus, ingest.url)
    assert await offset(tus, ingest.url) == 3
    assert abs(claims_of(ingest.requests[1]).iat - 1_800_000_000) <= 1


async def test_a_token_that_is_refused_twice_is_refused(ingest: Scripted, tus: TusClient) -> None:
    ingest.answers = [web.Response(status=401), web.Response(status=401)]
    with pytest.raises(TransferInterruptedError):
        await offset(tus, ingest.url)
    with pytest.raises(TransferRefusedError):
        await offset(tus, ingest.url)


async def test_an_answer_without_end_is_not_read_to_its_end(tus: TusClient) -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 400 No\r\nContent-Length: 99999999999\r\n\r\n")
        try:
            while True:
                writer.write(b"no " * 10_000)
                await writer.drain()
        except ConnectionError:
            writer.close()

    server = await asyncio.start_server(endless, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(TransferRefusedError, match="no no no"):
        await terminate(tus, f"http://127.0.0.1:{port}/files/")
    server.close()
