"""A clip in the browser: from its exact start, one part after the other; what cannot be played says why."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from csu.views import ClipFile
from tests.support import fake_fleet
from tests.support.browser import new_page, wait_true
from tests.support.fake_centre import FakeCentre
from tests.support.numbered import number_in, numbered_units
from tests.support.page_views import CLIP, open_view
from tests.support.pixels import luma_shown
from tests.support.recording import rotated
from tests.support.saved_clips import asked_s, saved_clip

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

SIZE_BYTES = 250_000
"""As the list of files says; nothing depends on it."""

FIRST = 108
"""The picture at 4.3 s, or the next one, at 25 a second."""


@pytest.fixture(scope="module")
def part(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of numbered pictures that begins between two key pictures."""
    ring = tmp_path_factory.mktemp("ring")
    return saved_clip(ring, rotated(ring, numbered_units(10, b_frames=2), 85), asked_s(4.3, 5.3), ring / "out").parts[
        0
    ]


def offer(centre: FakeCentre, files: Sequence[ClipFile], **paths: Path) -> None:
    centre.clip = fake_fleet.clip_view(tuple(files))
    centre.files = {f"{name}.mp4": path for name, path in paths.items()}


async def wait_picture(page: Page) -> None:
    await wait_true(page, "document.querySelector('video')?.readyState >= 2", what="a picture")


async def test_the_first_picture_is_the_asked_one(browser: Browser, centre: FakeCentre, part: Path) -> None:
    offer(centre, fake_fleet.clip_files([("one.mp4", SIZE_BYTES)]), one=part)
    async with new_page(browser) as page:
        await open_view(page, centre, "clip")
        await wait_picture(page)
        assert number_in(await luma_shown(page)) == FIRST
        await page.click("text=Frame ▸")
        await wait_true(page, "document.querySelector('video').currentTime > 0.03", what="the next frame")
        await wait_true(page, "!document.querySelector('video').seeking", what="the next frame")
        assert number_in(await luma_shown(page)) == FIRST + 1


async def test_parts_play_one_after_the_other(browser: Browser, centre: FakeCentre, part: Path) -> None:
    files = fake_fleet.clip_files([("one.mp4", SIZE_BYTES), ("two.mp4", SIZE_BYTES)])
    offer(centre, files, one=part, two=part)
    async with new_page(browser) as page:
        await open_view(page, centre, "clip")
        await wait_picture(page)
        await page.click(".rates >> text=4×")
        await page.eval_on_selector("video", "video => video.play()")
        await expect(page.locator("video")).to_have_attribute("src", files[1].url, timeout=20_000)
        await wait_true(page, "document.querySelector('video')?.ended", what="the end of the second part")
        assert await page.eval_on_selector("video", "video => video.playbackRate") == 4


async def test_a_place_that_was_not_known_any_more_is_marked(
    browser: Browser, centre: FakeCentre, part: Path
) -> None:
    offer(centre, fake_fleet.clip_files([("one.mp4", SIZE_BYTES)]), one=part)
    known = {"longitude_deg": 2.3522, "latitude_deg": 48.8566, "accuracy_m": 6.0, "source": "gnss"}
    tunnel = known | {"at": "2026-11-22T12:00:30.000Z", "fix": "none", "age_s": 21.5}
    beyond = known | {"at": "2026-11-22T12:00:40.000Z", "fix": "3d", "age_s": 0.5, "longitude_deg": 2.36}
    centre.clip = centre.clip.model_copy(update={"positions": (tunnel, beyond)})
    async with new_page(browser) as page:
        await open_view(page, centre, "clip")
        main = page.locator("main")
        for word in ["48.85660° N, 2.35220° E ± 6 m", "last known position · Measured: ", ":00:08.500"]:
            await expect(main).to_contain_text(word)
        await page.click("text=2 places in this clip")
        second = main.locator("ol > li").nth(1)
        await expect(second).to_contain_text("2.36000° E")
        await expect(second).not_to_contain_text("last known")


async def test_everything_that_is_known_is_shown(browser: Browser, centre: FakeCentre, part: Path) -> None:
    files = fake_fleet.clip_files([("one.mp4", SIZE_BYTES)])
    offer(centre, [files[0].model_copy(update={"sha256": "ab" * 32}), files[1]], one=part)
    async with new_page(browser) as page:
        await open_view(page, centre, "clip")
        words = ["Verified", "satellite time", "at most ± 0.4 ms", "48.85660° N, 2.35220° E ± 6 m", "ab" * 32]
        for word in [*words, "the recorder was restarted", "manifest.jws", "some players start 0.64 s early"]:
            await expect(page.locator("main")).to_contain_text(word)


async def test_all_files_are_downloaded(browser: Browser, centre: FakeCentre, part: Path) -> None:
    files = fake_fleet.clip_files([("one.mp4", SIZE_BYTES)])
    offer(centre, files, one=part)
    centre.files["manifest.jws"] = part
    async with new_page(browser) as page:
        await open_view(page, centre, "clip")
        names: list[str] = []
        page.on("download", lambda download: names.append(download.suggested_filename))
        await page.click("text=Download all 2 files")
        while len(names) < 2:
            download = await page.wait_for_event("download")
            names += [] if download.suggested_filename in names else [download.suggested_filename]
        assert set(names) == {"one.mp4", "manifest.jws"}


async def test_h265_says_in_words_why_it_is_not_played(browser: Browser, centre: FakeCentre, part: Path) -> None:
    offer(centre, fake_fleet.clip_files([("one.mp4", 148_000_000)], codec="h265"), one=part)
    async with new_page(browser, language="fr-FR") as page:
        plays = await page.evaluate(
            "document.createElement('video').canPlayType('video/mp4; codecs=\"hvc1.1.6.L120.B0\"')"
        )
        assert plays == "", "this browser plays H.265: the test needs one that does not"
        await page.goto(centre.url + CLIP)
        await expect(page.locator(".note-warning")).to_contain_text("H.265")
        await expect(page.locator(".note-warning a")).to_have_attribute(
            "href", f"{centre.clip.files[0].url}?download"
        )
        await expect(page.locator("video")).to_have_count(0)


async def test_a_file_that_no_browser_reads_is_offered(browser: Browser, centre: FakeCentre, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video at all")
    offer(centre, fake_fleet.clip_files([("one.mp4", 15)]), one=broken)
    async with new_page(browser) as page:
        await page.goto(centre.url + CLIP)
        await expect(page.locator(".note-warning")).to_contain_text("This browser does not play this clip.")
