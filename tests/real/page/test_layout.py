"""What fits on a phone, at 400 % (WCAG 2.2, 1.4.10) and on paper: nothing out of sight or under something else."""

import re

import pytest
from playwright.async_api import Browser, Page, expect

from tests.support import fake_fleet
from tests.support.browser import new_page
from tests.support.fake_centre import FakeCentre
from tests.support.page_views import open_view

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

PHONE = 360
OUTSIDE = """selector => {
    const within = document.querySelector(".plan").getBoundingClientRect();
    return [...document.querySelectorAll(selector)].filter((element) => {
        const {left, right} = element.getBoundingClientRect();
        return left < within.left || right > within.right;
    }).map((element) => element.textContent);
}"""
"""Words of the plan that its edges cut."""
COVERED = """() => [...document.querySelectorAll(".plan-sign")].filter((sign) => {
    const mine = sign.getBoundingClientRect();
    return [...document.querySelectorAll(".leaflet-control")].some((control) => {
        const other = control.getBoundingClientRect();
        const [across, down] = [mine.left < other.right && other.left < mine.right, mine.top < other.bottom];
        return across && down && other.top < mine.bottom;
    });
}).length"""
"""How many signs lie under a control."""


async def show_plan(page: Page) -> None:
    await page.click(".panes button:nth-child(2)")
    await page.wait_for_selector(".plan-mark")


async def test_the_plan_of_a_phone_cuts_no_name_and_hides_no_sign(browser: Browser, centre: FakeCentre) -> None:
    centre.units = {unit.unit_id: unit for unit in fake_fleet.large_fleet(100)}
    async with new_page(browser, width=PHONE, height=740) as page:
        await open_view(page, centre, "fleet")
        await show_plan(page)
        await expect(page.locator(".plan-name")).not_to_have_count(0)
        assert await page.evaluate(OUTSIDE, ".plan-name") == []
        assert await page.evaluate(COVERED) == 0


async def test_no_degrees_lie_under_the_scale(browser: Browser, centre: FakeCentre) -> None:
    async with new_page(browser, width=1440, height=900) as page:
        await open_view(page, centre, "fleet")
        await expect(page.locator(".graticule-lng span")).not_to_have_count(0)
        scale = await page.locator(".leaflet-control-scale").bounding_box()
        assert scale is not None
        for label in await page.locator(".graticule-lng span").all():
            box = await label.bounding_box()
            assert box is not None
            assert box["x"] >= scale["x"] + scale["width"]


@pytest.mark.parametrize("view", ["unit", "summary"])
async def test_a_phone_shows_every_column_of_a_table(browser: Browser, centre: FakeCentre, view: str) -> None:
    async with new_page(browser, width=PHONE, height=740, language="fr-FR") as page:
        await open_view(page, centre, view)
        for cell in await page.locator(".table-box tbody tr > *").all():
            box = await cell.bounding_box()
            assert box is not None
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= PHONE


async def test_at_four_hundred_per_cent_the_head_leaves_room(browser: Browser, centre: FakeCentre) -> None:
    async with new_page(browser, width=320, height=256, language="fr-FR") as page:
        await open_view(page, centre, "unit")
        head = await page.locator(".top").bounding_box()
        assert head is not None
        assert head["height"] <= 256 / 2
        assert await page.evaluate("document.documentElement.scrollWidth") == 320


async def test_a_printed_day_says_of_when_it_is(browser: Browser, centre: FakeCentre) -> None:
    async with new_page(browser) as page:
        await open_view(page, centre, "summary")
        await page.emulate_media(media="print")
        standing = page.locator("section[aria-labelledby=now-title] .as-of")
        await expect(standing).to_be_visible()
        await expect(standing).to_have_text(re.compile(r"^as of \d+ \w+ \d{4}, \d\d:\d\d:\d\d$"))


async def test_a_clip_in_the_list_says_what_was_asked(browser: Browser, centre: FakeCentre) -> None:
    asked = fake_fleet.command("done", command_id=fake_fleet.CLIP_ID)
    centre.commands[asked.command_id] = asked
    async with new_page(browser) as page:
        await open_view(page, centre, "unit")
        await expect(page.locator(".clip-row")).to_contain_text("main: ")
        await expect(page.locator(".clip-row")).to_contain_text(f"· {asked.reference}")
        centre.commands.clear()
        await page.reload()
        await expect(page.locator(".clip-row")).to_contain_text(fake_fleet.CLIP_ID)


async def test_a_french_duration_has_a_space_before_its_unit(browser: Browser, centre: FakeCentre) -> None:
    async with new_page(browser, language="fr-FR") as page:
        await open_view(page, centre, "command")
        await expect(page.locator("main")).to_contain_text(re.compile(r"dans \d+\s(min|s)"))
