"""The centre's page with 100 units: its first view, and from a unit's MQTT message to what the screen shows."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

from aiohttp import web
from playwright.async_api import Browser, BrowserContext, Page

from benchmarks.measure import median, percentile
from benchmarks.row import Row
from benchmarks.workspace import Workspace
from edge_agent.clock import SystemClock
from edge_agent.contract.messages import PointGeometry, Position, PositionProperties
from tests.real.csu_service import CsuService
from tests.real.fake_unit import FakeUnit
from tests.support.browser import chromium, wait_true
from tests.unit.csu.watched import health

_UNITS = 100
_LOADS = 15
_QUICK_LOADS = 4
_UPDATES = 60
_QUICK_UPDATES = 12
_STORM_S = 5.0
_VIEW_BAR_MS = 1000.0
_SIZE_BAR_KB = 300.0
_UPDATE_BAR_MS = 200.0
_HITCH_BAR_MS = 100.0
_VIEWPORT = {"width": 1920, "height": 1080}

_WHEN_SHOWN = """selector => {
    window.shownAt = null;
    const look = () => {
        if (document.querySelectorAll(selector).length < 100) requestAnimationFrame(look);
        else requestAnimationFrame(() => { window.shownAt = performance.now(); });
    };
    requestAnimationFrame(look);
}"""
_WHEN_CHANGED = """unit => {
    const row = document.querySelector(`a.unit-row[href$="/${unit}"]`);
    window.changes = [];
    new MutationObserver(() => requestAnimationFrame(() => setTimeout(() => window.changes.push(Date.now()))))
        .observe(row, {attributes: true, attributeFilter: ["data-standing"]});
}"""
_LONG_TASKS = """() => {
    window.longest = 0;
    new PerformanceObserver((list) => list.getEntries().forEach((one) => {
        window.longest = Math.max(window.longest, one.duration);
    })).observe({type: "longtask"});
}"""


def run(workspace: Workspace) -> Iterator[Row]:
    """First views from an empty cache, one change at a time, then all units at once."""
    service = CsuService(workspace.directory("page"), workspace.processes)
    service.start("--zone", "Europe/Paris")
    units = [service.unit(lambda *_: None, service.enrol(f"nomad-{number:03}")) for number in range(_UNITS)]
    for number, unit in enumerate(units):
        unit.publish("health", health(SystemClock().wall_us()), retain=True)
        unit.publish("position", _position(number), retain=True)
    try:
        yield from asyncio.run(_measure(service, units, workspace.quick))
    finally:
        service.stop_units()
        service.end()


def _position(number: int) -> Position:
    properties = PositionProperties(fix="3d", accuracy_m=5.0, source="gnss", deployment_id="bench")
    point = PointGeometry(coordinates=(2.3 + number % 10 / 100, 48.82 + number // 10 / 120))
    return Position(geometry=point, properties=properties)


async def _measure(service: CsuService, units: list[FakeUnit], quick: bool) -> list[Row]:
    loads = _QUICK_LOADS if quick else _LOADS
    async with chromium() as browser:
        views = [await _load(browser, await _address(service), ".unit-row") for _ in range(loads)]
        peers = await _bare_loads(browser, loads)
        context, page = await _open(browser, await _address(service))
        updates_ms = await _updates(page, units[50], _QUICK_UPDATES if quick else _UPDATES)
        longest_ms, per_s = await _storm(page, units)
        await context.close()
    return [*_view_rows(views, peers), *_update_rows(updates_ms, longest_ms, per_s)]


def _view_rows(views: list[tuple[float, float]], peers: list[tuple[float, float]]) -> Iterator[Row]:
    peer_name = "the same rows as one static file of a bare aiohttp server"
    for index, (name, unit, bar) in enumerate((("shown", "ms", _VIEW_BAR_MS), ("transferred", "kB", _SIZE_BAR_KB))):
        ours, peer = [one[index] for one in views], [one[index] for one in peers]
        yield Row(
            name=f"the page's first view of {_UNITS} units, {name}",
            ours=max(ours),
            unit=unit,
            peer=max(peer),
            peer_name=peer_name,
            judge="ours",
            bar=bar,
            note=f"empty cache, headless Chromium, the slowest of {len(ours)}; median {median(ours):.0f} {unit};"
            " sign-in, plan and stream included",
        )


def _update_rows(updates_ms: list[float], longest_ms: float, per_s: float) -> Iterator[Row]:
    yield Row(
        name="a unit's message to its change on the screen, p95",
        ours=percentile(updates_ms, 95),
        unit="ms",
        judge="ours",
        bar=_UPDATE_BAR_MS,
        note=f"{len(updates_ms)} changes of standing beside {_UNITS} units, MQTT to painted; median"
        f" {median(updates_ms):.0f} ms, longest {max(updates_ms):.0f} ms",
    )
    yield Row(
        name="longest time in which the page does not react",
        ours=longest_ms,
        unit="ms",
        judge="ours",
        bar=_HITCH_BAR_MS,
        note=f"all {_UNITS} units change over and over for {_STORM_S:.0f} s, {per_s:.0f} messages a second",
    )


async def _address(service: CsuService) -> str:
    shown = await asyncio.to_thread(service.cli, "page")
    return shown.stdout.strip()


async def _open(browser: Browser, url: str) -> tuple[BrowserContext, Page]:
    context = await browser.new_context(viewport=_VIEWPORT, locale="fr-FR")  # type: ignore[arg-type]  # a plain dict
    page = await context.new_page()
    await page.goto(url)
    await wait_true(page, "document.querySelectorAll('.unit-row').length >= 100", what="all units")
    return context, page


async def _load(browser: Browser, url: str, rows: str) -> tuple[float, float]:
    """Milliseconds from navigation to all rows painted, and kilobytes that came; nothing was cached."""
    context = await browser.new_context(viewport=_VIEWPORT, locale="fr-FR")  # type: ignore[arg-type]  # as above
    page = await context.new_page()
    received = await _count_bytes(context, page)
    await page.add_init_script(f"({_WHEN_SHOWN})({rows!r})")
    await page.goto(url, wait_until="commit")
    await wait_true(page, "window.shownAt !== null", what="all rows")
    shown_ms = float(await page.evaluate("window.shownAt"))
    await page.wait_for_load_state("load")
    total = sum(max(finished, arrived) for finished, arrived in received.values())
    await context.close()
    return shown_ms, total / 1000


async def _count_bytes(context: BrowserContext, page: Page) -> dict[str, tuple[float, float]]:
    """By request: what it had taken when it ended, headers included, and what came while it went on."""
    session = await context.new_cdp_session(page)
    received: dict[str, tuple[float, float]] = {}

    def arrived(event: dict[str, Any]) -> None:
        whole, so_far = received.get(event["requestId"], (0, 0))
        received[event["requestId"]] = whole, so_far + (event["encodedDataLength"] or event["dataLength"])

    def finished(event: dict[str, Any]) -> None:
        received[event["requestId"]] = event["encodedDataLength"], 0

    session.on("Network.dataReceived", arrived)
    session.on("Network.loadingFinished", finished)
    await session.send("Network.enable")
    return received


async def _bare_loads(browser: Browser, loads: int) -> list[tuple[float, float]]:
    """The peer: nothing but the rows."""
    rows = "".join(f"<li><a class=row href=#><b>nomad-{number:03}</b> Tout va bien</a></li>" for number in range(100))
    document = f"<!doctype html><meta charset=utf-8><title>bare</title><ul>{rows}</ul>"

    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=document, content_type="text/html")

    application = web.Application()
    application.router.add_get("/", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    found = [await _load(browser, url, ".row") for _ in range(loads)]
    await runner.cleanup()
    return found


async def _updates(page: Page, unit: FakeUnit, times: int) -> list[float]:
    """One camera stops and goes on, over and over."""
    await page.evaluate(_WHEN_CHANGED, unit.identity.unit_id)
    sent_ms: list[float] = []
    for number in range(times):
        sent_ms.append(time.time() * 1000)
        unit.publish("health", health(SystemClock().wall_us(), recording=bool(number % 2)), retain=True)
        await wait_true(page, f"window.changes.length > {number}", what="the change")
        await asyncio.sleep(0.1)
    changed_ms: list[float] = await page.evaluate("window.changes")
    return [after - before for before, after in zip(sent_ms, changed_ms, strict=True)]


async def _storm(page: Page, units: list[FakeUnit]) -> tuple[float, float]:
    """The longest task of the page's thread, and how many messages a second went out meanwhile."""
    await page.evaluate(_LONG_TASKS)
    begun_s, sent = time.monotonic(), 0
    while time.monotonic() - begun_s < _STORM_S:
        for unit in units:
            recording = (sent // len(units) + sent) % 5 != 0
            unit.publish("health", health(SystemClock().wall_us(), recording=recording), retain=True)
            sent += 1
        await asyncio.sleep(0.25)
    passed_s = time.monotonic() - begun_s
    await asyncio.sleep(1)
    return float(await page.evaluate("window.longest")), sent / passed_s
