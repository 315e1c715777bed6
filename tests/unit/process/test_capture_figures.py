"""What a recorder's state says of its camera, its encoders and its pictures."""

import pytest

from edge_agent.camera_settings import Polygon
from edge_agent.capture.frames.hook import FrameHook
from edge_agent.capture.frames.masks import MaskPainter
from edge_agent.capture.frames.sampling import BLACK_AFTER_US, FROZEN_AFTER_US, ImageSampler
from edge_agent.capture.report import CaptureReport, Configured
from edge_agent.capture_figures import capture_figures, warnings_of
from edge_agent.clock import FakeClock
from edge_agent.contract.ring_protocol import CaptureFigures
from tests.support.fake_recorder import make_state
from tests.unit.capture.frames.pictures import grey_picture

SQUARE: Polygon = ((0.5, 0.5), (1.0, 0.5), (1.0, 1.0), (0.5, 1.0))


def shown(luma: int, lasted_us: int) -> FrameHook:
    """A hook that saw the very same picture for so long."""
    hook = FrameHook([], FakeClock(), sampler=ImageSampler())
    for at_us in range(0, lasted_us + 2_000_000, 1_000_000):
        hook.apply(grey_picture(luma=luma), at_us)
    return hook


def test_before_a_camera_was_opened_nothing_is_known() -> None:
    assert capture_figures(CaptureReport("main").state, None) == CaptureFigures()
    assert capture_figures(CaptureReport("main").state, FrameHook([], FakeClock())) == CaptureFigures()
    assert warnings_of(CaptureReport("main").state, None) == ()


def test_what_was_read_back_and_who_encodes_is_told() -> None:
    report = CaptureReport("main")
    report.configured(Configured("usb camera", "MJPG", 1280, 720, 25.0, "named by-path/…"))
    report.encoder("v4l2m2m", "goes by bit rate")
    found = capture_figures(report.state, None)
    assert (found.device, found.format, found.width_px, found.height_px) == ("usb camera", "MJPG", 1280, 720)
    assert (found.promised_fps, found.detail) == (25.0, "named by-path/…")
    assert (found.encoder, found.encoder_detail, found.encoder_failures) == ("v4l2m2m", "goes by bit rate", 0)
    report.encoder_failed("v4l2m2m", "it did not come back for 4 s")
    report.encoder("libx264", "")
    found = capture_figures(report.state, None)
    assert (found.encoder, found.encoder_failures) == ("libx264", 1)
    assert found.encoder_fault == "v4l2m2m: it did not come back for 4 s"


def test_a_camera_that_promises_no_rate_is_not_said_to_promise_none() -> None:
    report = CaptureReport("main")
    report.configured(Configured("pipeline", "h264", 640, 360, 0.0))
    assert capture_figures(report.state, None).promised_fps is None


def test_notes_come_and_go() -> None:
    report = CaptureReport("main")
    report.warn("size-not-as-asked", "asked for 1920×1080; set camera.width")
    report.warn("frame-rate-not-as-asked", "half of them come")
    assert capture_figures(report.state, None).notes == {
        "size-not-as-asked": "asked for 1920×1080; set camera.width",
        "frame-rate-not-as-asked": "half of them come",
    }
    assert warnings_of(report.state, None) == ("size-not-as-asked", "frame-rate-not-as-asked")
    report.clear("size-not-as-asked")
    assert capture_figures(report.state, None).notes == {"frame-rate-not-as-asked": "half of them come"}
    assert warnings_of(report.state, None) == ("frame-rate-not-as-asked",)


def test_long_words_are_cut_and_fit_into_a_state() -> None:
    report = CaptureReport("main")
    report.configured(Configured("d" * 5000, "h264", 1, 1, 1.0, "e" * 5000))
    report.encoder_failed("libx264", "f" * 5000)
    for number in range(40):
        report.warn(f"note-{number}", "n" * 5000)
    found = capture_figures(report.state, None)
    assert {len(found.device), len(found.detail), len(found.encoder_fault), *map(len, found.notes.values())} == {300}
    assert len(found.notes) == 16
    told = make_state(capture=found)
    assert type(told).from_json(told.to_json()).capture == found


@pytest.mark.parametrize(
    ("luma", "lasted_us", "codes"),
    [
        (16, BLACK_AFTER_US, ("picture-black",)),
        (16, FROZEN_AFTER_US, ("picture-black",)),
        (120, FROZEN_AFTER_US, ("picture-frozen",)),
        (120, FROZEN_AFTER_US - 5_000_000, ()),
        (16, BLACK_AFTER_US - 5_000_000, ()),
    ],
)
def test_what_the_pictures_look_like_is_told(luma: int, lasted_us: int, codes: tuple[str, ...]) -> None:
    hook, report = shown(luma, lasted_us), CaptureReport("main")
    report.warn("size-not-as-asked", "set camera.width")
    found = capture_figures(report.state, hook)
    assert (found.mean_luma, found.pictures) == (luma, lasted_us // 1_000_000 + 2)
    assert warnings_of(report.state, hook) == ("size-not-as-asked", *codes)
    assert set(found.notes) == {"size-not-as-asked"}, "a picture is no setting"


def test_pictures_that_were_not_recorded_or_not_looked_at_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ValueError("x" * 400)

    hook = FrameHook([SQUARE], FakeClock(), sampler=ImageSampler())
    monkeypatch.setattr(MaskPainter, "paint", fail)
    hook.apply(grey_picture(), 0)
    monkeypatch.undo()
    monkeypatch.setattr(ImageSampler, "look", fail)
    hook.apply(grey_picture(), 1_000_000)
    found = capture_figures(CaptureReport("main").state, hook)
    assert (found.pictures, found.unmasked, found.text_skipped, found.samples_skipped) == (2, 1, 0, 1)
    assert found.hook_fault.startswith("samples cannot be taken: ValueError: xxx")
    assert len(found.hook_fault) == 300
