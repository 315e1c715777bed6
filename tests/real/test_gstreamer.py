"""`gstreamer:` with the GStreamer of this machine: what pipelines give, what they say when they cannot."""

import threading
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import av
import psutil
import pytest

from edge_agent.capture.gstreamer import process
from edge_agent.capture.gstreamer.process import CHILD, Order, running
from edge_agent.clock import SystemClock
from edge_agent.errors import CaptureError, SourceFormatError, SourceUnavailableError
from tests.support.polling import wait_until
from tests.support.processes import Processes
from tests.support.supervised import StartCapture, captures, decode_all, run_once
from tests.support.unit import Unit, camera_of
from tests.support.unit import running as running_unit

pytestmark = pytest.mark.real

LIVE = "videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width=192,height=144,framerate=25/1"
FAST = "speed-preset=ultrafast key-int-max=10"
X264 = f"x264enc tune=zerolatency bitrate=300 {FAST}"


@pytest.fixture
def capture() -> Iterator[StartCapture]:
    """Starts pipelines."""
    with captures() as start:
        yield lambda pipeline, **settings: start(f"gstreamer:{pipeline}", **settings)


def run_pipeline(pipeline: str, stop: threading.Event | None = None) -> None:
    """One attempt."""
    run_once(f"gstreamer:{pipeline}", stop)


def children() -> list[psutil.Process]:
    """Pipelines that this process runs."""
    found = []
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if str(CHILD.parent) in child.cmdline():
                found.append(child)
    return found


@pytest.mark.parametrize(
    ("encoder", "codec", "reorders"),
    [
        (X264, "h264", False),
        (
            "x264enc bframes=2 rc-lookahead=5 sync-lookahead=0 key-int-max=10 speed-preset=ultrafast b-adapt=false",
            "h264",
            True,
        ),
        (f"x265enc tune=zerolatency {FAST}", "hevc", False),
    ],
)
def test_what_a_pipeline_encodes_is_recorded_as_it_comes(
    capture: StartCapture, encoder: str, codec: str, reorders: bool
) -> None:
    camera = capture(f"{LIVE} ! {encoder}")
    camera.until_units(40)
    camera.end()
    assert [(config.codec, cause) for config, cause in camera.sink.starts] == [(codec, "start")]
    config = camera.sink.starts[0][0]
    assert (config.width_px, config.height_px, config.frame_rate_fps) == (192, 144, 25.0)
    units = camera.sink.units
    assert len(decode_all(config, units)) == len(units), "an end in order leaves no picture half"
    assert any(unit.pts_90k > unit.dts_90k for unit in units) is reorders
    steps = [after.dts_90k - before.dts_90k for before, after in pairwise(units)]
    assert sorted(steps)[len(steps) // 2] == 3600
    assert camera.sink.ends == [("stopped", "recording was stopped")]
    assert children() == []


def test_a_live_picture_is_dated_by_when_it_was_taken(capture: StartCapture) -> None:
    """An encoder that holds pictures back for a second does not make them a second younger."""
    began_us = SystemClock().monotonic_us()
    camera = capture(f"{LIVE} ! x264enc key-int-max=10 bframes=0 rc-lookahead=20 speed-preset=ultrafast mb-tree=true")
    units = camera.until_units(30)
    now_us = camera.clock.monotonic_us()
    ages_us = [now_us - unit.capture_us for unit in units[:30]]
    assert ages_us[-1] > 400_000, "the last that came was taken long ago"
    assert began_us < units[0].capture_us < now_us
    for before, after in pairwise(units[:30]):
        assert after.capture_us - before.capture_us == pytest.approx(40_000, abs=5)
        assert (after.pts_90k - before.pts_90k) * 100 / 9 == pytest.approx(40_000, abs=25)


@pytest.mark.parametrize(
    ("ending", "kind"),
    [("", "I420"), (" ! videoconvert ! video/x-raw,format=NV12", "NV12"), (" ! jpegenc", "mjpeg")],
)
def test_pictures_that_the_pipeline_does_not_encode_are_encoded_here(
    capture: StartCapture, ending: str, kind: str
) -> None:
    masks = [[(0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)]]
    camera = capture(f"{LIVE.replace('pattern=ball', 'pattern=white')}{ending}", masks=masks, hflip=True, fps=25)
    began_us = camera.clock.monotonic_us()
    units = camera.until_units(30)
    camera.end()
    config = camera.sink.starts[0][0]
    assert (config.codec, config.width_px, config.height_px) == ("h264", 192, 144)
    frames = decode_all(config, camera.sink.units)
    row = memoryview(frames[-1].planes[0]).cast("B")[72 * frames[-1].planes[0].line_size :]
    assert row[20] < 60, "the mask"
    assert row[170] > 200, "the picture"
    assert all(began_us - 5_000_000 < unit.capture_us < camera.clock.monotonic_us() for unit in units)
    steps = [after.capture_us - before.capture_us for before, after in pairwise(units)]
    assert sorted(steps)[len(steps) // 2] == pytest.approx(40_000, abs=1_000)
    configured = camera.report.state.configured
    assert configured is not None
    assert (configured.format, configured.width_px, configured.fps) == (kind, 192, 25.0)
    assert camera.report.state.warnings == {}
    assert camera.report.state.encoder


def test_what_a_pipeline_encodes_is_masked_all_the_same(capture: StartCapture) -> None:
    masks = [[(0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)]]
    camera = capture(f"{LIVE.replace('pattern=ball', 'pattern=white')} ! {X264}", masks=masks)
    camera.until_units(30)
    camera.end()
    frames = decode_all(camera.sink.starts[0][0], camera.sink.units)
    row = memoryview(frames[-1].planes[0]).cast("B")[72 * frames[-1].planes[0].line_size :]
    assert row[20] < 60, "the mask"
    assert row[170] > 200, "the picture"


def test_a_size_and_a_rate_that_were_not_asked_for_are_told(capture: StartCapture) -> None:
    camera = capture(f"{LIVE} ! {X264}", width=1280, height=720, fps=50)
    camera.until_units(5)
    warnings = camera.report.state.warnings
    assert "gives 192×144" in warnings["size-not-as-asked"]
    assert "asked for 50" in warnings["frame-rate-not-as-asked"]


def test_what_is_not_live_is_played_in_real_time_and_ends(tmp_path: Path) -> None:
    clock = SystemClock()
    began_us = clock.monotonic_us()
    with pytest.raises(SourceUnavailableError, match="came to its end"):
        run_pipeline(
            f"videotestsrc num-buffers=50 ! video/x-raw,format=I420,width=64,height=64,framerate=25/1 ! {X264}"
        )
    assert (clock.monotonic_us() - began_us) / 1e6 > 1.8


@pytest.mark.parametrize(
    ("pipeline", "kind", "said"),
    [
        ("videotestsrc ! nosuchelement", SourceFormatError, "no element nosuchelement"),
        ("videotestsrc ! nvv4l2h264enc", SourceFormatError, "nvidia-l4t-gstreamer"),
        ("videotestsrc nonsense=1 ! x264enc", SourceFormatError, "not understood"),
        ("videotestsrc ! (", SourceFormatError, "not understood"),
        ("videotestsrc ! x264enc ! fakesink", SourceFormatError, "no open end"),
        ("videotestsrc ! x264enc videotestsrc ! x264enc", SourceFormatError, "several open ends, one at x264enc"),
        ("x264enc", SourceFormatError, "open beginning"),
        ("v4l2src", SourceFormatError, "several things"),
        ("audiotestsrc", SourceFormatError, "sound never is"),
        ("v4l2src device=/dev/video99 ! image/jpeg", SourceUnavailableError, "v4l2-ctl --list-devices"),
        ("filesrc location=/nonexistent/street.h264 ! h264parse", SourceUnavailableError, "No such file"),
        ("filesrc location=/proc/cpuinfo ! h264parse", SourceUnavailableError, "No valid frames"),
    ],
)
def test_a_pipeline_that_cannot_run_says_why(pipeline: str, kind: type[CaptureError], said: str) -> None:
    with pytest.raises(kind, match=said) as caught:
        run_pipeline(pipeline)
    assert str(caught.value).startswith("gstreamer: ")
    assert children() == []


def test_a_key_frame_can_be_asked_for() -> None:
    with running(Order(f"{LIVE} ! x264enc tune=zerolatency key-int-max=1000 speed-preset=ultrafast")) as child:
        keys: list[int] = []
        for number in range(200):
            record = child.reader.read()
            assert record is not None
            if record.is_key:
                keys.append(number)
            if number == 30:
                child.ask_key()
            if len(keys) == 2:
                break
    assert 30 < keys[1] < 80


def test_a_pipeline_that_ended_starts_again(capture: StartCapture) -> None:
    camera = capture(
        f"videotestsrc num-buffers=20 ! video/x-raw,format=I420,width=64,height=64,framerate=25/1 ! {X264}"
    )
    camera.until(lambda state: state.restarts >= 2, "two restarts")
    wait_until(lambda: len(camera.sink.starts) >= 2, what="another stream")
    assert camera.sink.starts[1][1] == "camera-lost"


@pytest.fixture
def unit(tmp_path: Path, processes: Processes) -> Iterator[Unit]:
    yield from running_unit(Unit(tmp_path / "unit", processes))


@pytest.mark.parametrize("pipeline", [f"{LIVE} ! {X264}", LIVE])
def test_a_unit_records_a_pipeline_onto_its_disk(unit: Unit, pipeline: str) -> None:
    unit.cameras = [camera_of(f"gstreamer:{pipeline}")]
    unit.write_settings()
    unit.start()
    unit.wait_recording("main")
    assert unit.end() == 0
    unit.check_unbroken("main")
    pictures = 0
    for path in unit.segment_files():
        with av.open(str(path)) as container:
            pictures += sum(1 for _ in container.decode(video=0))
    assert pictures == sum(len(info.samples) for info in unit.scanned())
    assert pictures > 25


def test_a_machine_without_gstreamers_bindings_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no system's Python the agent's own is asked, which has no bindings."""
    monkeypatch.setattr(process, "SYSTEM_PYTHON", Path("/nonexistent/python3"))
    with pytest.raises(SourceUnavailableError, match=r"apt-get install python3-gi gir1\.2-gstreamer"):
        run_pipeline(f"{LIVE} ! {X264}")


def test_an_interpreter_that_cannot_be_started_is_named() -> None:
    with (
        pytest.raises(SourceUnavailableError, match="/nonexistent/python3 cannot be started"),
        running(Order("unused"), ("/nonexistent/python3",)),
    ):
        pass
