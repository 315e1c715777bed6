import re
import threading
from itertools import pairwise
from pathlib import Path

import pytest

from edge_agent.capture.table import open_source
from edge_agent.clock import FakeClock
from edge_agent.contract.access_unit import AccessUnit
from edge_agent.errors import SourceFormatError, SourceUnavailableError
from edge_agent.settings import CameraSettings
from tests.support.rotten import rot
from tests.unit.capture.clips import extradata_of, packets_of, write_clip
from tests.unit.capture.fakes import RecordingSink, make_context


class PlayingSink(RecordingSink):
    """Notes when each picture came, and stops the source after so many."""

    def __init__(self, limit: int, clock: FakeClock) -> None:
        super().__init__()
        self.stop = threading.Event()
        self.came_us: list[int] = []
        self._limit = limit
        self._clock = clock

    def write(self, unit: AccessUnit) -> None:
        super().write(unit)
        self.came_us.append(self._clock.monotonic_us())
        if len(self.units) >= self._limit:
            self.stop.set()


def play(path: Path, limit: int, clock: FakeClock | None = None, address: str | None = None) -> PlayingSink:
    clock = clock or FakeClock()
    sink = PlayingSink(limit, clock)
    camera = CameraSettings(name="main", source=address or f"file:{path}")
    open_source(camera, make_context(clock)).run(sink, sink.stop)
    return sink


CLIPS = [("libx264", "clip.mp4"), ("libx264", "clip.mkv"), ("libx264", "clip.ts"), ("libx265", "clip.mp4")]


@pytest.mark.parametrize(("codec", "name"), CLIPS)
@pytest.mark.parametrize("b_frames", [0, 2])
def test_packets_are_untouched_and_rounds_follow_without_a_seam(
    tmp_path: Path, codec: str, name: str, b_frames: int
) -> None:
    clip = write_clip(tmp_path / name, codec=codec, frames=30, b_frames=b_frames)
    packets = packets_of(clip)
    sink = play(clip, 3 * len(packets))
    assert [unit.data for unit in sink.units] == packets * 3
    assert sink.causes == ["start"], "a round is no new segment"
    assert sink.starts[0][0].extradata == extradata_of(clip)
    steps = {later.dts_90k - earlier.dts_90k for earlier, later in pairwise(sink.units)}
    assert max(steps) - min(steps) <= 90, "even over the seam (Matroska counts milliseconds)"
    shown = sorted(unit.pts_90k for unit in sink.units)
    assert all(3500 < later - earlier < 3700 for earlier, later in pairwise(shown))


@pytest.mark.parametrize("b_frames", [0, 2])
def test_it_plays_in_real_time(tmp_path: Path, b_frames: int) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=30, b_frames=b_frames)
    sink = play(clip, 90)
    for unit, came_us in zip(sink.units, sink.came_us, strict=True):
        assert 0 <= came_us - unit.capture_us <= 40_000 * (b_frames + 1), "never before it was taken"
    assert sink.came_us[-1] - sink.came_us[0] == pytest.approx(89 * 40_000, abs=100_000)


def test_capture_time_is_media_time(tmp_path: Path) -> None:
    sink = play(write_clip(tmp_path / "clip.mp4", frames=30, b_frames=2), 60)
    shifts = {unit.capture_us - unit.pts_90k * 100 // 9 for unit in sink.units}
    assert max(shifts) - min(shifts) <= 100


def test_audio_is_not_recorded(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=30, audio=True)
    sink = play(clip, 30)
    assert [unit.data for unit in sink.units] == packets_of(clip)


def test_a_file_without_stamps_is_played_at_its_frame_rate(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.h264", frames=30)
    sink = play(clip, 60)
    assert sink.came_us[-1] - sink.came_us[0] == pytest.approx(59 * 40_000, abs=80_000)
    assert len(sink.starts) == 1


def test_a_process_that_was_stopped_leaves_a_gap(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=30)
    clock = FakeClock()

    class StoppedSink(PlayingSink):
        def write(self, unit: AccessUnit) -> None:
            super().write(unit)
            if len(self.units) == 45:
                clock.advance(60.0)

    sink = StoppedSink(100, clock)
    open_source(CameraSettings(name="main", source=f"file:{clip}"), make_context(clock)).run(sink, sink.stop)
    assert sink.causes == ["start", "camera-lost"]
    hole_us = sink.streams[1][0].capture_us - sink.streams[0][-1].capture_us
    assert hole_us == pytest.approx(60_000_000, abs=1_000_000)
    hole_90k = sink.streams[1][0].dts_90k - sink.streams[0][-1].dts_90k
    assert hole_90k == pytest.approx(60 * 90_000, abs=90_000)


def test_addresses_with_slashes(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a clip.mp4", frames=10)
    quoted = str(clip).replace(" ", "%20")
    assert play(clip, 5, address=f"file://{quoted}").units
    assert play(clip, 5, address=f"FILE:{clip}").units


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailableError, match=r"gone\.mp4: there is no such file"):
        play(tmp_path / "gone.mp4", 1)


def test_a_missing_file_is_named_with_its_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceUnavailableError) as caught:
        play(Path("gone.mp4"), 1)
    assert str(tmp_path / "gone.mp4") in str(caught.value)


def test_a_file_that_the_storage_cannot_read_is_a_camera_that_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = tmp_path / "street.mp4"
    clip.touch()
    rot(monkeypatch, clip)
    with pytest.raises(SourceUnavailableError, match=re.escape(str(clip))):
        play(clip, 1)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailableError, match="no such file"):
        play(tmp_path, 1)


@pytest.mark.parametrize("content", [b"", b"\x00" * 100, b"not a video\n" * 50])
def test_garbage_is_a_format_error(tmp_path: Path, content: bytes) -> None:
    clip = tmp_path / "garbage.mp4"
    clip.write_bytes(content)
    with pytest.raises(SourceFormatError, match=r"garbage\.mp4"):
        play(clip, 1)


def test_a_torn_file_is_a_format_error(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=30)
    clip.write_bytes(clip.read_bytes()[:-200])
    with pytest.raises(SourceFormatError, match="not a whole video file"):
        play(clip, 1)


def test_another_codec_comes_with_the_remedy(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.avi", codec="mjpeg", frames=5)
    with pytest.raises(SourceFormatError, match=r"mjpeg.*ffmpeg -i clip\.avi -an -c:v libx264"):
        play(clip, 1)


def test_a_file_without_video_is_a_format_error(tmp_path: Path) -> None:
    clip = tmp_path / "subtitles.srt"
    clip.write_text("1\n00:00:00,000 --> 00:00:01,000\nhello\n", encoding="utf-8")
    with pytest.raises(SourceFormatError, match="no video"):
        play(clip, 1)


def test_a_file_that_is_replaced_by_another_kind_starts_anew(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=10)
    other = write_clip(tmp_path / "other.mp4", frames=10, width=320, height=240).read_bytes()

    class ReplacingSink(PlayingSink):
        def write(self, unit: AccessUnit) -> None:
            super().write(unit)
            if len(self.units) == 5:
                clip.unlink()
                clip.write_bytes(other)

    clock = FakeClock()
    sink = ReplacingSink(100, clock)
    source = open_source(CameraSettings(name="main", source=f"file:{clip}"), make_context(clock))
    with pytest.raises(SourceUnavailableError, match="replaced"):
        source.run(sink, sink.stop)
    assert len(sink.units) == 10
