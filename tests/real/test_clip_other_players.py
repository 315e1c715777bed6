"""What GStreamer and VLC show of a clip: the first heeds the edit list, the second starts the preroll earlier."""

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import av
import pytest

from edge_agent.contract.manifest import read_manifest
from tests.real.test_clip_players import EXPECTED, FIRST, STREAMS
from tests.support.numbered import BITS, CELL_PX, number_of, numbered_units
from tests.support.recording import rotated
from tests.support.saved_clips import UNIT_KEYS, SavedClip, asked_s, saved_clip

pytestmark = [pytest.mark.real, pytest.mark.alone]

UNDECODABLE = "h264 with a B-pyramid and open groups"
"""Debian's GStreamer decodes H.264 by openh264, which stops at such streams, whoever wrote their file."""

SEEKS_MS = [1520, 3960, 200]
REMARKS = ("Unsupported extra data version 1", "Cannot run decoder multi-threaded")
"""What libde265 says of every H.265 file."""

VLC_STREAMS = ["h264 with B-frames", "hevc with open groups"]
FPS = 25


@pytest.fixture(scope="module", params=STREAMS)
def clip(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, SavedClip]:
    return request.param, make_clip(tmp_path_factory.mktemp("ring"), request.param, 9.7)


def make_clip(ring: Path, name: str, to_s: float) -> SavedClip:
    """From 4.3 s, in segments of 3.4 s."""
    codec, b_frames, options = STREAMS[name]
    stream = numbered_units(14, codec=codec, b_frames=b_frames, options=options)
    return saved_clip(ring, rotated(ring, stream, 85), asked_s(4.3, to_s), ring / "out")


def gstreamer(path: Path, seeks_ms: list[int]) -> dict[str, Any]:
    script = Path(__file__).with_name("gst_player.py")
    command = ["/usr/bin/python3", str(script), str(path), str(BITS), str(CELL_PX), *map(str, seeks_ms)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout
    return cast("dict[str, Any]", json.loads(answer))


def test_gstreamer_shows_the_asked_pictures_and_seeks_to_them(clip: tuple[str, SavedClip]) -> None:
    name, saved = clip
    told = gstreamer(saved.parts[0], [] if name == UNDECODABLE else SEEKS_MS)
    assert (told["result"], told["duration_ms"], told["seekable"]) == ("ok", 5400, True)
    assert told["codec"] == ("video/x-h264" if name.startswith("h264") else "video/x-h265")
    # What lies before the edit list's start is cut off behind the demuxer: key frames once a second from picture 125.
    assert (told["samples"], told["keys_ms"]) == (len(EXPECTED), [680, 1680, 2680, 3680, 4680])
    if name != UNDECODABLE:
        assert [tuple(picture) for picture in told["shown"]] == EXPECTED
        assert told["seeks"] == [[FIRST + at_ms // 40, at_ms] for at_ms in SEEKS_MS]
        assert [words for words in told["complaints"] if not any(remark in words for remark in REMARKS)] == []


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder in which anybody may write: VLC does not run as root."""
    with tempfile.TemporaryDirectory(prefix="vlc-") as name:
        folder = Path(name)
        folder.chmod(0o777)
        yield folder


def vlc(path: Path, folder: Path) -> list[int]:
    """The numbers of the pictures that VLC shows, in order."""
    scene = ["--video-filter", "scene", "--scene-format", "png", "--scene-ratio", "1", "--scene-prefix", "p"]
    player = ["cvlc", "-I", "dummy", "--vout", "dummy", "--no-audio", "--play-and-exit", *scene]
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.geteuid() == 0 else []
    with path.open("rb") as file:
        subprocess.run(
            [*nobody, *player, "--scene-path", str(folder), "fd://0"],
            stdin=file,
            env=os.environ | {"HOME": str(folder)},
            cwd=folder,
            check=True,
            capture_output=True,
            timeout=90,
        )
    return [picture_number(picture) for picture in sorted(folder.glob("p*.png"))]


def picture_number(path: Path) -> int:
    with av.open(str(path)) as container:
        return next(number_of(frame.reformat(format="gray")) for frame in container.decode(video=0))


@pytest.mark.parametrize("name", VLC_STREAMS)
def test_vlc_starts_as_much_earlier_as_the_manifest_says(tmp_path: Path, open_folder: Path, name: str) -> None:
    saved = make_clip(tmp_path, name, 6.3)
    manifest = read_manifest(saved.manifest.read_text(encoding="ascii"), UNIT_KEYS)
    preroll_pictures = manifest.parts[0].preroll_90k * FPS // 90_000
    shown = vlc(saved.parts[0], open_folder)
    assert preroll_pictures == FIRST % FPS
    # On a machine that is busy VLC leaves out the very first picture.
    assert shown[0] - (FIRST - preroll_pictures) in {0, 1}
    assert shown == sorted(shown)
    # A machine that is busy shows fewer; what is shown belongs to the clip, but for the last group's references.
    assert shown[-1] in range(FIRST + 45, FIRST + 50 + 4)
    assert len(set(shown)) > 30
