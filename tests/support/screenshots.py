"""The README's pictures of the page, from the demonstration with three units: `scripts/screenshots`.

It takes some minutes: each picture waits for the trouble that it shows.
"""

import asyncio
import shutil
import sys
import tempfile
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path

from playwright.async_api import Browser, Page

from tests.support.browser import chromium, new_page, wait_true
from tests.support.demo import demo
from tests.support.polling import wait_until
from tests.support.processes import Processes

DIRECTORY = Path("/tmp/demo")
"""Of the demonstration, made and removed: what a unit says of its camera names it, and a picture shows it."""
TROUBLED = "nomad-03"
PHONE = 390, 844
MAX_BYTES = 300_000
STEP_S = 600.0
SETTLED_MS = 1500
"""For a view to be complete once it is there: bars, the plan's marks."""


class Pictures:
    """What is taken of one demonstration."""

    def __init__(self, browser: Browser, directory: Path, said: Path, folder: Path) -> None:
        self._browser = browser
        self._directory = directory
        self._said = said
        self._folder = folder

    async def after(self, words: str) -> str:
        """Wait until the demonstration has said this; what followed in that line."""
        return await asyncio.to_thread(self._await, words) or ""

    def _await(self, words: str) -> str | None:
        return wait_until(lambda: self._line_with(words), what=words, timeout_s=STEP_S)

    def _line_with(self, words: str) -> str | None:
        _, found, rest = self._said.read_text().partition(words)
        return found + rest.splitlines()[0] if found and "\n" in rest else None

    async def take(
        self,
        name: str,
        address: str,
        ready: str,
        *,
        size: tuple[int, int] = (1280, 800),
        prepare: Callable[[Page], Coroutine[None, None, None]] | None = None,
    ) -> None:
        """Open a view in a browser that has never been there, and keep what it shows."""
        async with new_page(self._browser, width=size[0], height=size[1], scheme="light") as page:
            await page.goto(await self._sign_in_address())
            await page.wait_for_selector("html[data-connection=live]", state="attached")
            await page.goto(f"{page.url.split('#')[0]}#{address}")
            await page.wait_for_selector(ready, timeout=STEP_S * 1000)
            if prepare is not None:
                await prepare(page)
            await page.wait_for_timeout(SETTLED_MS)
            file = self._folder / f"{name}.png"
            await page.screenshot(path=file)
        size_bytes = file.stat().st_size
        assert size_bytes <= MAX_BYTES, f"{file} has {size_bytes} bytes"
        sys.stdout.write(f"{file}: {size_bytes} bytes\n")

    async def _sign_in_address(self) -> str:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "csu", "page", "--dir", self._directory / "csu", stdout=asyncio.subprocess.PIPE
        )
        address, _ = await process.communicate()
        return address.decode().strip()


async def fill_request(page: Page) -> None:
    """Of the last minute, not sent."""
    now = datetime.now(UTC).replace(microsecond=0)
    for field, moment in (("#from", now - timedelta(seconds=75)), ("#to", now - timedelta(seconds=15))):
        await page.fill(field, f"{moment:%Y-%m-%dT%H:%M:%S}")
    for field, text in (("#reference", "PV 2026/118"), ("#purpose", "requisition"), ("#operator", "A. Martin")):
        await page.fill(field, text)
    await page.wait_for_selector(".estimates")
    await page.locator(".estimates").scroll_into_view_if_needed()


async def seek(page: Page) -> None:
    """Some way into the clip, where a picture is shown."""
    await page.eval_on_selector("video", "video => { video.currentTime = 2.4 }")
    await wait_true(page, "document.querySelector('video').readyState >= 2", what="a picture")


async def take_all(directory: Path, said: Path, folder: Path) -> None:
    """Each picture in its moment."""
    async with chromium() as browser:
        pictures = Pictures(browser, directory, said, folder)
        await pictures.after(f"{TROUBLED} has told of it")
        await pictures.take("page-fleet", "/", f".unit-row[data-standing=trouble]:has-text('{TROUBLED}')")
        await pictures.take("page-unit", f"/units/{TROUBLED}", ".bar [data-stretch]", size=(1280, 1150))
        address = "/units/nomad-01/request?camera=main"
        await pictures.take("page-request", address, "#from", size=PHONE, prepare=fill_request)
        clip_id = (await pictures.after(f"csu fetch {TROUBLED}")).split()[3]
        await pictures.take("page-clip", f"/units/{TROUBLED}/clips/{clip_id}", "video", prepare=seek)


def main(folder: Path) -> None:
    """Run the demonstration and take the pictures."""
    processes = Processes()
    DIRECTORY.mkdir()
    try:
        with tempfile.TemporaryDirectory() as scratch:
            said = Path(scratch, "said.txt")
            with said.open("wb") as output:
                processes.start(demo("--dir", DIRECTORY, "--units", "3"), stdout=output)
            asyncio.run(take_all(DIRECTORY, said, folder))
    finally:
        processes.kill_all()
        shutil.rmtree(DIRECTORY)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
