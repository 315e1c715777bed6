"""`picamera2:` on fakes of its library: both platforms, controls of a real sensor, failures."""

import sys
import threading
from pathlib import Path

import pytest

from edge_agent.capture.picamera import pictures
from edge_agent.capture.picamera.choice import EncoderKind, kind_for, note_failure
from edge_agent.capture.picamera.library import load_library
from edge_agent.capture.picamera.source import PicameraSource
from edge_agent.capture.picamera.tuning import VARIABLE, tuning_path
from edge_agent.capture.report import CaptureReport
from edge_agent.clock import SystemClock
from edge_agent.errors import (
    SettingsError,
    SourceFormatError,
    SourceStalledError,
    SourceUnavailableError,
)
from edge_agent.settings import CameraSettings
from tests.support.polling import wait_until
from tests.unit.capture.fakes import RecordingSink, make_frame_context
from tests.unit.capture.picamera.fake_picamera2 import (
    Board,
    FakePicamera2,
    H264Encoder,
    LibavH264Encoder,
    Platform,
    Transform,
)
from tests.unit.capture.picamera.rig import Rig

_CLOCK = SystemClock()


def send(camera: FakePicamera2, pictures: int) -> None:
    for _ in range(pictures):
        camera.send()
        _CLOCK.sleep(0.001)


@pytest.mark.parametrize(
    ("platform", "encoder"), [(Platform.VC4, "picamera2 (V4L2)"), (Platform.PISP, "picamera2 (libx264)")]
)
def test_the_platform_says_which_encoder(board: Board, platform: Platform, encoder: str) -> None:
    board.platform = platform
    rig = Rig(gop_s=2.0, bitrate_kbps=3000)
    with rig.attempt() as camera:
        (used,) = camera.encoders
        send(camera, 60)
        assert rig.report.state.encoder == encoder
    assert rig.report.state.encoder_detail
    assert isinstance(used, H264Encoder if platform is Platform.VC4 else LibavH264Encoder)
    assert {"bitrate": 3_000_000, "iperiod": 50, "profile": "high"}.items() <= used.asked.items()
    assert len(rig.sink.units) == 60
    assert not camera.is_open
    assert camera.flushed


def test_what_the_sensor_is_asked_for(board: Board) -> None:
    sensor = {
        "exposure_us": 8000, "analogue_gain": 2.0, "exposure_compensation_ev": -1.0, "autofocus": "off",
        "focus_dioptre": 0.5,
    }  # fmt: skip
    rig = Rig(rotation_deg=180, hflip=True, sensor=sensor)
    with rig.attempt() as camera:
        pass
    assert camera.configuration["controls"] == {
        "FrameDurationLimits": (40_000, 40_000), "ExposureTime": 8000, "AnalogueGain": 2.0, "ExposureValue": -1.0,
        "AfMode": 0, "LensPosition": 0.5,
    }  # fmt: skip
    assert camera.configuration["transform"] == Transform(hflip=0, vflip=1)
    assert rig.report.state.warnings == {}


@pytest.mark.parametrize("name", ["imx708_street.json", None])
def test_libcamera_is_told_of_the_tuning_before_it_looks_for_cameras(
    board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str | None
) -> None:
    monkeypatch.setenv(VARIABLE, "of another camera, or of whoever started the recorder")
    tuning = None if name is None else str(tmp_path / name)
    if tuning is not None:
        Path(tuning).write_text("{}")
    with Rig(sensor={"tuning_file": tuning}).attempt() as camera:
        assert FakePicamera2.tuning_of_libcamera == tuning
        assert camera.tuning == tuning


def test_a_tuning_that_is_missing_is_not_taken_for_a_missing_camera(board: Board, tmp_path: Path) -> None:
    rig = Rig(sensor={"tuning_file": str(tmp_path / "gone.json")})
    source = PicameraSource(rig.settings, make_frame_context(rig.settings, rig.sink, _CLOCK))
    with pytest.raises(SourceUnavailableError, match=r"no tuning file .*gone\.json.*camera\.sensor\.tuning_file"):
        source.run(rig.sink, threading.Event())
    assert FakePicamera2.opened == []


def test_a_bare_name_of_a_tuning_is_one_of_libcameras_own_for_the_platform(tmp_path: Path) -> None:
    own, shipped = tmp_path / "local", tmp_path / "shipped"
    for folder, name in (
        (shipped / "pisp", "imx708.json"),
        (shipped / "vc4", "imx708.json"),
        (own / "vc4", "ov.json"),
    ):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("{}")
    folders = (own, shipped)
    assert tuning_path("imx708.json", "pisp", folders) == str(shipped / "pisp/imx708.json")
    assert tuning_path("imx708.json", "vc4", folders) == str(shipped / "vc4/imx708.json")
    assert tuning_path("ov.json", "vc4", folders) == str(own / "vc4/ov.json")
    with pytest.raises(SourceUnavailableError, match=r"shipped/pisp/ov\.json"):
        tuning_path("ov.json", "pisp", folders)


def test_what_the_sensor_lacks_is_reported(board: Board) -> None:
    board.controls = {"FrameDurationLimits": (66_666, 1_000_000, None)}
    board.turns = False
    rig = Rig(vflip=True, sensor={"autofocus": "continuous"})
    with rig.attempt() as camera:
        assert camera.configuration["controls"] == {"FrameDurationLimits": (40_000, 40_000)}
    assert set(rig.report.state.warnings) == {
        "turn-not-as-asked", "sensor-control-missing", "frame-rate-not-as-asked",
    }  # fmt: skip


def test_an_encoder_that_gives_nothing_is_begun_anew_and_then_the_next_one(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    board.platform = Platform.VC4
    monkeypatch.setattr(H264Encoder, "is_wedged", True)
    rig = Rig()
    for _ in range(2):
        with rig.attempt() as camera:
            send(camera, 90)
            wait_until(lambda: rig.error, what="the encoder is given up")
        assert isinstance(rig.error, SourceStalledError)
    with rig.attempt() as camera:
        send(camera, 30)
    assert rig.report.state.encoder == "picamera2 (libx264)"
    assert rig.report.state.encoder_failures == 2
    assert len(rig.sink.units) == 30


def test_an_encoder_that_failed_twice_in_an_hour_is_left_for_an_hour(board: Board) -> None:
    board.platform = Platform.VC4
    library, report, settings = load_library(), CaptureReport("main"), Rig().settings

    def chosen_at(minutes: float) -> EncoderKind:
        return kind_for(settings, library, report, round(minutes * 60e6))[0]

    note_failure(report, "board", "it took 75 pictures and gave none back", 0)
    note_failure(report, "board", "the same", round(61 * 60e6))
    assert chosen_at(61.1) == "board", "failures further apart are those of a recorder that runs for months"
    note_failure(report, "board", "the same", round(62 * 60e6))
    assert chosen_at(62.1) == chosen_at(120.9) == "software"
    assert chosen_at(122.1) == "board"


def test_when_none_of_picamera2s_starts_the_recorders_own_encode(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LibavH264Encoder, "does_start", False)
    rig = Rig()
    for _ in range(2):
        assert "does not start" in rig.fail()
    with rig.attempt() as camera:
        for _ in range(40):
            camera.send()
            _CLOCK.sleep(0.03)
    assert rig.sink.units


def test_the_boards_encoder_is_never_waited_for(board: Board) -> None:
    board.platform = Platform.VC4
    rig = Rig()
    with rig.attempt() as camera:
        send(camera, 5)
        (encoder,) = camera.encoders
        assert isinstance(encoder, H264Encoder)
        encoder.buf_available.get()
        send(camera, 5)
        encoder.buf_available.put(0)
        send(camera, 5)
    assert len(rig.sink.units) == 10


def test_stamps_that_stand_still_are_reported_and_pictures_dated_by_their_arrival(board: Board) -> None:
    board.metadata = lambda: {"SensorTimestamp": 5_000_000_000}
    rig = Rig()
    with rig.attempt() as camera:
        send(camera, 30)
        wait_until(lambda: rig.report.state.warnings, what="it is reported")
    assert set(rig.report.state.warnings) == {"timestamps-stand-still"}
    assert len(rig.sink.units) == 30
    now_us = _CLOCK.monotonic_us()
    assert all(0 <= now_us - unit.capture_us < 30_000_000 for unit in rig.sink.units)


def test_a_key_frame_is_asked_of_every_encoder(board: Board) -> None:
    board.platform = Platform.VC4
    rig = Rig()
    with rig.attempt() as camera:
        rig.context.activity.request_key_frame()
        assert [encoder.keys_forced for encoder in camera.encoders] == [1]
    rig.context.activity.request_key_frame()


def test_an_exception_on_the_cameras_thread_ends_the_attempt_with_its_words(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError("the bus went away")

    rig = Rig()
    with rig.attempt() as camera:
        send(camera, 3)
        monkeypatch.setattr(LibavH264Encoder, "_encode", fail)
        send(camera, 2)
        wait_until(lambda: rig.error, what="the attempt ends")
    assert "the bus went away" in str(rig.error)
    assert not camera.is_open


def test_a_camera_that_falls_silent_is_closed(board: Board) -> None:
    rig = Rig(stall_timeout_s=0.5)
    with rig.attempt() as camera:
        send(camera, 3)
        wait_until(lambda: rig.error, what="the silence is noticed")
    assert isinstance(rig.error, SourceStalledError)
    assert not camera.is_open


def test_pictures_that_cannot_be_copied_for_the_recorders_own_encoders_end_the_attempt(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise MemoryError("no room for a copy")

    monkeypatch.setattr(pictures, "copied", fail)
    rig = Rig(rotation_deg=90)
    with rig.attempt() as camera:
        send(camera, 260)
        wait_until(lambda: rig.error, what="the attempt ends")
    assert "could not be read or masked" in str(rig.error)
    assert "no room for a copy" in str(rig.error)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"models": ()}, SourceUnavailableError, "no such camera"),
        ({"opening": RuntimeError("failed to acquire camera")}, SourceUnavailableError, "in use.*fuser"),
        ({"opening": RuntimeError("no memory")}, SourceUnavailableError, "cannot be opened: no memory"),
        ({"format": "MJPEG"}, SourceFormatError, "v4l2:"),
    ],
)
def test_what_is_wrong_with_the_camera_is_said_with_a_remedy(
    board: Board, change: dict[str, object], error: type[Exception], words: str
) -> None:
    vars(board).update(change)
    stop = threading.Event()
    rig = Rig()
    source = PicameraSource(rig.settings, make_frame_context(rig.settings, rig.sink, _CLOCK))
    with pytest.raises(error, match=words):
        source.run(rig.sink, stop)
    assert not any(camera.is_open for camera in FakePicamera2.opened)


@pytest.mark.parametrize("missing", ["picamera2", "libcamera"])
def test_a_missing_library_is_named_with_what_to_install(
    board: Board, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    rig = Rig()
    source = PicameraSource(rig.settings, make_frame_context(rig.settings, rig.sink, _CLOCK))
    with pytest.raises(SourceUnavailableError, match=f"{missing} is not installed.*python3-picamera2"):
        source.run(rig.sink, threading.Event())


@pytest.mark.parametrize("address", ["picamera2:front", "picamera2:-1", "picamera2:9", "picamera2:²"])
def test_an_address_that_is_no_camera_is_refused(address: str) -> None:
    settings = CameraSettings(name="main", source=address)
    with pytest.raises(SettingsError, match="picamera2:0"):
        PicameraSource(settings, make_frame_context(settings, RecordingSink(), _CLOCK))
