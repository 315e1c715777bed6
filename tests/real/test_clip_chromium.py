"""Debian's Chromium plays a clip: the first picture it draws is the asked one, and seeks land where they should."""

import asyncio
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.numbered import numbered_units
from tests.support.player_page import player_page
from tests.support.processes import Processes
from tests.support.recording import rotated
from tests.support.saved_clips import SavedClip, asked_s, saved_clip

pytestmark = [pytest.mark.real, pytest.mark.slow]

FIRST = 108
"""The picture at 4.3 s, or the next one, at 25 a second."""

FLAGS = (
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

SEEKS_S = [2.7, 0.02, 5.3, 1.0]


@pytest.fixture(scope="module", params=[0, 2], ids=["without B-frames", "with B-frames"])
def clip(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> SavedClip:
    ring = tmp_path_factory.mktemp("ring")
    stream = numbered_units(14, b_frames=request.param)
    return saved_clip(ring, rotated(ring, stream, 85), asked_s(4.3, 9.7), ring / "out")


async def pictures(clip: Path, profile: Path, processes: Processes) -> tuple[list[tuple[float, int]], float, int]:
    """Times and numbers of the pictures drawn, the clip's duration, and how many requests it took."""
    chromium = shutil.which("chromium")
    assert chromium, "Debian's chromium package is missing"
    async with player_page(clip, list(SEEKS_S)) as playing:
        processes.start([chromium, *FLAGS, f"--user-data-dir={profile}", playing.url], stderr=subprocess.DEVNULL)
        report = await asyncio.wait_for(playing.report, 120)
        assert "error" not in report, report
        return [(time_s, number) for time_s, number in report["shown"]], report["duration"], len(playing.ranges)


def expected_at(time_s: float) -> int:
    return FIRST + int(time_s / 0.04 + 0.001)


async def test_the_first_picture_is_the_asked_one_and_seeks_are_exact(
    clip: SavedClip, tmp_path: Path, processes: Processes
) -> None:
    shown, duration_s, requests = await pictures(clip.parts[0], tmp_path / "profile", processes)
    assert shown[0] == (0.0, FIRST)
    assert [number for _, number in shown[1:]] == [expected_at(time_s) for time_s in SEEKS_S]
    assert duration_s == pytest.approx(5.4, abs=0.001)
    assert requests <= 2 + 3 * len(SEEKS_S)


async def test_a_lossless_copy_shows_the_same(clip: SavedClip, tmp_path: Path, processes: Processes) -> None:
    copy = tmp_path / "copy.mp4"
    command = ["ffmpeg", "-v", "error", "-i", str(clip.parts[0]), "-c", "copy", str(copy)]
    await asyncio.to_thread(subprocess.run, command, check=True, timeout=120)
    shown, _, _ = await pictures(copy, tmp_path / "profile", processes)
    assert [number for _, number in shown] == [FIRST, *map(expected_at, SEEKS_S)]
