"""The fleet's view: trouble first, live, honest about a lost connection, usable by keyboard, deaf to HTML."""

import asyncio

import pytest
from playwright.async_api import Browser, Locator, Page, expect

from csu.views import CameraView, Reason, Standing
from tests.support.browser import new_page, wait_true
from tests.support.fake_centre import FakeCentre
from tests.support.fake_fleet import large_fleet, place, summary
from tests.support.page_views import open_view
from tests.support.polling import until

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

EVIL = '<img src=x onerror="document.title=`taken`"><b>bold</b>'


def names(page: Page) -> Locator:
    """Of the units that the list shows."""
    return page.locator(".fleet-list .unit-name")


async def test_trouble_comes_first_with_its_reason_in_words(browser: Browser, centre: FakeCentre) -> None:
    async with new_page(browser) as page:
        await open_view(page, centre, "fleet")
        order = ["nomad-07", "nomad-12", "nomad-19", "nomad-03", "nomad-01", "nomad-02", "nomad-22"]
        await expect(names(page)).to_have_text(order)
        first = page.locator(".unit-row").first
        await expect(first).to_contain_text("main: does not record – no picture from the camera")
        await expect(first).to_contain_text("1 to acknowledge")
        await expect(page.locator(".unit-row").nth(4)).to_contain_text("2 cameras record")


async def test_what_changes_is_shown_where_it_belongs(browser: Browser, centre: FakeCentre) -> None:
    async with new_page(browser) as page:
        await open_view(page, centre, "fleet")
        centre.change(summary("nomad-22", "trouble", place=place(2.3655, 48.8541)))
        await expect(page.locator(".unit-row").nth(1)).to_contain_text("nomad-22")
        await expect(page.locator(".tile[data-standing=trouble] .tile-count")).to_have_text("2")
        centre.publish("unit-removed", {"unit_id": "nomad-19"})
        await expect(page.locator(".unit-row")).to_have_count(6)


async def test_the_focus_stays_with_its_unit_when_rows_move(browser: Browser, centre: FakeCentre) -> None:
    async with new_page(browser) as page:
        await open_view(page, centre, "fleet")
        await page.focus(".unit-row:has-text('nomad-22')")
        moves: tuple[Standing, ...] = ("trouble", "ok", "lost", "ok")
        for standing in moves:
            centre.change(summary("nomad-22", standing))
            await expect(page.locator(".unit-row:has-text('nomad-22')")).to_have_attribute("data-standing", standing)
            await expect(page.locator(".unit-row:has-text('nomad-22')")).to_be_focused()


async def test_filters_and_search(browser: Browser, centre: FakeCentre) -> None:
    async with new_page(browser) as page:
        await open_view(page, centre, "fleet")
        await page.click(".chip:has-text('Not recording')")
        await page.click(".chip:has-text('No contact')")
        await expect(names(page)).to_have_text(["nomad-12", "nomad-19"])
        await page.click("text=Clear filters")
        await page.keyboard.press("Escape")
        await page.fill("#search", "TEMPERATURE")
        await expect(names(page)).to_have_text(["nomad-03"])
        await page.fill("#search", "nothing of the kind")
        await expect(page.locator(".fleet-list")).to_contain_text("No unit matches")


async def test_nothing_stays_green_when_the_server_is_gone(browser: Browser, centre: FakeCentre) -> None:
    async with new_page(browser) as page:
        await open_view(page, centre, "fleet")
        await centre.close()
        await expect(page.locator("[data-standing=stale] .badge, .badge[data-standing=stale]")).not_to_have_count(0)
        await expect(page.locator("main [data-standing=ok]")).to_have_count(0)
        await expect(page.locator("[role=alert]")).to_contain_text("Connection to the server lost since")
        await expect(page.locator(".unit-row").first).to_contain_text("Not current (last: Trouble)")
        centre.units["nomad-07"] = summary("nomad-07", place=place(2.3522, 48.8566))
        await centre.open()
        await expect(page.locator(".unit-row:has-text('nomad-07')")).to_have_attribute("data-standing", "ok")
        await expect(page.locator("[role=alert]")).to_be_empty()


async def test_a_silent_connection_counts_as_lost(browser: Browser, centre: FakeCentre) -> None:
    async with new_page(browser) as page:
        await page.clock.install()
        await open_view(page, centre, "fleet")
        await page.clock.fast_forward(40_000)
        await expect(page.locator("html")).not_to_have_attribute("data-connection", "live")


async def test_an_ended_session_says_how_to_go_on(browser: Browser, centre: FakeCentre) -> None:
    async with new_page(browser) as page:
        centre.signed_out = True
        await page.goto(centre.url)
        await expect(page.locator("[role=alert]")).to_contain_text("csu page")


async def test_a_centre_without_a_broker_says_so(browser: Browser, centre: FakeCentre) -> None:
    async with new_page(browser) as page:
        await open_view(page, centre, "fleet")
        centre.publish("service", {"broker_connected": False})
        await expect(page.locator("[role=alert]")).to_contain_text("its broker cannot be reached")


async def test_units_at_one_place_are_reached_by_keyboard(browser: Browser, centre: FakeCentre) -> None:
    async with new_page(browser) as page:
        await open_view(page, centre, "fleet")
        sign = page.locator(".plan-mark[aria-label^='2 units']")
        await sign.focus()
        await page.keyboard.press("Enter")
        card = page.locator(".plan-card")
        await expect(card.locator("h3")).to_be_focused()
        await expect(card.locator(".unit-name")).to_have_text(["nomad-01", "nomad-02"])
        await page.keyboard.press("Escape")
        await expect(card).to_have_count(0)
        await expect(sign).to_be_focused()
        await expect(page.locator(".placeless")).to_contain_text("nomad-19")


async def test_signs_carry_names_where_there_is_room_and_always_in_trouble(
    browser: Browser, centre: FakeCentre
) -> None:
    fleet = large_fleet(100)
    centre.units = {unit.unit_id: unit for unit in fleet}
    async with new_page(browser) as page:
        await open_view(page, centre, "fleet")
        loud = page.locator(".plan-unit[data-standing=trouble], .plan-unit[data-standing=lost]")
        await expect(loud.locator(".plan-name")).to_have_count(await loud.count())
        named = await page.locator(".plan-unit[data-standing=ok] .plan-name").count()
        assert 0 < named < 80


async def test_a_hundred_units_are_shown_soon_and_cost_little(browser: Browser, centre: FakeCentre) -> None:
    centre.units = {unit.unit_id: unit for unit in large_fleet(100)}
    async with new_page(browser) as page:
        await open_view(page, centre, "fleet")
        bytes_sent = await page.evaluate(
            "performance.getEntriesByType('resource').reduce((sum, one) => sum + one.transferSize, 0)"
        )
        assert bytes_sent < 300_000
        asked_at = await page.evaluate("performance.getEntriesByName(performance.getEntries()[0].name)[0].startTime")
        painted = await page.wait_for_function("performance.getEntriesByName('first-contentful-paint')[0]?.startTime")
        shown_at = await painted.json_value()
        assert shown_at - asked_at < 10_000, "ten times what an idle machine may take"


async def test_what_a_unit_says_is_never_read_as_html(browser: Browser, centre: FakeCentre) -> None:
    camera = CameraView(name="main", state="critical", recording=False)
    evil = summary(
        "nomad-66",
        "trouble",
        deployment_id=EVIL,
        software_version=EVIL,
        cameras=(camera,),
        reasons=(
            Reason(code=EVIL, camera=EVIL, details={"cause": EVIL, "name": EVIL, "probe": EVIL, "figures": [EVIL]}),
        ),
        place=place(2.35, 48.86, source=EVIL),
    )
    async with new_page(browser) as page:
        centre.units = {"nomad-66": evil}
        centre.views["nomad-66"] = {"health": {"heard_at": "2026-11-22T12:00:00.000Z", "body": evil_health()}}
        await open_view(page, centre, "fleet")
        await page.hover(".plan-mark")
        await expect(page.locator(".reasons")).to_contain_text("<b>bold</b>")
        await page.click(".unit-row")
        await page.wait_for_selector(".probe")
        assert await page.locator("main b:text-is('bold'), main img, .leaflet-tooltip b").count() == 0
        assert "taken" not in await page.title()


def evil_health() -> dict[str, object]:
    cameras = {EVIL: {"state": EVIL, "recording": False, "cause": EVIL, "detail": EVIL, "warnings": [EVIL]}}
    return {"camera": {"state": EVIL, "cameras": cameras}, "storage": {"state": "ok", EVIL: EVIL, "free_bytes": "x"}}


async def test_bodies_of_an_unknown_shape_leave_the_page_whole(browser: Browser, centre: FakeCentre) -> None:
    centre.views["nomad-07"] = {
        "health": {"heard_at": "2026-11-22T12:00:00.000Z", "body": {"camera": None, "storage": {"state": 7}}},
        "coverage": {"heard_at": "nonsense", "body": {"cameras": [{"camera": "x", "last_24h": [{"from": "?"}]}]}},
        "position": {"heard_at": "2026-11-22T12:00:00.000Z", "body": {"properties": None}},
    }
    async with new_page(browser) as page:
        await open_view(page, centre, "unit")
        await expect(page.locator(".covered")).to_have_count(1)
        centre.publish(
            "unit", summary("nomad-08", "warning").to_object() | {"standing": "of-tomorrow", "reasons": []}
        )
        await page.goto(f"{centre.url}#/")
        await expect(page.locator(".unit-row:has-text('nomad-08')")).to_contain_text("of tomorrow")


async def test_all_of_it_by_keyboard_alone(browser: Browser, centre: FakeCentre) -> None:
    async with new_page(browser) as page:
        await open_view(page, centre, "fleet")
        await page.keyboard.press("Tab")
        await expect(page.locator(".skip")).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(page.locator("main")).to_be_focused()
        await page.keyboard.press("/")
        await expect(page.locator("#search")).to_be_focused()
        await page.keyboard.type("nomad-07")
        await tab_to(page, ".unit-row")
        await page.keyboard.press("Enter")
        await expect(page.locator("h1")).to_have_text("nomad-07")
        await expect(page.locator("h1")).to_be_focused()
        await page.keyboard.press("r")
        await expect(page.locator("h1")).to_contain_text("Request footage")
        await page.keyboard.press("?")
        await expect(page.locator("dialog")).to_be_visible()
        await page.keyboard.press("Escape")
        for key, title in (("a", "Alarms"), ("s", "Summary of"), ("f", "Fleet")):
            await page.keyboard.press(key)
            await expect(page.locator("h1")).to_contain_text(title)


async def tab_to(page: Page, selector: str) -> None:
    """Tab until it has the focus; no trap on the way keeps it away."""
    for _ in range(60):
        await page.keyboard.press("Tab")
        if await page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"{selector} is not reached by Tab")


async def test_tab_goes_through_a_view_and_comes_round(browser: Browser, centre: FakeCentre) -> None:
    async with new_page(browser) as page:
        await open_view(page, centre, "unit")
        await tab_to(page, ".skip")
        await page.keyboard.press("Tab")
        await tab_to(page, ".skip, body")


async def test_alarms_that_are_over_wait_for_somebody_too(browser: Browser, centre: FakeCentre) -> None:
    async with new_page(browser) as page:
        await open_view(page, centre, "fleet")
        await expect(page.locator("nav .count")).to_contain_text("3")
        centre.change(summary("nomad-22", unacknowledged_alarms=5))
        await expect(page.locator("nav .count")).to_contain_text("8")


async def test_single_keys_can_be_switched_off(browser: Browser, centre: FakeCentre) -> None:
    async with new_page(browser) as page:
        await open_view(page, centre, "fleet")
        await page.click("button:has-text('Settings')")
        await page.uncheck("text=Single-key shortcuts")
        await page.click("dialog button:has-text('Close')")
        await page.keyboard.press("a")
        await page.keyboard.press("s")
        await expect(page.locator(".view-fleet")).to_be_visible()


async def test_language_and_colours_are_remembered(browser: Browser, centre: FakeCentre) -> None:
    async with new_page(browser) as page:
        await open_view(page, centre, "fleet")
        await page.click("button[lang=fr]")
        await expect(page.locator("nav")).to_contain_text("Alarmes")
        await page.click("button:has-text('Réglages')")
        await page.check("text=Claires")
        await page.reload()
        await expect(page.locator("html")).to_have_attribute("lang", "fr")
        await expect(page.locator("html")).to_have_attribute("data-theme", "light")
        ground = await page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        assert ground == "rgb(237, 241, 245)"


async def test_troubles_are_read_out_together_and_not_one_by_one(browser: Browser, centre: FakeCentre) -> None:
    async with new_page(browser) as page:
        await open_view(page, centre, "fleet")
        for unit in ("nomad-01", "nomad-02", "nomad-22"):
            centre.change(summary(unit, "trouble"))
        region = page.locator("#announcer")
        await expect(region).to_have_text("3 units in trouble: nomad-01, nomad-02, nomad-22", timeout=15_000)


async def test_a_hundred_units_that_change_redraw_only_what_changed(browser: Browser, centre: FakeCentre) -> None:
    centre.units = {unit.unit_id: unit for unit in large_fleet(100)}
    async with new_page(browser) as page:
        await open_view(page, centre, "fleet")
        await page.evaluate(WATCH_ROWS)
        centre.change(summary("nomad-050", "warning", deployment_id="moved"))
        await wait_true(page, "window.touched.size > 0", what="a change")
        await asyncio.sleep(0)
        assert await page.evaluate("[...window.touched]") == ["nomad-050"]
        await until(lambda: centre.listeners == 1 or None, what="one stream")


WATCH_ROWS = """() => {
    window.touched = new Set();
    const everything = {subtree: true, childList: true, attributes: true, characterData: true};
    new MutationObserver((records) => records.forEach((record) => {
        const row = (record.target.closest ? record.target : record.target.parentElement)?.closest(".unit-row");
        if (!row || record.target.closest?.("time-ago")) return;
        window.touched.add(row.querySelector(".unit-name").textContent);
    })).observe(document.querySelector(".units"), everything);
}"""
"""Notes the units whose rows were changed inside; clocks that tick are none of it."""
