"""What the API answers when something is not as it should be."""

import errno
import json
import os
from collections.abc import AsyncIterator

import aiohttp
import pytest

from csu import stored_clips, stored_commands
from csu.api import Enrolment, EnrolRequest, Expulsion
from csu.client import item_of
from csu.errors import RequestRefusedError
from csu.feed import Feed
from csu.keys import KeyStore
from csu.registry import Registry
from tests.unit.csu.api_parts import BEARER, make_parts, serving
from tests.unit.csu.replies import COMMAND_ID, NOW_US, make_command


async def enrol(_request: EnrolRequest) -> Enrolment:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


async def expel(unit_id: str) -> Expulsion:
    raise OSError(errno.EROFS, os.strerror(errno.EROFS))


@pytest.fixture
def feed() -> Feed:
    return Feed()


@pytest.fixture
async def session(registry: Registry, keys: KeyStore, feed: Feed) -> AsyncIterator[aiohttp.ClientSession]:
    async with serving(make_parts(registry, keys, feed, enrol=enrol, expel=expel)) as session:
        session.headers.update(BEARER)
        yield session


@pytest.mark.parametrize(
    ("method", "path", "body", "words"),
    [
        ("POST", "/v1/units", b'{"unit_id": "nomad-08", "jwk": {}}', "No space left on device"),
        ("DELETE", "/v1/units/nomad-07", b"", "Read-only file system"),
    ],
)
async def test_a_storage_that_refuses_is_told(
    session: aiohttp.ClientSession, method: str, path: str, body: bytes, words: str
) -> None:
    async with session.request(method, path, data=body) as response:
        error = (await response.json())["error"]
        assert (response.status, error["code"]) == (503, "storage-error")
        assert words in error["message"]


@pytest.mark.parametrize("encoding", ["gzip", "br", "GZIP, gzip"])
async def test_a_body_in_a_coding_is_refused_and_not_unpacked(
    session: aiohttp.ClientSession, encoding: str, caplog: pytest.LogCaptureFixture
) -> None:
    headers = {"Content-Encoding": encoding, "Content-Type": "application/json"}
    async with session.post("/v1/commands", data=b'{"unit_id": "nomad-07"}', headers=headers) as response:
        assert (response.status, (await response.json())["error"]["code"]) == (415, "media-type-unsupported")
    assert not [record for record in caplog.records if record.exc_info], "no defect of this service"


async def test_a_requests_clip_is_of_the_unit_that_was_asked(
    session: aiohttp.ClientSession, registry: Registry
) -> None:
    await registry.run(stored_commands.add_command, make_command())
    await registry.run(stored_clips.add_clip, "nomad-08", COMMAND_ID, "/clips/of-another", NOW_US)
    path = f"/v1/commands/{COMMAND_ID}"
    async with session.get(path) as response:
        assert (await response.json())["clip"] is None
    await registry.run(stored_clips.add_clip, "nomad-07", COMMAND_ID, "/clips/its-own", NOW_US)
    async with session.get(path) as response:
        assert (await response.json())["clip"]["folder"] == "/clips/its-own"


async def test_who_does_not_keep_up_with_what_happens_is_told(session: aiohttp.ClientSession, feed: Feed) -> None:
    async with session.get("/v1/watch", params={"unit_id": "nomad-07"}) as response:
        for number in range(600):
            feed.publish({"kind": "event", "unit_id": "nomad-07", "n": number})
        *_, last = (await response.read()).splitlines()
    assert json.loads(last)["error"]["code"] == "too-slow"
    with pytest.raises(RequestRefusedError, match="watch again"):
        item_of(last)
    assert item_of(b'{"kind": "event", "error": null}') == {"kind": "event", "error": None}


async def test_a_unit_that_is_not_enrolled_is_not_watched(session: aiohttp.ClientSession) -> None:
    async with session.get("/v1/watch", params={"unit_id": "nomad-99"}) as response:
        assert (response.status, (await response.json())["error"]["code"]) == (404, "unknown-unit")
    async with session.get("/v1/watch", params={"unit_id": "nomad-07"}) as response:
        assert response.status == 200


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("/v1/units", {"unit_id": "BAD", "jwk": {}}, "unit_id: expected 2 to 31 lower-case letters"),
        ("/v1/units", {"unit_id": "nomad-08"}, "jwk: expected the unit's public key"),
        ("/v1/commands", {"unit_id": "Bad ID", "cmd": "clip.list", "operator": "a"}, "such as nomad-07"),
        (
            "/v1/commands",
            {"unit_id": "nomad-07", "cmd": "x", "operator": "a", "role": "king"},
            "investigator",
        ),
        ("/v1/commands", {"unit_id": "nomad-07", "cmd": "clip.list", "operator": ""}, "1 to 200 characters"),
    ],
)
async def test_a_bad_field_is_told_with_what_is_expected(
    session: aiohttp.ClientSession, path: str, body: dict[str, object], words: str
) -> None:
    async with session.post(path, json=body) as response:
        error = (await response.json())["error"]
        assert (response.status, error["code"]) == (400, "parameters-invalid")
        assert words in error["message"]
