"""The OpenAPI document and the routes say one thing, and every answer is as the document has it."""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from jsonschema_rs import Draft202012Validator

from csu import stored_clips, stored_commands, stored_units
from csu.api import Api
from csu.api.openapi import make_document
from csu.keys import KeyStore
from csu.registry import Registry
from csu.views import AlarmRecord
from edge_agent.contract.jws import SigningKey
from edge_agent.contract.times import format_utc
from tests.unit.csu.api_parts import BEARER, FakeAlarms, make_parts, serving
from tests.unit.csu.replies import COMMAND_ID, NOW_US, make_command, make_reply

ROOT = Path(__file__).parents[3]
ALARM = AlarmRecord(
    alarm_id="a1", unit_id="nomad-07", name="camera-lost", origin="unit", severity="critical", raised_us=NOW_US
)
SERVICE = {
    "schema": "csu-serve/1",
    "pid": 1,
    "started_at": format_utc(NOW_US),
    "api_url": "http://a",
    "mqtt_url": "mqtt://a",
    "ingest_url": "http://a",
    "topic_prefix": "csu/v1",
    "own_broker": True,
    "broker_connected": True,
    "messages_of_strangers": 0,
}


@pytest.fixture
async def client(registry: Registry, keys: KeyStore) -> AsyncIterator[aiohttp.ClientSession]:
    await registry.run(stored_commands.add_command, make_command())
    await registry.run(stored_commands.apply_reply, make_reply("running"), NOW_US, NOW_US)
    await registry.run(stored_clips.add_clip, "nomad-07", COMMAND_ID, "/nowhere", NOW_US)
    body = {"at": format_utc(NOW_US), "cameras": [{"camera": "main", "size_bytes": 5}]}
    await registry.run(stored_units.save_state, "nomad-07", "coverage", body, NOW_US)
    parts = make_parts(registry, keys, alarms=FakeAlarms([ALARM]), describe=lambda: SERVICE)
    async with serving(parts) as client:
        client.headers.update(BEARER)
        yield client


async def document_of(client: aiohttp.ClientSession) -> dict[str, Any]:
    async with client.get("/v1/openapi.json") as answer:
        document: dict[str, Any] = await answer.json()
    return document


CALLS: list[tuple[str, str, object]] = [
    ("GET", "/v1/service", None),
    ("GET", "/v1/page", None),
    ("GET", "/v1/fleet", None),
    ("GET", "/v1/units", None),
    ("POST", "/v1/units", {"unit_id": "nomad-08", "jwk": SigningKey.generate().public_jwk()}),
    ("GET", "/v1/units/nomad-07", None),
    ("GET", "/v1/units/nomad-07/view", None),
    ("GET", "/v1/units/nomad-07/estimate?camera=main&from=2026-01-01T00:00:00Z&to=2026-01-01T01:00:00Z", None),
    ("GET", "/v1/units/nomad-07/history?kind=position", None),
    ("GET", "/v1/events", None),
    ("GET", "/v1/alarms?open=true", None),
    ("POST", "/v1/alarms/a1/acknowledgement", {"operator": "a"}),
    ("GET", "/v1/summary?day=2026-01-01", None),
    ("GET", "/v1/commands", None),
    ("POST", "/v1/commands", {"unit_id": "nomad-07", "cmd": "clip.list", "operator": "a"}),
    ("GET", f"/v1/commands/{COMMAND_ID}", None),
    ("GET", "/v1/clips", None),
    ("DELETE", "/v1/units/nomad-07", None),
]


def matching(document: dict[str, Any], path: str) -> str:
    plain = path.partition("?")[0]
    found: str = next(
        one
        for one in sorted(document["paths"], key=lambda one: one.count("{"))
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", one), plain)
    )
    return found


@pytest.mark.parametrize(("method", "path", "body"), CALLS)
async def test_an_answer_is_as_the_document_has_it(
    client: aiohttp.ClientSession, method: str, path: str, body: object
) -> None:
    document = await document_of(client)
    async with client.request(method, path, json=body) as answer:
        status, found = answer.status, await answer.json()
    response = document["paths"][matching(document, path)][method.lower()]["responses"][str(status)]
    assert status in {200, 201}
    schema = response["content"]["application/json"]["schema"] | {"components": document["components"]}
    assert [error.message for error in Draft202012Validator(schema).iter_errors(found)] == []
    assert found or path.startswith(("/v1/events", "/v1/clips"))


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/units?x=1", 400, "parameters-invalid"),
        ("GET", "/v1/commands?limit=1&limit=2", 400, "parameters-invalid"),
        ("GET", "/v1/commands?limit=0", 400, "parameters-invalid"),
        ("GET", "/v1/commands?limit=1001", 400, "parameters-invalid"),
        ("GET", "/v1/commands?limit=١", 400, "parameters-invalid"),
        ("GET", "/v1/commands?limit=1e3", 400, "parameters-invalid"),
        ("GET", "/v1/commands?limit=" + "9" * 5000, 400, "parameters-invalid"),
        ("GET", "/v1/commands?cursor=AAAA", 400, "cursor-invalid"),
        ("GET", "/v1/commands?cursor=é", 400, "parameters-invalid"),
        ("GET", "/v1/commands?unit_id=NO", 400, "parameters-invalid"),
        ("GET", "/v1/alarms?open=1", 400, "parameters-invalid"),
        ("GET", "/v1/summary?day=2026-02-30", 400, "parameters-invalid"),
        ("GET", "/v1/summary?day=2026-W01-1", 400, "parameters-invalid"),
        ("GET", "/v1/units/nomad-07/history?kind=x", 400, "parameters-invalid"),
        ("GET", "/v1/units/nomad-07/history", 400, "parameters-invalid"),
        ("GET", "/v1/units/nomad-07/estimate?camera=main&from=x&to=y", 400, "parameters-invalid"),
        ("GET", "/v1/units/nomad-99/view", 404, "unknown-unit"),
        (
            "GET",
            "/v1/units/nomad-99/estimate?camera=a&from=2026-01-01T00:00:00Z&to=2026-01-01T00:00:00Z",
            404,
            "unknown-unit",
        ),
        ("POST", "/v1/alarms/none/acknowledgement", 400, "parameters-invalid"),
        ("PUT", "/v1/units", 405, "method-not-allowed"),
        ("TRACE", "/v1/units", 405, "method-not-allowed"),
        ("GET", "/v2", 404, "not-found"),
        ("GET", "/v1/units/", 404, "not-found"),
    ],
)
async def test_a_refusal_says_what_is_wrong(
    client: aiohttp.ClientSession, method: str, path: str, status: int, code: str
) -> None:
    async with client.request(method, path) as answer:
        error = (await answer.json())["error"]
        assert (answer.status, error["code"]) == (status, code)
        assert (status == 405) == ("Allow" in answer.headers)
    assert set(error) == {"code", "message"}
    assert len(error["message"]) > 10


async def test_bodies_are_bounded(client: aiohttp.ClientSession) -> None:
    for body, status in ((b"x" * 70_000, 413), (b"[" * 60_000, 400), (b"\xff\xfe", 400), (b"", 400), (b"null", 400)):
        async with client.post("/v1/commands", data=body) as answer:
            assert answer.status == status, body[:10]
            assert "message" in (await answer.json())["error"]


def test_every_route_is_in_the_document(registry: Registry, keys: KeyStore) -> None:
    api = Api(make_parts(registry, keys))
    document = make_document(api.routes, "1.2.3")
    served = {
        (route.method.lower(), resource.canonical)
        for resource in api.app.router.resources()
        for route in resource
        if resource.canonical.startswith("/v1/") and route.method != "HEAD"
    }
    assert served == {(method, path) for path, item in document["paths"].items() for method in item}
    ids = [operation["operationId"] for item in document["paths"].values() for operation in item.values()]
    assert len(set(ids)) == len(ids)
    text = json.dumps(document)
    assert set(re.findall(r"#/components/schemas/(\w+)", text)) <= set(document["components"]["schemas"])


def test_every_route_is_in_the_documentation(registry: Registry, keys: KeyStore) -> None:
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    told = {(method, path) for method, path in re.findall(r"`(GET|POST|DELETE) (/v1/[^`?]*)", text)}
    assert told == {(route.method, route.path) for route in Api(make_parts(registry, keys)).routes}


async def test_pages_follow_one_another_without_a_gap(client: aiohttp.ClientSession, registry: Registry) -> None:
    ids = [f"0197a1b2-0000-7000-8000-{number:012}" for number in range(100, 125)]
    for command_id in ids:  # all of one instant: the id decides
        await registry.run(stored_commands.add_command, make_command(command_id))
    found: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        query = {"limit": "7", "unit_id": "nomad-07"} | ({"cursor": cursor} if cursor else {})
        async with client.get("/v1/commands", params=query) as answer:
            found += [command["command_id"] for command in await answer.json()]
            cursor = answer.headers.get("Next-Cursor")
        await registry.run(stored_commands.add_command, make_command(f"0197a1b2-0000-7000-8000-9{len(found):011}"))
    assert found == [*reversed(ids), COMMAND_ID]
