"""Debian's Chromium, headless, playing clips."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.support.player_page import Watched, player_page
from tests.support.processes import Processes

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

_TIMEOUT_S = 180.0


async def watch(jobs: Sequence[tuple[Path, Sequence[float]]], profile: Path, processes: Processes) -> list[Watched]:
    """What Chromium shows of clips, one after another: at first, after seeks to these times, and when it plays.

    `profile` is a folder that is made for the browser's own files; `processes` ends it.
    """
    chromium = shutil.which("chromium")
    assert chromium, "Debian's chromium package is missing"
    async with player_page(jobs) as page:
        processes.start([chromium, *_FLAGS, f"--user-data-dir={profile}", page.url], stderr=subprocess.DEVNULL)
        return await page.watched(_TIMEOUT_S)
