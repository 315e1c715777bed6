"""Chromium, signed in at the page, plays a clip from the API: from its exact start, seeking by ranges."""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.async_api import Page

from csu import stored_clips, stored_units
from csu.keys import KeyStore
from csu.page_session import make_ticket
from csu.registry import Registry
from tests.support.browser import chromium, new_page
from tests.support.numbered import number_in, numbered_units
from tests.support.recording import rotated
from tests.support.saved_clips import SavedClip, asked_s, saved_clip
from tests.unit.csu.api_parts import TOKEN, make_parts, serving
from tests.unit.csu.replies import COMMAND_ID, NOW_US

pytestmark = [pytest.mark.real, pytest.mark.slow]

FIRST = 108
"""The picture at 4.3 s, or the next one, at 25 a second."""

LOOK = """async ([url, seeks]) => {
  const video = document.createElement("video");
  video.muted = true;
  video.preload = "auto";
  document.body.replaceChildren(video);
  const drawn = () => new Promise((done) => video.requestVideoFrameCallback(() => {
    const canvas = document.createElement("canvas");
    const [width, height] = [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
    const context = canvas.getContext("2d");
    context.drawImage(video, 0, 0);
    done({width, height, pixels: Array.from(context.getImageData(0, 0, width, height).data)});
  }));
  const failed = new Promise((_, fail) => video.addEventListener("error", () => fail(video.error.message)));
  const first = drawn();
  video.src = url;
  const pictures = [await Promise.race([first, failed])];
  for (const time of seeks) {
    const next = drawn();
    video.currentTime = time;
    pictures.push(await Promise.race([next, failed]));
  }
  return {pictures, duration: video.duration};
}"""


def save(tmp_path: Path) -> SavedClip:
    ring = tmp_path / "ring"
    ring.mkdir()
    (tmp_path / "page" / "static").mkdir(parents=True)
    (tmp_path / "page" / "static" / "index.html").write_text("<!doctype html><title>CSU</title><body>")
    return saved_clip(ring, rotated(ring, numbered_units(14, b_frames=2), 85), asked_s(4.3, 9.7), ring / "out")


async def test_a_clip_plays_from_its_exact_start(tmp_path: Path) -> None:
    clip = await asyncio.to_thread(save, tmp_path)
    keys = await asyncio.to_thread(KeyStore, tmp_path / "keys")
    registry = Registry(tmp_path / "registry.db")
    await registry.open()
    await registry.run(stored_units.add_unit, "nomad-07", NOW_US)
    await registry.run(stored_clips.add_clip, "nomad-07", COMMAND_ID, str(clip.folder), NOW_US)
    async with (
        serving(make_parts(registry, keys), tmp_path / "page") as client,
        chromium() as browser,
        new_page(browser) as page,
    ):
        statuses = await play(page, str(client._base_url).rstrip("/"), clip.parts[0].name)
    assert statuses <= {200, 206}
    await registry.close()


async def play(page: Page, url: str, name: str) -> set[int]:
    """Watch it; the statuses of the answers that Chromium got for it."""
    statuses: set[int] = set()
    page.on("response", lambda answer: statuses.add(answer.status) if name in answer.url else None)
    await page.goto(f"{url}/sign-in?token={make_ticket(TOKEN, NOW_US)}")
    assert page.url == f"{url}/"
    path = f"{url}/v1/clips/nomad-07/{COMMAND_ID}/files/{name}"
    seen = await page.evaluate(LOOK, [path, [2.7, 0.02, 5.3]])
    assert seen["duration"] == pytest.approx(5.4, abs=0.001)
    assert list(map(number, seen["pictures"])) == [FIRST, FIRST + 67, FIRST, FIRST + 132]
    return statuses


def number(picture: dict[str, Any]) -> int:
    pixels = np.array(picture["pixels"], dtype=np.uint8).reshape(picture["height"], picture["width"], 4)
    return number_in(pixels[:, :, 1])
