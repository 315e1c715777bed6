"""axe-core finds nothing on any view, in either language, in either colours; a phone shows all of it."""

from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page

from tests.support.browser import new_page
from tests.support.fake_centre import FakeCentre
from tests.support.page_views import ADDRESSES, open_view

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

AXE = Path(__file__).parents[2] / "node" / "node_modules" / "axe-core" / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
LOOKS = [("en-GB", "dark"), ("en-GB", "light"), ("fr-FR", "dark"), ("fr-FR", "light")]


async def violations(page: Page) -> list[str]:
    """What axe-core holds against the page as it is now, one line each."""
    await page.evaluate(AXE.read_text(encoding="utf-8"))
    options = {"runOnly": {"type": "tag", "values": RULES}, "resultTypes": ["violations"]}
    found: dict[str, Any] = await page.evaluate("options => axe.run(document, options)", options)
    return [
        f"{one['id']}: {node['html'][:150]} {node.get('failureSummary', '')[:300]}"
        for one in found["violations"]
        for node in one["nodes"]
    ]


@pytest.mark.parametrize(("language", "scheme"), LOOKS)
async def test_axe_finds_nothing_on_any_view(
    browser: Browser, centre: FakeCentre, language: str, scheme: str
) -> None:
    async with new_page(browser, language=language, scheme=scheme) as page:
        for name in ADDRESSES:
            await open_view(page, centre, name)
            assert await page.get_attribute("html", "lang") == language[:2]
            for closed in await page.query_selector_all("details:not([open]) > summary"):
                await closed.click()
            assert await violations(page) == [], f"{name}, {language}, {scheme}"


@pytest.mark.parametrize("scheme", ["dark", "light"])
async def test_axe_finds_nothing_in_dialogs_errors_and_banners(
    browser: Browser, centre: FakeCentre, scheme: str
) -> None:
    async with new_page(browser, scheme=scheme) as page:
        await open_view(page, centre, "request")
        await page.click("button:has-text('Send the request')")
        await page.wait_for_selector(".error")
        assert await violations(page) == []
        await page.click("button:has-text('Help')")
        assert await violations(page) == []
        await page.keyboard.press("Escape")
        await page.click("button:has-text('Settings')")
        assert await violations(page) == []
        await page.keyboard.press("Escape")
        await open_view(page, centre, "alarms")
        await page.click("button:has-text('Acknowledge') >> nth=1")
        assert await violations(page) == []
        await page.keyboard.press("Escape")
        await open_view(page, centre, "fleet")
        await page.click(".plan-mark >> nth=0")
        await page.wait_for_selector(".plan-card")
        assert await violations(page) == []
        await centre.close()
        await page.wait_for_selector("html[data-connection=lost]", state="attached")
        await page.wait_for_selector(".banner")
        assert await violations(page) == []


TOO_SMALL = """least => [...document.querySelectorAll("a[href], button, input, select, textarea, summary")]
    .filter((one) => one.checkVisibility({visibilityProperty: true}) && !one.closest(".hidden, .skip"))
    .map((one) => [one.closest("label") ?? one, one])
    .map(([area, one]) => [area.getBoundingClientRect(), one])
    .filter(([box, one]) => box.width && (box.width < least || box.height < least)
        && !(one.matches("a") && getComputedStyle(one).display === "inline"))
    .map(([box, one]) => `${Math.round(box.width)}x${Math.round(box.height)} ${one.outerHTML.slice(0, 120)}`)"""
"""Targets under so many pixels; links inside of sentences are excepted (WCAG 2.2, 2.5.8)."""


@pytest.mark.parametrize(
    ("width", "height", "language"), [(360, 800, "fr-FR"), (360, 800, "en-GB"), (320, 640, "fr-FR")]
)
async def test_a_phone_shows_all_of_it_without_scrolling_sideways(
    browser: Browser, centre: FakeCentre, width: int, height: int, language: str
) -> None:
    async with new_page(browser, width=width, height=height, language=language, touch=True) as page:
        for name in ADDRESSES:
            await open_view(page, centre, name)
            overhang = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert overhang <= 0, f"{name}: {overhang} px"
            assert await page.evaluate(TOO_SMALL, 24) == [], name


async def test_text_grows_to_twice_its_size_without_loss(browser: Browser, centre: FakeCentre) -> None:
    async with new_page(browser, width=640, height=512) as page:
        for name in ADDRESSES:
            await open_view(page, centre, name)
            await page.evaluate("document.documentElement.style.fontSize = '32px'")
            overhang = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert overhang <= 0, f"{name}: {overhang} px"


async def test_on_a_wall_screen_text_is_large_and_no_view_is_left_empty(browser: Browser, centre: FakeCentre) -> None:
    async with new_page(browser, width=3840, height=2160) as page:
        await open_view(page, centre, "fleet")
        size_px = await page.evaluate("parseFloat(getComputedStyle(document.querySelector('.unit-name')).fontSize)")
        assert size_px >= 28
        box = await page.locator(".plan").bounding_box()
        assert box is not None
        assert box["width"] > 3840 * 0.5
        assert box["height"] > 2160 * 0.6
