"""A segment as it lies in the ring is a file that ffmpeg opens, dates right and decodes to the last frame."""

import json
import subprocess
from pathlib import Path

import pytest

from edge_agent.contract.access_unit import Codec
from tests.builders import Stream, make_units
from tests.support.segments import write_segments

pytestmark = pytest.mark.real


def _segment(root: Path, stream: Stream) -> Path:
    (info,) = write_segments(root, stream)
    return root / info.file


def _probe(path: Path, entries: str) -> list[dict[str, object]]:
    command = ["ffprobe", "-v", "error", "-count_frames", "-show_entries", entries, "-of", "json", str(path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    assert done.stderr == ""
    shown: dict[str, list[dict[str, object]]] = json.loads(done.stdout)
    return shown["packets"] if "packet" in entries else shown["streams"]


@pytest.mark.parametrize("codec", ["h264", "hevc"])
@pytest.mark.parametrize("b_frames", [0, 2])
@pytest.mark.parametrize("annex_b", [False, True])
def test_ffprobe_tells_the_times_and_ffmpeg_decodes_every_frame(
    tmp_path: Path, codec: Codec, b_frames: int, annex_b: bool
) -> None:
    stream = make_units(3.4, codec=codec, gop=40, b_frames=b_frames, annex_b=annex_b)
    path = _segment(tmp_path, stream)
    packets = _probe(path, "packet=pts,dts,duration,flags")
    assert [(packet["pts"], packet["dts"], packet["duration"]) for packet in packets] == [
        (unit.pts_90k, unit.dts_90k, unit.duration_90k) for unit in stream.units
    ]
    assert ["K" in str(packet["flags"]) for packet in packets] == [unit.is_key for unit in stream.units]
    (video,) = _probe(path, "stream=codec_name,width,height,nb_read_frames")
    assert video["codec_name"] == codec
    assert (video["width"], video["height"], video["nb_read_frames"]) == (128, 96, str(len(stream.units)))


def _framehashes(path: Path, *options: str) -> list[str]:
    """A digest of each decoded picture, in order of presentation."""
    command = ["ffmpeg", "-v", "error", "-i", str(path), *options, "-f", "framehash", "-"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    assert done.stderr == ""
    return [line.rsplit(",", 1)[1].strip() for line in done.stdout.splitlines() if not line.startswith("#")]


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_pictures_are_the_same_from_either_framing_and_after_a_cut(tmp_path: Path, codec: Codec) -> None:
    folders = [tmp_path / name for name in ("length", "annex-b")]
    hashes = []
    for folder, annex_b in zip(folders, (False, True), strict=True):
        folder.mkdir()
        hashes.append(_framehashes(_segment(folder, make_units(2, codec=codec, b_frames=2, annex_b=annex_b))))
    assert hashes[0] == hashes[1]
    assert len(set(hashes[0])) > 25
    whole = (folders[0] / "00000001.mp4").read_bytes()
    torn = tmp_path / "torn.mp4"
    (info,) = write_segments(tmp_path, make_units(2, codec=codec, b_frames=2))
    torn.write_bytes(whole[: info.fragments[1].offset])
    assert _framehashes(torn) == hashes[0][:25]
