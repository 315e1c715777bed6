"""What the hook lets through, what it leaves out, and what it counts."""

from datetime import UTC

import pytest

from edge_agent.camera_settings import Polygon
from edge_agent.capture.frames.hook import HEALTH_LASTS_US, FrameHook
from edge_agent.capture.frames.masks import MaskPainter
from edge_agent.capture.frames.picture import Picture
from edge_agent.capture.frames.sampling import ImageSampler
from edge_agent.capture.frames.text import TextLine
from edge_agent.clock import FakeClock, SystemClock
from tests.support.polling import wait_until
from tests.unit.capture.frames.pictures import grey_picture, luma_at

SQUARE: Polygon = ((0.5, 0.5), (1.0, 0.5), (1.0, 1.0), (0.5, 1.0))


def test_masks_are_drawn_on_every_size_that_comes() -> None:
    hook = FrameHook([SQUARE], FakeClock())
    for size in [(320, 240), (640, 360), (320, 240)]:
        picture = grey_picture(*size)
        assert hook.apply(picture, 0)
        assert luma_at(picture, size[0] - 8, size[1] - 8) == 16
        assert luma_at(picture, 8, 8) == 120


def test_a_picture_whose_masks_cannot_be_drawn_is_not_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError("none left")

    hook = FrameHook([SQUARE], FakeClock())
    monkeypatch.setattr(MaskPainter, "paint", fail)
    assert not hook.apply(grey_picture(), 0)
    assert not hook.mask(grey_picture())
    assert hook.figures.unmasked == 2
    assert "none left" in hook.figures.fault
    monkeypatch.undo()
    assert hook.apply(grey_picture(), 40_000)
    assert not hook.figures.fault


def test_masks_come_first_and_the_rest_gives_way_when_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    paint = MaskPainter.paint

    def paint_slowly(painter: MaskPainter, picture: Picture) -> None:
        clock.advance(0.05)
        paint(painter, picture)

    monkeypatch.setattr(MaskPainter, "paint", paint_slowly)
    hook = FrameHook([SQUARE], clock, text=TextLine("nomad-07", UTC, clock), sampler=ImageSampler())
    picture = grey_picture()
    assert hook.apply(picture, clock.monotonic_us())
    assert luma_at(picture, 312, 232) == 16
    assert (hook.figures.text_skipped, hook.figures.samples_skipped) == (1, 1)
    assert hook.health is None


def test_text_is_drawn_ahead_and_is_never_of_another_second() -> None:
    clock = SystemClock()
    hook = FrameHook([], clock, text=TextLine("nomad-07", UTC, clock))
    picture = grey_picture(640, 360)
    assert hook.apply(picture, clock.monotonic_us())
    assert hook.figures.text_skipped in {0, 1}, "the first line may not be there yet"

    def is_written() -> bool:
        fresh = grey_picture(640, 360)
        before = hook.figures.text_skipped
        hook.apply(fresh, clock.monotonic_us())
        return hook.figures.text_skipped == before and max(fresh.planes[0].memory[: 640 * 16]) > 150

    wait_until(is_written, what="a line of text", timeout_s=10)
    hours_ago = grey_picture(640, 360)
    hook.apply(hours_ago, clock.monotonic_us() - 3_600_000_000)
    assert set(bytes(hours_ago.planes[0].memory)) == {120}


def test_the_line_of_text_is_not_taken_for_what_the_camera_sees() -> None:
    clock = SystemClock()
    hook = FrameHook([], clock, text=TextLine("nomad-07", UTC, clock), sampler=ImageSampler(sample_every_us=0))

    def is_written() -> bool:
        picture = grey_picture(1280, 720, luma=16)
        hook.apply(picture, clock.monotonic_us())
        return max(picture.planes[0].memory[: 1280 * 16]) > 150

    wait_until(is_written, what="a line of text", timeout_s=10)
    assert hook.health is not None
    assert hook.health.mean_luma == 16, "a black picture with a running clock in it is black"


def test_nothing_to_draw_lets_streams_pass() -> None:
    clock = FakeClock()
    assert not FrameHook([], clock, sampler=ImageSampler()).draws
    assert FrameHook([SQUARE], clock).draws
    assert FrameHook([], clock, text=TextLine("", UTC, clock)).draws


def test_image_health_says_nothing_when_nothing_was_looked_at_for_long() -> None:
    clock = FakeClock()
    hook = FrameHook((), clock, sampler=ImageSampler())
    for _ in range(12):
        hook.apply(grey_picture(luma=16), clock.monotonic_us())
        clock.advance(1.0)
    assert is_black(hook) is True
    clock.advance(HEALTH_LASTS_US / 1e6)
    assert is_black(hook) is None
    hook.apply(grey_picture(), clock.monotonic_us())
    assert is_black(hook) is False


def is_black(hook: FrameHook) -> bool | None:
    return None if hook.health is None else hook.health.is_black
