"""Stills of a `picamera2:` camera on fakes of its library: whose picture, and what its masks hide."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.camera_settings import Polygon
from edge_agent.capture.frames.masks import MaskPainter
from edge_agent.capture.frames.picture import picture_of
from edge_agent.capture.picamera.configuration import Given
from edge_agent.capture.picamera.layout import Choice, Layout
from edge_agent.capture.picamera.still_taker import grown_by_blocks
from edge_agent.capture.stills import TakenPicture
from edge_agent.clock import SystemClock
from edge_agent.errors import SourceUnavailableError
from tests.support.polling import wait_until
from tests.unit.capture.frames.pictures import grey_frame
from tests.unit.capture.picamera.fake_picamera2 import Board, LibavH264Encoder
from tests.unit.capture.picamera.rig import LEFT_HALF, SIZE, Photographer, Rig, luma

_CLOCK = SystemClock()


def test_a_still_is_the_next_picture_masked_and_given_back_at_once(board: Board) -> None:
    rig = Rig(masks=LEFT_HALF)
    with rig.attempt() as camera:
        camera.send()
        taken = Photographer(rig.desk).picture(camera)
        camera.send()
        assert [request.held for request in camera.requests] == [0] * len(camera.requests)
    assert (taken.frame.width, taken.frame.height) == SIZE
    assert taken.capture_us in {unit.capture_us for unit in rig.sink.units[1:]}
    assert luma(taken)[:, :340].min() == luma(taken)[:, :340].max() == 16
    assert luma(taken)[:, 364:].max() == 0
    assert not rig.has_taker()


def test_a_camera_that_sends_nothing_costs_a_still_its_time_and_the_camera_nothing(board: Board) -> None:
    rig = Rig()
    with rig.attempt() as camera:
        begin_us = _CLOCK.monotonic_us()
        assert "not within 0.2 s" in Photographer(rig.desk, 0.2).failure()
        assert 150_000 < _CLOCK.monotonic_us() - begin_us < 2_000_000
        camera.send()
        assert [request.held for request in camera.requests] == [0]
        assert Photographer(rig.desk).picture(camera).capture_us
    assert rig.error is None
    assert len(rig.sink.units) >= 2


def test_who_waits_is_told_at_once_that_the_camera_is_closed(board: Board) -> None:
    rig = Rig()
    begin_us = _CLOCK.monotonic_us()
    with rig.attempt() as camera:
        waiting = Photographer(rig.desk, 8.0)
        waiting.wait_until_asked()
    assert "closed" in waiting.failure()
    assert _CLOCK.monotonic_us() - begin_us < 5_000_000
    assert not camera.is_open
    assert "within 0.1 s" in Photographer(rig.desk, 0.1).failure()


def test_a_failed_attempt_takes_its_taker_away_and_not_that_of_another(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError("the bus went away")

    rig = Rig()
    with rig.attempt() as camera:
        camera.send()
        assert rig.has_taker()
        with monkeypatch.context() as patch:
            patch.setattr(LibavH264Encoder, "_encode", fail)
            camera.send()
        wait_until(lambda: rig.error, what="the attempt ends")
    assert not rig.has_taker()

    def later(_wait_s: float) -> TakenPicture:
        raise SourceUnavailableError("of a later attempt")

    with rig.attempt():
        rig.desk.taker = later
    assert rig.desk.taker is later


def test_no_still_without_its_masks(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(masks=LEFT_HALF)
    with rig.attempt() as camera:
        camera.send()
        monkeypatch.setattr("edge_agent.capture.frames.masks.MaskPainter.paint", lambda *_: 1 / 0)
        waiting = Photographer(rig.desk)
        waiting.wait_until_asked()
        camera.send()
        assert "no still without its masks" in waiting.failure()
        assert [request.held for request in camera.requests] == [0, 0]


def test_a_picture_that_cannot_be_kept_is_nobodys_still(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig()
    with rig.attempt() as camera:
        monkeypatch.setattr("tests.unit.capture.picamera.fake_picamera2.Request.acquire", lambda _: 1 / 0)
        waiting = Photographer(rig.desk)
        waiting.wait_until_asked()
        camera.send()
        assert "no picture: ZeroDivisionError" in waiting.failure()
        camera.send()
    assert rig.error is None
    assert len(rig.sink.units) == 2


# -- masks of a large still


def hidden(size: tuple[int, int], polygon: Polygon, grown_by: int) -> "np.ndarray[Any, Any]":
    """Where a mask is in a picture of this size."""
    frame = grey_frame(*size)
    picture = picture_of(frame)
    MaskPainter([polygon], picture, grown_by).paint(picture)
    return np.equal(frame.to_ndarray()[: size[1]], 16)


@settings(max_examples=40, deadline=None)
@given(
    polygon=st.lists(st.tuples(st.floats(0.05, 0.95), st.floats(0.05, 0.95)), min_size=3, max_size=7).map(tuple),
    large=st.sampled_from([(640, 480), (518, 390), (960, 720), (1408, 1056)]),
)
def test_a_larger_still_shows_nothing_that_is_hidden_in_the_recording(
    polygon: Polygon, large: tuple[int, int]
) -> None:
    recorded = (320, 240)
    grown_by = grown_by_blocks(Given(recorded, None, "YUV420", 25.0, large, Choice(Layout(recorded, None))))
    columns = (np.arange(large[0]) * recorded[0]) // large[0]
    rows = (np.arange(large[1]) * recorded[1]) // large[1]
    in_recording = hidden(recorded, polygon, 1)[rows][:, columns]
    assert not (in_recording & ~hidden(large, polygon, grown_by)).any()
