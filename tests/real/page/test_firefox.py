"""The page in Firefox, which a city's desks run too: it signs in, follows, and plays a clip from its exact start."""

import asyncio
import base64
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import av
import numpy as np
import pytest
import pytest_asyncio

from csu import stored_clips, stored_units
from csu.keys import KeyStore
from csu.registry import Registry
from csu.verify import verify_clip
from edge_agent.clock import SystemClock
from edge_agent.contract.jws import SigningKey
from tests.real.csu_service import CsuService
from tests.support.fake_centre import PAGE, FakeCentre
from tests.support.firefox import Firefox, firefox
from tests.support.numbered import number_in, number_of, numbered_units
from tests.support.page_views import ADDRESSES
from tests.support.preroll_probe import FIRST as FIRST_SHOWN
from tests.support.preroll_probe import SHOWN as SHOWN_COUNT
from tests.support.processes import Processes
from tests.support.recording import rotated
from tests.support.saved_clips import UNIT_KEYS, asked_s, saved_clip
from tests.unit.csu.replies import COMMAND_ID

pytestmark = [pytest.mark.real, pytest.mark.slow]
in_the_browser = pytest.mark.asyncio(loop_scope="module")

UNIT_ID = "nomad-07"
FIRST = 108
"""The picture at 4.3 s, or the next one, at 25 a second."""
START_S = 24.32
"""Of its minute."""
EARLY_S = 0.32
"""From the key frame, the hundredth picture, where Firefox begins."""
PHONE = 360, 740
TAB, ENTER = "\ue004", "\ue007"
LIVE = "document.documentElement.dataset.connection === 'live'"
TEXT = "document.querySelector('main').innerText"
SHOWN = """(() => {
    const video = document.querySelector("video");
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
    const draw = canvas.getContext("2d");
    draw.drawImage(video, 0, 0);
    const pixels = draw.getImageData(0, 0, canvas.width, canvas.height).data;
    return {width: canvas.width, height: canvas.height, pixels: btoa(String.fromCharCode(...pixels))};
})()"""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def page(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Firefox]:
    async with firefox(tmp_path_factory.mktemp("profile")) as running:
        yield running


def _seed(directory: Path) -> None:
    """A unit, and a clip of it whose pictures carry their numbers."""
    ring = directory / "ring"
    ring.mkdir()
    clip = saved_clip(ring, rotated(ring, numbered_units(14, b_frames=2), 85), asked_s(4.3, 9.7), ring / "out")
    (directory / "csu" / "keys").mkdir(parents=True, mode=0o700)
    KeyStore(directory / "csu" / "keys").enrol(UNIT_ID, SigningKey.generate().public_jwk())
    report = verify_clip(clip.folder, UNIT_KEYS).to_object()
    asyncio.run(_fill(directory / "csu" / "registry.db", clip.folder, report))


async def _fill(database: Path, folder: Path, report: dict[str, object]) -> None:
    now_us = SystemClock().wall_us()
    registry = Registry(database)
    await registry.open()
    await registry.run(stored_units.add_unit, UNIT_ID, now_us)
    await registry.run(stored_clips.add_clip, UNIT_ID, COMMAND_ID, str(folder), now_us)
    await registry.run(stored_clips.save_verdict, UNIT_ID, COMMAND_ID, None, report, None, now_us)
    await registry.close()


@pytest.fixture
def service(tmp_path: Path) -> Iterator[CsuService]:
    """`csu serve` with that unit and that clip."""
    _seed(tmp_path)
    processes = Processes()
    serving = CsuService(tmp_path, processes)
    try:
        serving.start()
        yield serving
        serving.stop_units()
    finally:
        processes.kill_all()


async def picture(page: Firefox) -> int:
    """The number of the picture that the video shows."""
    shown = await page.evaluate(SHOWN)
    pixels = np.frombuffer(base64.b64decode(shown["pixels"]), dtype=np.uint8)
    return number_in(pixels.reshape(shown["height"], shown["width"], 4)[:, :, 1])


@in_the_browser
async def test_from_signing_in_to_the_exact_picture(page: Firefox, service: CsuService) -> None:
    signed = await asyncio.to_thread(service.cli, "page")
    await page.resize(1440, 900)
    await page.open(signed.stdout.strip())
    await page.until(LIVE, what="the stream of events")
    row = f"[...document.querySelectorAll('.unit-row')].find((row) => row.textContent.includes('{UNIT_ID}'))"
    await page.until(f"{row}?.dataset.standing === 'unheard'", what="the unit's standing")

    newcomer = row.replace(UNIT_ID, "nomad-08")
    identity = await asyncio.to_thread(service.enrol, "nomad-08")
    await page.until(f"{newcomer}?.dataset.standing === 'unheard'", what="a new unit")
    await asyncio.to_thread(service.unit, lambda unit, command: None, identity)
    await page.until(f"{newcomer}.dataset.standing !== 'unheard'", what="what was heard of it")

    await page.press("/")
    await page.until("document.activeElement.id === 'search'", what="the field to search in")
    await page.press(*UNIT_ID)
    await page.until("document.querySelectorAll('.unit-row').length === 1", what="what was searched for")
    for _ in range(10):
        if await page.evaluate("document.activeElement.matches('.unit-row')"):
            break
        await page.press(TAB)
    await page.press(ENTER)
    await page.until("document.querySelector('h1')?.textContent === 'nomad-07'", what="the unit's page")
    await page.until("document.querySelector('.clip-row')", what="its clip")
    await page.evaluate("document.querySelector('.clip-row').click()")
    await page.until("document.querySelector('video')?.readyState >= 2", what="a picture")
    await page.until("!document.querySelector('video').seeking", what="its start")
    await shows(page, FIRST, 0)
    for seconds, number in (
        (2.7, FIRST + 67),
        (0, FIRST),
    ):  # as by the bar of time, which has the browser's own count
        await page.evaluate(f"void (document.querySelector('video').currentTime = {seconds and seconds + EARLY_S})")
        await page.until("!document.querySelector('video').seeking", what="another place")
        await shows(page, number, seconds)
    assert "Verified" in await page.evaluate(TEXT)
    await page.evaluate("(video => { video.muted = true; return video.play() })(document.querySelector('video'))")
    await page.until("document.querySelector('video').ended", what="its end")
    assert FIRST + 134 <= await picture(page) <= FIRST + 135


async def shows(page: Firefox, number: int, seconds: float) -> None:
    """The picture so far into the clip, and its time in words."""
    words = await page.evaluate("document.getElementById('player-time').value")
    assert await picture(page) == number
    assert f":{START_S + seconds:06.3f}" in words


def test_the_clip_that_the_page_tries_is_what_it_takes_it_for() -> None:
    with av.open(PAGE / "static" / "preroll.mp4") as file:
        assert [number_of(frame) for frame in file.decode(video=0)] == list(
            range(FIRST_SHOWN, FIRST_SHOWN + SHOWN_COUNT)
        )


@in_the_browser
async def test_no_view_is_wider_than_a_phone(page: Firefox, centre: FakeCentre) -> None:
    await page.resize(*PHONE)
    for name, address in ADDRESSES.items():
        await page.open("about:blank")
        await page.open(centre.url + address)
        await page.until("document.querySelector('h1') && !document.querySelector('.waiting')", what=name)
        assert await page.evaluate("document.documentElement.scrollWidth") <= PHONE[0], name
