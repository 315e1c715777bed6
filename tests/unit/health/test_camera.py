"""One camera's rates and counters against what came before."""

from typing import Any

import pytest

from edge_agent.clock import FakeClock
from edge_agent.contract.ring_protocol import CaptureFigures
from edge_agent.health.camera import CameraProbe
from edge_agent.health.judge import Judge
from edge_agent.settings import CameraSettings
from tests.support.fake_recorder import make_state

LOOK_S = 5.0


class Camera:
    """A camera's probe and judge on a clock of the test."""

    def __init__(self, source: str = "rtsp://192.0.2.7/s", **settings: object) -> None:
        self.clock = FakeClock()
        self.probe = CameraProbe(
            CameraSettings.model_validate({"name": "main", "source": source} | settings), self.clock
        )
        self.judge = Judge()
        self.begun_us = self.clock.wall_us() - 3_600_000_000

    def look(self, **changes: Any) -> dict[str, Any]:  # noqa: ANN401 -- fields of RecorderState
        self.clock.advance(LOOK_S)
        return self.probe.figures(make_state(**{"since_us": self.begun_us} | changes))

    def looks(self, seconds: float, **changes: Any) -> dict[str, Any]:  # noqa: ANN401 -- as `look`
        figures: dict[str, Any] = {}
        for _ in range(round(seconds / LOOK_S)):
            figures = self.look(**changes)
            self.states = set(self.judge.states("camera", figures, self.clock.monotonic_us(), camera="main").values())
        return figures


def test_what_is_usual_is_learned_from_a_camera_that_has_its_own_rate() -> None:
    camera = Camera()
    assert "expected_frames_per_second" not in camera.looks(300, frames_per_second=25.0)
    figures = camera.looks(600, frames_per_second=25.0)
    assert (figures["expected_frames_per_second"], figures["frame_rate_share"]) == (25.0, 1.0)
    figures = camera.looks(60, frames_per_second=5.0)
    assert figures["frame_rate_share"] < 0.4
    camera.looks(60, frames_per_second=5.0)
    assert "warning" in camera.states
    camera.looks(240, frames_per_second=25.0)
    assert camera.states == {"ok"}


def test_a_drawn_scene_is_expected_as_it_was_asked_for() -> None:
    camera = Camera("test:", fps=10.0)
    assert camera.looks(60, frames_per_second=10.0)["frame_rate_share"] == 1.0
    assert Camera("test:").look()["expected_frames_per_second"] == 25.0


@pytest.mark.parametrize("source", ["picamera2:0", "v4l2:/dev/video0", "gstreamer:argus", "GStreamer:argus"])
def test_a_camera_that_is_asked_for_a_rate_is_expected_to_give_it(source: str) -> None:
    camera = Camera(source, fps=20.0)
    figures = camera.looks(60, frames_per_second=10.0)
    assert (figures["expected_frames_per_second"], figures["frame_rate_share"]) == (20.0, 0.5)
    assert "expected_frames_per_second" not in Camera(source).look(), "one that is asked for none has its own"


@pytest.mark.parametrize("source", ["rtsp://192.0.2.7/s", "rtsps://192.0.2.7/s", "file:street.mp4"])
def test_a_camera_that_cannot_be_asked_has_its_own_rate(source: str) -> None:
    camera = Camera(source, fps=50.0)
    assert camera.looks(900, frames_per_second=25.0)["expected_frames_per_second"] == 25.0


def test_half_the_rate_by_night_is_no_alarm() -> None:
    camera = Camera()
    camera.looks(3600, frames_per_second=25.0)
    camera.looks(600, frames_per_second=12.5)
    assert camera.states == {"ok"}


def test_a_stream_that_has_just_begun_has_no_rate_yet() -> None:
    camera = Camera()
    camera.looks(1200, frames_per_second=25.0)
    young = camera.clock.wall_us()
    figures = camera.look(frames_per_second=2.0, since_us=young)
    assert "frame_rate_share" not in figures
    assert "frame_rate_share" not in camera.look(recording=False, frames_per_second=0.0, cause="camera-lost")


def test_left_out_pictures_are_a_share_of_those_that_came() -> None:
    camera = Camera()
    camera.looks(60, frames_per_second=25.0, dropped_units=1000)
    assert camera.looks(60, dropped_units=1000)["dropped_share"] == 0.0
    assert camera.look(dropped_units=1300)["dropped_share"] == 0.02
    camera.looks(5, dropped_units=1300)
    assert "warning" in camera.states
    assert camera.looks(700, dropped_units=1300)["dropped_share"] == 0.0
    camera.looks(700, dropped_units=1300)
    assert camera.states == {"ok"}


def test_a_stream_that_breaks_off_again_and_again_is_unstable() -> None:
    camera = Camera()
    for restarts in range(6):
        camera.looks(30, stream_restarts=restarts)
    assert camera.looks(30, stream_restarts=6)["stream_restarts_last_hour"] == 6
    assert "warning" in camera.states
    figures = camera.looks(5, stream_restarts=1, run_id="c" * 32)
    assert figures["stream_restarts_last_hour"] == 7
    camera.looks(3700, stream_restarts=1, run_id="c" * 32)
    assert camera.states == {"ok"}


def test_what_encoders_and_cameras_say_of_themselves_is_told_where_there_is_anything() -> None:
    camera = Camera("v4l2:/dev/video0")
    told = {"encoder", "encoder_fault", "encoder_failures_last_hour", "unmasked_pictures", "mean_luma", "notes"}
    assert not told & camera.look().keys()
    assert told & camera.look(capture=CaptureFigures()).keys() == {"encoder_failures_last_hour"}
    capture = CaptureFigures(
        encoder="v4l2m2m", encoder_fault="x" * 300, unmasked=7, mean_luma=16.0, notes={"size-not-as-asked": "y" * 300}
    )
    figures = camera.look(capture=capture)
    assert (figures["encoder"], figures["unmasked_pictures"], figures["mean_luma"]) == ("v4l2m2m", 7, 16.0)
    assert figures["encoder_fault"] == "x" * 200
    (note,) = figures["notes"]
    assert note.startswith("size-not-as-asked: yyy")
    assert len(note) == 160


def test_encoder_failures_are_counted_through_a_restart_of_the_recorder() -> None:
    camera = Camera("v4l2:/dev/video0")
    camera.look(capture=CaptureFigures(encoder_failures=5))
    counts = [
        camera.look(capture=CaptureFigures(encoder_failures=failures), run_id=run_id * 32)[
            "encoder_failures_last_hour"
        ]
        for failures, run_id in ((6, "b"), (6, "b"), (0, "c"), (2, "c"))
    ]
    assert counts == [1, 1, 1, 3]


def test_write_errors_are_counted_by_the_hour() -> None:
    camera = Camera()
    camera.look(write_errors=5)
    camera.look(write_errors=6)
    assert camera.probe.write_errors_last_hour == 1
    camera.looks(3700, write_errors=6)
    assert camera.probe.write_errors_last_hour == 0


def test_absurd_figures_of_a_recorder_raise_nothing() -> None:
    camera = Camera()
    for value in (0.0, -5.0, 1e300, 1.7e308):
        camera.looks(700, frames_per_second=value, bitrate_kbps=value, dropped_units=2**62, stream_restarts=-4)
