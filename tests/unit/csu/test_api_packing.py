"""Compressed answers: smaller, for who accepts them, and no event waits for the next one."""

import asyncio
import gzip
import json
import zlib
from collections.abc import AsyncIterator

import aiohttp
import pytest

from csu import stored_units
from csu.feed import Feed
from csu.keys import KeyStore
from csu.registry import Registry
from tests.unit.csu.api_parts import BEARER, make_parts, serving, summary
from tests.unit.csu.ingest_parts import NOW_US

UNITS = 40


@pytest.fixture
def feed() -> Feed:
    return Feed()


@pytest.fixture
async def client(registry: Registry, keys: KeyStore, feed: Feed) -> AsyncIterator[aiohttp.ClientSession]:
    for number in range(UNITS):
        await registry.run(stored_units.add_unit, f"unit-{number:03}", NOW_US)
    async with serving(make_parts(registry, keys, feed)) as client:
        client.headers.update(BEARER)
        yield client


@pytest.mark.parametrize("path", ["/v1/fleet", "/v1/units", "/v1/openapi.json"])
@pytest.mark.parametrize("accepted", ["gzip", "gzip, deflate, br, zstd", "br;q=1.0, GZIP ;q=0.5"])
async def test_long_json_is_compressed(client: aiohttp.ClientSession, path: str, accepted: str) -> None:
    async with client.get(path) as answer:
        plain = await answer.read()
        assert ("Content-Encoding" in answer.headers, answer.headers["Vary"]) == (False, "Accept-Encoding")
    async with client.get(path, headers={"Accept-Encoding": accepted}) as answer:
        packed = await answer.read()
        assert (answer.headers["Content-Encoding"], answer.headers["Vary"]) == ("gzip", "Accept-Encoding")
        assert int(answer.headers["Content-Length"]) == len(packed) < len(plain) / 3
    assert json.loads(gzip.decompress(packed)) == json.loads(plain)


@pytest.mark.parametrize("accepted", ["", "identity", "br", "gzip;q=0", "gzip; q=0.0", "gzip;q=x", "xgzip", ",;,"])
async def test_who_does_not_accept_it_gets_it_plain(client: aiohttp.ClientSession, accepted: str) -> None:
    for path in ("/v1/fleet", "/v1/stream"):
        async with client.get(path, headers={"Accept-Encoding": accepted}) as answer:
            assert (answer.status, "Content-Encoding" in answer.headers) == (200, False)


async def test_short_json_is_left_as_it_is(client: aiohttp.ClientSession) -> None:
    async with client.get("/v1/page", headers={"Accept-Encoding": "gzip"}) as answer:
        assert "Content-Encoding" not in answer.headers
        assert (await answer.json())["zone"] == "Europe/Paris"


async def test_each_event_can_be_read_when_it_has_come(client: aiohttp.ClientSession, feed: Feed) -> None:
    reader, received = zlib.decompressobj(wbits=31), 0
    async with client.get("/v1/stream", headers={"Accept-Encoding": "gzip"}) as answer:
        assert answer.headers["Content-Encoding"] == "gzip"

        async def next_frame() -> bytes:
            nonlocal received
            text = b""
            while not text.endswith(b"\n\n"):
                data = await answer.content.readany()
                received += len(data)
                text += reader.decompress(data)
            return text

        hello = await next_frame()
        assert hello.startswith(b"event: hello\n")
        assert hello.count(b'"unit_id"') == UNITS + 1
        assert received < len(hello) / 3
        for alarms in range(3):
            feed.publish({"kind": "unit"} | summary("nomad-07", open_alarms=alarms).to_object())
            async with asyncio.timeout(10):
                assert f'"open_alarms":{alarms}'.encode() in await next_frame()
        feed.close()
        assert reader.decompress(await answer.content.read()) == b""
    assert reader.eof
