"""Map tiles under the plan, by the real service and a tile server on another port; without them it stays usable."""

import asyncio
import struct
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from aiohttp import web
from playwright.async_api import Browser, Page, expect

from csu import stored_units
from csu.keys import KeyStore
from csu.registry import Registry
from edge_agent.clock import SystemClock
from edge_agent.contract.jws import SigningKey
from tests.real.csu_service import CsuService
from tests.support.browser import new_page
from tests.support.processes import Processes

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

SIDE_PX = 256
ATTRIBUTION = "© Ville <b>de Lyon</b> & <img src=x>"
PLACES = {"nomad-01": (4.83357, 45.76680), "nomad-02": (4.83612, 45.76441), "nomad-03": (4.83206, 45.75779)}
SHOWN = "[...document.querySelectorAll('.leaflet-tile')].filter(tile => tile.naturalWidth > 0).length"


class TileServer:
    """Pictures, or whatever a test puts in their place; counts what it was asked for."""

    def __init__(self) -> None:
        self.body = _picture()
        self.status = 200
        self.asked: list[str] = []
        self.referrers: set[str | None] = set()
        self.port = 0

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["TileServer"]:
        application = web.Application()
        application.router.add_get("/{path:.*}", self._answer)
        runner = web.AppRunner(application)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port).start()
        self.port = runner.addresses[0][1]
        try:
            yield self
        finally:
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        self.referrers.add(request.headers.get("Referer"))
        return web.Response(body=self.body, status=self.status, content_type="image/png")


def _picture() -> bytes:
    """A grey tile with an edge, as a PNG (RFC 2083)."""
    edge, row = b"\x60" * SIDE_PX, b"\x60" + b"\xb0" * (SIDE_PX - 1)
    lines = b"".join(b"\0" + line for line in [edge, *[row] * (SIDE_PX - 1)])
    head = struct.pack(">IIBBBBB", SIDE_PX, SIDE_PX, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
    framed = (_length(data) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)


def _length(data: bytes) -> bytes:
    return struct.pack(">I", len(data))


async def _seed(directory: Path) -> None:
    """Three units that have said where they are."""
    now_us = SystemClock().wall_us()
    registry = Registry(directory / "registry.db")
    await registry.open()
    for unit_id, place in PLACES.items():
        position = {
            "type": "Feature",
            "geometry": {"type": "Point", "coordinates": place},
            "properties": {"schema": "position/1", "fix": "fixed", "source": "settings", "deployment_id": "bench"},
        }
        await registry.run(stored_units.add_unit, unit_id, now_us)
        await registry.run(stored_units.save_state, unit_id, "position", position, now_us)
    await registry.close()


@contextmanager
def centre(directory: Path, *options: str) -> Iterator[CsuService]:
    """`csu serve` that knows three units, with these options."""
    processes = Processes()
    (directory / "csu" / "keys").mkdir(parents=True, mode=0o700)
    keys = KeyStore(directory / "csu" / "keys")
    for unit_id in PLACES:
        keys.enrol(unit_id, SigningKey.generate().public_jwk())
    service = CsuService(directory, processes)
    try:
        service.start(*options)
        yield service
    finally:
        processes.kill_all()


@asynccontextmanager
async def plan(browser: Browser, directory: Path, tiles: TileServer) -> AsyncIterator[Page]:
    """The page of a centre with these tiles, at its plan."""
    await _seed_in(directory)
    options = ("--tile-url", f"{tiles.origin}/{{z}}/{{x}}/{{y}}.png", "--tile-attribution", ATTRIBUTION)
    serving = centre(directory, *options)
    service = await asyncio.to_thread(serving.__enter__)
    try:
        async with new_page(browser, width=1440, height=900) as page:
            shown = await asyncio.to_thread(service.cli, "page")
            await page.goto(shown.stdout.strip())
            await expect(page.locator(".plan-mark")).to_have_count(3)
            yield page
    finally:
        await asyncio.to_thread(serving.__exit__, None, None, None)


async def _seed_in(directory: Path) -> None:
    (directory / "csu").mkdir()
    await _seed(directory / "csu")


async def test_tiles_are_shown_with_their_keepers_name_as_text(browser: Browser, tmp_path: Path) -> None:
    async with TileServer().serving() as tiles, plan(browser, tmp_path, tiles) as page:
        await expect(page.locator(".leaflet-tile-loaded")).not_to_have_count(0)
        assert await page.evaluate(SHOWN) > 0
        assert all(len(path.split("/")) == 4 for path in tiles.asked)
        assert tiles.referrers == {None}
        await expect(page.locator(".leaflet-control-attribution")).to_have_text(ATTRIBUTION)
        assert await page.locator(".leaflet-control-attribution :is(b, img)").count() == 0
        await expect(page.locator(".graticule-line")).to_have_count(0)
        await expect(page.locator(".plan-name")).to_have_text(sorted(PLACES))


async def test_nothing_else_comes_from_the_tiles_host_or_another(browser: Browser, tmp_path: Path) -> None:
    async with TileServer().serving() as tiles, TileServer().serving() as other:
        # What the policy forbids, the browser complains of, and so does `new_page` at its end.
        with pytest.raises(AssertionError, match="Content Security Policy"):
            await _reach_out(browser, tmp_path, tiles, other)
        assert "/x" not in tiles.asked
        assert "/y.png" in tiles.asked
        assert other.asked == []


async def _reach_out(browser: Browser, directory: Path, tiles: TileServer, other: TileServer) -> None:
    async with plan(browser, directory, tiles) as page:
        reached = [
            await page.evaluate(REACHES, [kind, f"{origin}/{path}"])
            for kind, origin, path in (
                ("fetch", tiles.origin, "x"),
                ("script", tiles.origin, "x"),
                ("img", other.origin, "x"),
                ("img", tiles.origin, "y.png"),
            )
        ]
        assert reached == [False, False, False, True]


async def test_tiles_that_are_garbage_leave_the_plain_plan_until_they_are_pictures(
    browser: Browser, tmp_path: Path
) -> None:
    tiles = TileServer()
    tiles.body = b"<html>not a picture"
    async with tiles.serving(), plan(browser, tmp_path, tiles) as page:
        await expect(page.locator(".graticule-line")).not_to_have_count(0)
        await expect(page.locator(".graticule-lng").first).to_contain_text("E")
        await page.click(".plan-mark[aria-label^='nomad-03']")
        await expect(page.locator(".plan-card .unit-name")).to_have_text(["nomad-03"])
        await page.click("aside >> text=Close")
        tiles.body = _picture()
        await page.click(".leaflet-control-zoom-out")
        await expect(page.locator(".graticule-line")).to_have_count(0)


async def test_a_tile_server_that_is_down_leaves_the_plain_plan(browser: Browser, tmp_path: Path) -> None:
    tiles = TileServer()
    async with tiles.serving():
        pass
    async with plan(browser, tmp_path, tiles) as page:
        await expect(page.locator(".graticule-line")).not_to_have_count(0)
        await expect(page.locator(".plan-name")).to_have_text(sorted(PLACES))


REACHES = """([kind, url]) => {
    if (kind === "fetch") return fetch(url, {mode: "no-cors"}).then(() => true, () => false);
    const element = document.createElement(kind);
    return new Promise((done) => {
        element.addEventListener("load", () => done(true));
        element.addEventListener("error", () => done(false));
        element.src = url;
        document.head.append(element);
    });
}"""
"""Whether the page may take something from there."""
