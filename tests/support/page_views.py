"""Every view of the page, as addresses after the hash, and how to come there."""

from playwright.async_api import Page

from tests.support.fake_centre import FakeCentre
from tests.support.fake_fleet import CLIP_ID, COMMAND_ID

UNIT = "#/units/nomad-07"
REQUEST = f"{UNIT}/request"
COMMAND = f"{UNIT}/commands/{COMMAND_ID}"
CLIP = f"{UNIT}/clips/{CLIP_ID}"
ADDRESSES = {
    "fleet": "#/",
    "unit": UNIT,
    "request": f"{REQUEST}?from=2026-11-22T12:00:00Z&to=2026-11-22T12:05:00Z",
    "command": COMMAND,
    "clip": CLIP,
    "alarms": "#/alarms",
    "summary": "#/summary",
    "missing": "#/nowhere",
}
"""By the name of the view."""

_WHOLE = {
    "fleet": ".unit-row",
    "unit": ".clip-row",
    "request": ".estimates",
    "command": "progress",
    "clip": ".files",
    "alarms": ".alarm",
    "summary": "table.summary",
    "missing": "h1",
}
"""What each shows once its answers have come."""


async def open_view(page: Page, centre: FakeCentre, name: str) -> None:
    """Go there as from an address that somebody sent, and wait until it is whole."""
    await page.goto("about:blank")
    await page.goto(centre.url + ADDRESSES[name])
    await page.wait_for_selector(_WHOLE[name])
    await page.wait_for_selector("html[data-connection=live]", state="attached")
