"""A stranger's path on the real service, with a real unit: find the one in trouble, ask for a clip, watch it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from edge_agent.capture import timecode
from edge_agent.clock import SystemClock
from tests.support.browser import chromium, new_page, wait_true
from tests.support.centre import Centre
from tests.support.pixels import luma_shown
from tests.support.processes import Processes
from tests.support.unit import UNIT_ID, Camera, Unit, running

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

PARIS = ZoneInfo("Europe/Paris")
FPS = 10
MOST_LEFT_OUT_MS = 5 * 1000 / FPS
"""Pictures that a camera on a busy machine leaves out; a group of pictures is longer."""
CLIP_S = 6
LONG_MS = 150_000
"""For what a unit and a verification on a busy machine need."""


@dataclass
class Street:
    """A unit with a camera that records and one that is not there."""

    unit: Unit
    centre: Centre


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Street]:
    directory = tmp_path_factory.mktemp("street")
    processes = Processes()
    picture: Camera = {
        "width": 320,
        "height": 240,
        "fps": FPS,
        "bitrate_kbps": 400,
        "segment_s": 5,
        "min_free_bytes": 1_000_000,
    }
    cameras: list[Camera] = [
        {"name": "main", "source": "test:"} | picture,
        {"name": "yard", "source": "rtsp://127.0.0.1:9/none", "min_free_bytes": 1_000_000},
    ]
    unit = Unit(directory / "unit", processes, cameras)
    centre = Centre(directory, processes, "--zone", "Europe/Paris").serve()
    try:
        for _ in running(unit):
            centre.enrol_unit(unit)
            unit.start(wait=False)
            unit.wait_recording("main")
            centre.wait_online()
            yield Street(unit, centre)
    finally:
        processes.kill_all()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as one:
        yield one


async def signed_in(page: Page, street: Street) -> None:
    shown = await asyncio.to_thread(street.centre.cli, "page")
    assert shown.returncode == 0, shown.stderr
    await page.goto(shown.stdout.strip())
    await page.wait_for_selector("html[data-connection=live]", state="attached")


def local_text(instant_us: int) -> str:
    """As a field of date and time takes it, in the centre's zone."""
    return datetime.fromtimestamp(instant_us / 1e6, UTC).astimezone(PARIS).strftime("%Y-%m-%dT%H:%M:%S")


async def code_shown(page: Page) -> tuple[timecode.TimeCode, float]:
    """The time code of the picture that the video shows, and the video's own time."""
    await wait_true(
        page, "document.querySelector('video')?.readyState >= 2", what="a picture", timeout_s=LONG_MS / 1000
    )
    code = timecode.read(await luma_shown(page))
    assert code is not None, "no time code can be read"
    return code, float(await page.eval_on_selector("video", "video => video.currentTime"))


async def test_from_the_unit_in_trouble_to_its_playing_clip(browser: Browser, street: Street) -> None:
    async with new_page(browser) as page:
        await signed_in(page, street)
        await page.click(f".unit-row[data-standing=trouble]:has-text('{UNIT_ID}')", timeout=LONG_MS)
        await expect(page.locator(".causes")).to_contain_text("yard: does not record")
        await page.wait_for_selector(".bar [data-stretch]", timeout=LONG_MS)

        await asyncio.to_thread(street.unit.wait_recording, "main")
        end_us = SystemClock().wall_us() // 1_000_000 * 1_000_000 - 2_000_000
        start_us = end_us - CLIP_S * 1_000_000
        await page.click("text=Request footage")
        await page.select_option("#camera", "main")
        await page.fill("#from", local_text(start_us))
        await page.fill("#to", local_text(end_us))
        await page.fill("#reference", "PV 2026/118")
        await page.fill("#purpose", "requisition")
        await page.fill("#operator", "A. Martin")
        await page.wait_for_selector(".estimates")
        await page.click("text=Send the request")

        await page.wait_for_selector("text=Watch the clip", timeout=LONG_MS)
        await page.wait_for_selector(".command .badge:has-text('Done')", timeout=LONG_MS)
        await page.click("text=Watch the clip")
        await page.wait_for_selector(".view-title .badge:has-text('Verified')", timeout=LONG_MS)
        code, time_s = await code_shown(page)
        assert time_s == 0
        assert 0 <= code.utc_ms - start_us // 1000 < MOST_LEFT_OUT_MS
        await page.eval_on_selector(
            "video", "video => { video.defaultPlaybackRate = video.playbackRate = 2; return video.play() }"
        )
        await wait_true(page, "document.querySelector('video').ended", what="its end", timeout_s=LONG_MS / 1000)
        last, _ = await code_shown(page)
        assert 0 < end_us // 1000 - last.utc_ms <= MOST_LEFT_OUT_MS
        digests = await page.locator(".digest code").all_text_contents()
        assert len(digests) > 0
        assert all(len(digest) == 64 for digest in digests)


async def test_the_unit_answers_questions_of_the_page(browser: Browser, street: Street) -> None:
    async with new_page(browser) as page:
        await signed_in(page, street)
        await page.goto(f"{page.url.split('#')[0]}#/units/{UNIT_ID}")
        await page.click("section[aria-labelledby=health-title] button:has-text('Ask the unit now')")
        await page.fill("#operator-asked", "A. Martin")
        await page.click("dialog button:has-text('Continue')")
        await expect(page.locator("section[aria-labelledby=health-title] .as-of")).to_contain_text(
            "just now", timeout=LONG_MS
        )
        await page.click(".covered:has-text('main') button:has-text('Ask the unit now')")
        await expect(page.locator(".covered:has-text('main') .bar [data-stretch].bar-held")).not_to_have_count(
            0, timeout=LONG_MS
        )


async def test_the_service_goes_and_comes_back(browser: Browser, street: Street) -> None:
    async with new_page(browser) as page:
        await signed_in(page, street)
        await page.wait_for_selector(".unit-row")
        await asyncio.to_thread(street.centre.end)
        await page.wait_for_selector(".unit-row[data-standing=stale]")
        await expect(page.locator(".banners")).to_contain_text("Connection to the server lost")
        await asyncio.to_thread(street.centre.serve)
        await page.wait_for_selector(".unit-row[data-standing=trouble]", timeout=LONG_MS)
        await expect(page.locator(".banners")).to_be_empty()
