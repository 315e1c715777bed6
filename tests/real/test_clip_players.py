"""What ffprobe, ffmpeg and PyAV show of a clip: exactly the asked pictures, also after a lossless copy."""

import json
import subprocess
from pathlib import Path
from typing import Any, cast

import av
import pytest

from csu.verify import verify_clip
from edge_agent.contract.access_unit import Codec
from tests.support.numbered import number_of, numbered_units
from tests.support.recording import rotated
from tests.support.saved_clips import UNIT_KEYS, SavedClip, asked_s, saved_clip

pytestmark = pytest.mark.real

STREAMS: dict[str, tuple[Codec, int, str]] = {
    "h264": ("h264", 0, ""),
    "h264 with B-frames": ("h264", 2, ""),
    "h264 with a B-pyramid and open groups": ("h264", 3, "open-gop=1:b-pyramid=2"),
    "hevc": ("hevc", 0, ""),
    "hevc with B-frames": ("hevc", 3, "open-gop=0"),
    "hevc with open groups": ("hevc", 3, "open-gop=1"),
}


@pytest.fixture(scope="module", params=STREAMS.values(), ids=list(STREAMS))
def clip(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> SavedClip:
    """From 4.3 s to 9.7 s of 14 s in segments of 3.4 s: pictures 108 to 242 at 25 a second."""
    codec, b_frames, options = request.param
    ring = tmp_path_factory.mktemp("ring")
    stream = numbered_units(14, codec=codec, b_frames=b_frames, options=options)
    return saved_clip(ring, rotated(ring, stream, 85), asked_s(4.3, 9.7), ring / "out")


FIRST, LAST = 108, 242


OPEN_GROUP_REMARK = "mmco: unref short failure"
"""What libavcodec says of any H.264 stream entered at an open group: a reference that it never had is gone."""


def run(*command: str | Path) -> str:
    """Run a program that has nothing to complain of."""
    done = subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True, timeout=120)
    remarks = [line for line in done.stderr.splitlines() if "Last message repeated" not in line]
    assert [line for line in remarks if OPEN_GROUP_REMARK not in line] == []
    return done.stdout


def numbers(path: Path) -> list[tuple[int, int]]:
    """Picture number and time in ms of everything that is shown."""
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        return [(number_of(frame), round((frame.time or 0.0) * 1000)) for frame in container.decode(video)]


EXPECTED = [(number, 40 * (number - FIRST)) for number in range(FIRST, LAST + 1)]


def probe(path: Path, *options: str) -> dict[str, Any]:
    return cast("dict[str, Any]", json.loads(run("ffprobe", "-v", "error", "-of", "json", *options, path)))


def test_the_asked_pictures_are_shown_and_no_other(clip: SavedClip) -> None:
    assert numbers(clip.parts[0]) == EXPECTED


def test_the_clip_verifies(clip: SavedClip) -> None:
    verdict = verify_clip(clip.folder, UNIT_KEYS)
    assert verdict.findings == ()
    assert verdict.parts[0].decoded == LAST - FIRST + 1


def test_ffprobe_sees_the_same_start_duration_and_count(clip: SavedClip) -> None:
    shown = probe(clip.parts[0], "-show_entries", "format=start_time,duration:stream=nb_read_frames", "-count_frames")
    assert float(shown["format"]["start_time"]) == 0
    assert float(shown["format"]["duration"]) == pytest.approx(5.4, abs=0.001)
    assert shown["streams"][0]["nb_read_frames"] == str(LAST - FIRST + 1)
    frames = probe(clip.parts[0], "-show_entries", "frame=pts_time")["frames"]
    assert [round(float(frame["pts_time"]) * 1000) for frame in frames] == [time_ms for _, time_ms in EXPECTED]


def test_a_lossless_copy_starts_at_the_same_picture(clip: SavedClip, tmp_path: Path) -> None:
    for name in ("copy.mp4", "copy.mov"):
        run("ffmpeg", "-v", "error", "-i", clip.parts[0], "-c", "copy", tmp_path / name)
        assert numbers(tmp_path / name)[: len(EXPECTED)] == EXPECTED


def test_a_copy_into_matroska_holds_every_asked_picture(clip: SavedClip, tmp_path: Path) -> None:
    """Matroska has no edit list: the pictures before the asked one come with times before zero or are cut."""
    path = tmp_path / "copy.mkv"
    subprocess.run(
        ["ffmpeg", "-v", "fatal", "-i", str(clip.parts[0]), "-c", "copy", str(path)], check=True, timeout=120
    )
    shown = [number for number, _ in numbers(path)]
    assert set(range(FIRST, LAST + 1)) <= set(shown)


@pytest.mark.parametrize("offset_s", [0.02, 1.5, 3.98, 5.3])
def test_seeking_lands_on_the_right_picture(clip: SavedClip, tmp_path: Path, offset_s: float) -> None:
    path = tmp_path / "one.y4m"
    run("ffmpeg", "-v", "error", "-ss", str(offset_s), "-i", clip.parts[0], "-frames:v", "1", path)
    ((number, _),) = numbers(path)
    assert number == FIRST + -int(-offset_s // 0.04)


def test_ffmpeg_decodes_all_of_it_without_a_word(clip: SavedClip) -> None:
    run("ffmpeg", "-v", "warning", "-i", clip.parts[0], "-f", "null", "-")
