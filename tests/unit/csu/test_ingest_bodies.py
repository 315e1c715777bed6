"""The bodies that an ingest is sent: invited, cut, silent, too long, overtaken."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from csu.ingest import PREFIX
from edge_agent.contract.upload import PATCH_CONTENT_TYPE, origin_of
from tests.support.polling import until
from tests.support.tus_requests import RawUnit, token
from tests.support.uploads import UNIT_ID, Centre, running_ingest, trusted
from tests.unit.csu.ingest_parts import KEY, data_files


async def raw_exchange(centre: Centre, head: str, body: bytes = b"") -> bytes:
    """Send a request head, and read an answer before anything of the body is sent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(origin_of(centre.url).rsplit(":", 1)[1]))
    writer.write(head.replace("\n", "\r\n").encode() + b"\r\n\r\n")
    async with asyncio.timeout(20):
        answer = await reader.readuntil(b"\r\n\r\n")
        writer.write(body)
        if answer.startswith(b"HTTP/1.1 100"):
            answer += await reader.readuntil(b"\r\n\r\n")
        writer.close()
    return answer


@pytest.mark.parametrize("expect", ["", "\nExpect: 100-continue"])
async def test_a_body_is_not_waited_for_when_the_sender_is_unknown(
    unit: RawUnit, centre: Centre, expect: str
) -> None:
    path = (await unit.create(900_000)).headers["Location"]
    head = f"PATCH {path} HTTP/1.1\nHost: a\nTus-Resumable: 1.0.0\nUpload-Offset: 0\nContent-Length: 900000{expect}"
    answer = await raw_exchange(centre, head, b"x" * 100_000)
    assert answer.startswith(b"HTTP/1.1 401")
    assert set((await asyncio.to_thread(data_files, centre)).values()) == {b""}


async def test_a_body_is_invited_once_the_sender_is_known(unit: RawUnit, centre: Centre) -> None:
    path = (await unit.create(5)).headers["Location"]
    bearer = token(KEY, centre.url)
    head = (
        f"PATCH {path} HTTP/1.1\nHost: a\nTus-Resumable: 1.0.0\nUpload-Offset: 0\nContent-Length: 5\n"
        f"Content-Type: application/offset+octet-stream\nAuthorization: Bearer {bearer}\nExpect: 100-continue"
    )
    answer = await raw_exchange(centre, head, b"12345")
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204")
    assert list((await asyncio.to_thread(data_files, centre)).values()) == [b"12345"]


async def test_a_chunked_body_that_is_too_long_is_not_written_beyond(unit: RawUnit, centre: Centre) -> None:
    path = (await unit.create(10)).headers["Location"]

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"123"

    url = origin_of(centre.url) + path
    headers = unit.headers(Upload_Offset="0", Content_Type="application/offset+octet-stream")
    async with unit.session.patch(url, data=endless(), headers=headers) as response:
        assert response.status == 413
    assert all(len(data) <= 10 for data in (await asyncio.to_thread(data_files, centre)).values())


async def test_what_came_before_a_cut_is_kept(unit: RawUnit, centre: Centre) -> None:
    path = (await unit.create(10)).headers["Location"]

    async def broken() -> AsyncIterator[bytes]:
        yield b"1234"
        await asyncio.sleep(0.2)
        raise ConnectionError("cut by the test")

    headers = unit.headers(Upload_Offset="0", Content_Type="application/offset+octet-stream", Content_Length="10")
    with pytest.raises(aiohttp.ClientError):
        await unit.session.patch(origin_of(centre.url) + path, data=broken(), headers=headers)
    assert (await unit.send("HEAD", path)).headers["Upload-Offset"] == "4"


async def test_a_silent_body_is_given_up(unit: RawUnit, centre: Centre) -> None:
    path = (await unit.create(10)).headers["Location"]

    async def silent() -> AsyncIterator[bytes]:
        yield b"1234"
        await asyncio.sleep(20)

    headers = unit.headers(Upload_Offset="0", Content_Type="application/offset+octet-stream")
    async with unit.session.patch(origin_of(centre.url) + path, data=silent(), headers=headers) as response:
        assert response.status == 408
    assert (await unit.send("HEAD", path)).headers["Upload-Offset"] == "4"


async def test_a_newer_request_drops_the_older_patch(unit: RawUnit, centre: Centre) -> None:
    path = (await unit.create(10)).headers["Location"]
    going = asyncio.Event()

    async def half_open() -> AsyncIterator[bytes]:
        yield b"1234"
        going.set()
        await asyncio.sleep(20)

    headers = unit.headers(Upload_Offset="0", Content_Type="application/offset+octet-stream", Content_Length="10")
    older = asyncio.create_task(
        unit.session._request("PATCH", origin_of(centre.url) + path, data=half_open(), headers=headers)
    )
    await going.wait()
    await asyncio.sleep(0.1)  # both orders must end alike; this makes the interesting one likely
    offset = (await unit.send("HEAD", path)).headers["Upload-Offset"]
    answer = await unit.patch(path, offset, b"1234567890"[int(offset) :])
    assert answer.status == 204
    assert (await older).status == 409
    assert list((await asyncio.to_thread(data_files, centre)).values()) == [b"1234567890"]


async def test_a_unit_that_is_shut_out_sends_nothing_more(tmp_path: Path) -> None:
    keys, going, forever = {UNIT_ID: trusted(KEY)}, asyncio.Event(), asyncio.Event()

    async def half_open() -> AsyncIterator[bytes]:
        yield b"1234"
        going.set()
        await forever.wait()

    async with running_ingest(tmp_path / "csu", keys) as centre, aiohttp.ClientSession() as session:
        unit = RawUnit(session, KEY, centre.url)
        path = (await unit.create(10)).headers["Location"]
        headers = unit.headers(Upload_Offset="0", Content_Type=PATCH_CONTENT_TYPE)
        sending = asyncio.create_task(
            session._request("PATCH", origin_of(centre.url) + path, data=half_open(), headers=headers)
        )
        await going.wait()
        await until(lambda: centre.ingest._gates.is_busy(path.removeprefix(PREFIX)), what="begin of the upload")
        keys.clear()
        centre.ingest.shut_out(UNIT_ID)
        async with asyncio.timeout(20):
            assert (await sending).status == 409
        assert (await unit.patch(path, 4, b"567890")).status == 401
        (data,) = (await asyncio.to_thread(data_files, centre)).values()
        assert data in {b"", b"1234"}
