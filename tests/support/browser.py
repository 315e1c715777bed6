"""Debian's Chromium, headless, driven by Playwright: one browser, a fresh context for each page."""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Browser, Page, async_playwright, expect

TIMEOUT_MS = 30_000
"""Generous: the machine may be busy."""
expect.set_options(timeout=TIMEOUT_MS)

_POLL_S = 0.05
_FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking")


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """A running browser."""
    program = shutil.which("chromium")
    assert program, "Debian's chromium package is missing"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=list(_FLAGS))
        try:
            yield browser
        finally:
            await browser.close()


class Complaints:
    """What a page says of itself that it should not: errors of scripts, breaches of its security policy."""

    def __init__(self, page: Page) -> None:
        self.said: list[str] = []
        page.on("pageerror", lambda error: self.said.append(f"error: {error}"))
        page.on("console", lambda line: self.said.append(line.text) if self._is_grave(line.type, line.text) else None)

    @staticmethod
    def _is_grave(kind: str, text: str) -> bool:
        return kind == "error" and "Failed to load resource" not in text


@asynccontextmanager
async def new_page(
    browser: Browser,
    *,
    width: int = 1366,
    height: int = 768,
    language: str = "en-GB",
    scheme: str = "dark",
    touch: bool = False,
) -> AsyncIterator[Page]:
    """A page of a browser that has never been there; it must have nothing to complain of."""
    context = await browser.new_context(
        viewport={"width": width, "height": height},
        locale=language,
        timezone_id="UTC",
        color_scheme="light" if scheme == "light" else "dark",
        has_touch=touch,
        reduced_motion="reduce",
    )
    context.set_default_timeout(TIMEOUT_MS)
    page = await context.new_page()
    complaints = Complaints(page)
    try:
        yield page
        assert not complaints.said, complaints.said
    finally:
        await context.close()


async def wait_true(page: Page, expression: str, *, what: str, timeout_s: float = TIMEOUT_MS / 1000) -> None:
    """Ask the page again and again; `Page.wait_for_function` evaluates strings, which a strict page forbids."""
    deadline_s = time.monotonic() + timeout_s
    while not await page.evaluate(expression):
        assert time.monotonic() < deadline_s, f"{what}: not within {timeout_s} s"
        await asyncio.sleep(_POLL_S)
