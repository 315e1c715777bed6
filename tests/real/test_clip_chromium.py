"""Debian's Chromium plays a clip: the first picture it draws is the asked one, and seeks land where they should."""

import asyncio
import subprocess
from pathlib import Path

import pytest

from tests.support.chromium import watch
from tests.support.numbered import number_in, numbered_units
from tests.support.player_page import Watched
from tests.support.processes import Processes
from tests.support.recording import rotated
from tests.support.saved_clips import SavedClip, asked_s, saved_clip

pytestmark = [pytest.mark.real, pytest.mark.slow]

FIRST = 108
"""The picture at 4.3 s, or the next one, at 25 a second."""

SEEKS_S = [2.7, 0.02, 5.3, 1.0]


@pytest.fixture(scope="module", params=[0, 2], ids=["without B-frames", "with B-frames"])
def clip(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> SavedClip:
    ring = tmp_path_factory.mktemp("ring")
    stream = numbered_units(14, b_frames=request.param)
    return saved_clip(ring, rotated(ring, stream, 85), asked_s(4.3, 9.7), ring / "out")


async def shown(clip: Path, tmp_path: Path, processes: Processes) -> Watched:
    (watched,) = await watch([(clip, SEEKS_S)], tmp_path / "profile", processes)
    return watched


def numbers(watched: Watched) -> list[int]:
    return [number_in(picture.luma) for picture in (watched.first, *watched.sought, watched.played)]


def expected_at(time_s: float) -> int:
    return FIRST + int(time_s / 0.04 + 0.001)


EXPECTED = [FIRST, *map(expected_at, SEEKS_S), FIRST]


async def test_the_first_picture_is_the_asked_one_and_seeks_are_exact(
    clip: SavedClip, tmp_path: Path, processes: Processes
) -> None:
    watched = await shown(clip.parts[0], tmp_path, processes)
    assert numbers(watched) == EXPECTED
    assert watched.first.time_s == watched.played.time_s == 0
    assert watched.duration_s == pytest.approx(5.4, abs=0.001)
    assert watched.requests <= 2 + 3 * len(SEEKS_S)


async def test_a_lossless_copy_shows_the_same(clip: SavedClip, tmp_path: Path, processes: Processes) -> None:
    copy = tmp_path / "copy.mp4"
    command = ["ffmpeg", "-v", "error", "-i", str(clip.parts[0]), "-c", "copy", str(copy)]
    await asyncio.to_thread(subprocess.run, command, check=True, timeout=120)
    assert numbers(await shown(copy, tmp_path, processes)) == EXPECTED
