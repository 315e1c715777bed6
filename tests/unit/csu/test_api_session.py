"""Who gets in: the token, the ticket of an address, the page's cookie and what a browser shows beside it."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from csu.errors import RequestRefusedError
from csu.keys import KeyStore
from csu.page_session import SESSION_LIFETIME_S, TICKET_LIFETIME_S, Sessions, make_ticket
from csu.registry import Registry
from edge_agent.clock import FakeClock
from tests.unit.csu.api_parts import BEARER, TOKEN, make_parts, serving
from tests.unit.csu.ingest_parts import NOW_US

ORDER = {"unit_id": "nomad-07", "cmd": "clip.list", "operator": "a"}


@pytest.fixture
async def client(registry: Registry, keys: KeyStore) -> AsyncIterator[aiohttp.ClientSession]:
    async with serving(make_parts(registry, keys)) as client:
        yield client


async def sign_in(client: aiohttp.ClientSession) -> None:
    query = {"token": make_ticket(TOKEN, NOW_US)}
    async with client.get("/sign-in", params=query, allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (303, "/")


async def status(client: aiohttp.ClientSession, method: str, path: str, **more: object) -> int:
    async with client.request(method, path, **more) as answer:  # type: ignore[arg-type]  # headers, json
        return answer.status


async def test_a_ticket_signs_in_once(client: aiohttp.ClientSession) -> None:
    ticket = make_ticket(TOKEN, NOW_US)
    async with client.get("/sign-in", params={"token": ticket}, allow_redirects=False) as answer:
        assert answer.status == 303
        (cookie,) = answer.headers.getall("Set-Cookie")
    assert TOKEN not in cookie
    assert {"HttpOnly", "Path=/", "SameSite=Strict"} <= {word.strip() for word in cookie.split(";")}
    assert await status(client, "GET", "/v1/units") == 200
    assert await status(client, "GET", "/sign-in", params={"token": ticket}, allow_redirects=False) == 303
    client.cookie_jar.clear()
    assert await status(client, "GET", "/sign-in", params={"token": ticket}) == 403
    assert await status(client, "GET", "/v1/units") == 401


@pytest.mark.parametrize(
    "ticket", ["", "x", "1.2.3", f"{NOW_US}.a.", TOKEN, "é" * 30, "1" * 5000, "999999999999.a.b"]
)
async def test_what_is_no_ticket_signs_nobody_in(client: aiohttp.ClientSession, ticket: str) -> None:
    async with client.get("/sign-in", params={"token": ticket}) as answer:
        assert (answer.status, (await answer.json())["error"]["code"]) == (403, "ticket-invalid")
        assert "Set-Cookie" not in answer.headers


def test_a_ticket_is_good_once_however_the_clock_steps() -> None:
    clock = FakeClock(wall_us=NOW_US)
    sessions = Sessions(TOKEN, clock)
    used = make_ticket(TOKEN, clock.wall_us())
    sessions.redeem(used)
    clock.step_wall(2 * 365 * 86_400)
    sessions.redeem(make_ticket(TOKEN, clock.wall_us()))
    clock.step_wall(-2 * 365 * 86_400)
    with pytest.raises(RequestRefusedError):
        sessions.redeem(used)


def test_tickets_and_sessions_end_and_are_not_each_other() -> None:
    clock = FakeClock(wall_us=NOW_US)
    sessions = Sessions(TOKEN, clock)
    late, early = make_ticket(TOKEN, NOW_US), make_ticket(TOKEN, NOW_US)
    cookie = sessions.redeem(early)
    assert sessions.holds(cookie)
    assert Sessions(TOKEN, clock).holds(cookie), "a restart signed everybody out"
    assert not Sessions("another-token-in-the-file", clock).holds(cookie)
    assert not sessions.holds(late)
    assert not sessions.holds(cookie[:-1] + ("A" if cookie[-1] != "A" else "B"))
    with pytest.raises(RequestRefusedError):
        sessions.redeem(cookie)
    clock.advance(TICKET_LIFETIME_S + 1)
    with pytest.raises(RequestRefusedError):
        sessions.redeem(late)
    clock.advance(SESSION_LIFETIME_S)
    assert not sessions.holds(cookie)


async def test_signing_out_takes_the_cookie_away(client: aiohttp.ClientSession) -> None:
    await sign_in(client)
    here = {"Sec-Fetch-Site": "same-origin", "Content-Type": "application/json"}
    assert await status(client, "POST", "/sign-out", headers=here) == 204
    assert await status(client, "GET", "/v1/units") == 401


@pytest.mark.parametrize(
    ("method", "path", "headers", "expected"),
    [
        ("GET", "/v1/units", {}, 200),
        ("GET", "/v1/units", {"Sec-Fetch-Site": "same-origin"}, 200),
        ("GET", "/v1/units", {"Sec-Fetch-Site": "none"}, 200),
        ("GET", "/v1/units", {"Sec-Fetch-Site": "same-site"}, 403),  # another port of this machine
        ("GET", "/v1/units", {"Sec-Fetch-Site": "cross-site"}, 403),
        ("GET", "/v1/units", {"Origin": "http://127.0.0.1:1"}, 403),
        ("GET", "/v1/units", {"Host": "evil.example"}, 421),
        ("GET", "/v1/units", {"Host": "127.0.0.1.evil.example"}, 421),
        ("GET", "/v1/units", {"Host": "[::1"}, 421),
        ("GET", "/v1/units", {"Host": ""}, 421),
        ("GET", "/", {"Host": "evil.example"}, 421),
        ("GET", "/sign-in", {"Host": "evil.example"}, 421),
        ("GET", "/assets/js/main.js", {"Host": "evil.example"}, 421),
        ("GET", "/v1/units", {"Host": "localhost:9"}, 200),
        ("POST", "/v1/commands", {}, 403),
        ("POST", "/v1/commands", {"Sec-Fetch-Site": "none"}, 403),
        ("POST", "/v1/commands", {"Sec-Fetch-Site": "same-site"}, 403),
        ("POST", "/v1/commands", {"Origin": "null"}, 403),
        ("POST", "/v1/commands", {"Origin": "http://127.0.0.1:1"}, 403),
        ("POST", "/v1/commands", {"Sec-Fetch-Site": "same-origin", "Origin": "http://evil.example"}, 403),
        ("POST", "/v1/commands", {"Sec-Fetch-Site": "same-origin"}, 201),
        ("POST", "/v1/commands", {"Origin": "HERE"}, 201),
        ("POST", "/v1/commands", {"Sec-Fetch-Site": "same-origin", "Content-Type": "text/plain"}, 415),
        ("DELETE", "/v1/units/nomad-07", {}, 403),
        ("DELETE", "/v1/units/nomad-07", {"Sec-Fetch-Site": "same-origin"}, 200),
    ],
)
async def test_a_cookie_alone_is_not_enough(
    client: aiohttp.ClientSession, method: str, path: str, headers: dict[str, str], expected: int
) -> None:
    await sign_in(client)
    if headers.get("Origin") == "HERE":
        headers = {"Origin": str(client._base_url).rstrip("/")}
    body = {"json": ORDER} if method == "POST" else {}
    assert await status(client, method, path, headers=headers, **body) == expected


async def test_a_token_needs_nothing_beside_it(client: aiohttp.ClientSession) -> None:
    odd = BEARER | {"Sec-Fetch-Site": "cross-site", "Origin": "http://evil.example", "Host": "csu.example"}
    assert await status(client, "POST", "/v1/commands", json=ORDER, headers=odd) == 201
    assert await status(client, "GET", "/v1/units", headers={"Authorization": "Bearer x"}) == 401
    assert await status(client, "GET", "/v1/units", headers={"Authorization": "Basic x"}) == 401
    assert await status(client, "GET", "/v1/units", headers={"Authorization": ""}) == 401
    await sign_in(client)
    assert await status(client, "GET", "/v1/units", headers={"Authorization": "Bearer x"}) == 401


async def test_every_answer_tells_browsers_what_not_to_do(client: aiohttp.ClientSession) -> None:
    for path in ("/", "/v1/units", "/nothing", "/assets/nothing", "/sign-in"):
        async with client.get(path) as answer:
            headers = answer.headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        policy = headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert "Access-Control-Allow-Origin" not in headers


async def test_tiles_may_come_from_where_they_are_configured_alone(registry: Registry, keys: KeyStore) -> None:
    parts = make_parts(registry, keys)
    for url, origin in (
        ("https://tiles.example:8443/{z}/{x}/{y}.png", "https://tiles.example:8443"),
        ("https://{s}.tiles.example/{z}/{x}/{y}.png", "https://*.tiles.example"),
    ):
        page = parts.page.model_copy(update={"tile_url": url})
        async with serving(make_parts(registry, keys, page=page)) as client, client.get("/") as answer:
            policy = dict(one.strip().split(" ", 1) for one in answer.headers["Content-Security-Policy"].split(";"))
        assert policy["img-src"] == f"'self' data: {origin}"
        assert origin not in policy["script-src"] + policy["connect-src"] + policy["default-src"]
