"""What becomes of a camera that falls silent, of one that fails, and of the recorder."""

from collections.abc import Iterator

import pytest

from edge_agent.clock import SystemClock
from edge_agent.errors import SourceStalledError
from tests.picamera2.rig import recording
from tests.picamera2.virtual import Pacer, VirtualPicamera2, fresh_pacer


@pytest.fixture
def pacer() -> Iterator[Pacer]:
    yield from fresh_pacer()


def test_a_silent_camera_is_flushed_closed_and_opened_anew(pacer: Pacer) -> None:
    with recording(stall_timeout_s=1.5) as rig:
        rig.wait_for(30)
        pacer.is_silent = True
        given = len(rig.main.units)
        begin_us = SystemClock().monotonic_us()
        assert isinstance(rig.join(), SourceStalledError)
        assert SystemClock().monotonic_us() - begin_us < 4_000_000
        assert len(rig.main.units) >= given
        assert not VirtualPicamera2.alive[-1].is_open
        pacer.is_silent = False
        rig.start()
        rig.wait_for(30)
    assert len(VirtualPicamera2.alive) == 2


def test_an_exception_in_a_callback_ends_the_attempt_and_not_the_camera(pacer: Pacer) -> None:
    with recording() as rig:
        rig.wait_for(10)

        def fail(_request: object) -> None:
            raise ZeroDivisionError("a callback's own")

        VirtualPicamera2.alive[-1].post_callback = fail
        assert "a callback's own" in str(rig.join())
        assert not VirtualPicamera2.alive[-1].is_open
        rig.start()
        rig.wait_for(10)


def test_what_the_hook_raises_reaches_nobody_and_the_picture_is_not_recorded(
    pacer: Pacer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with recording() as rig:
        rig.wait_for(10)
        monkeypatch.setattr(VirtualPicamera2.alive[-1], "pre_callback", VirtualPicamera2.alive[-1].pre_callback)
        monkeypatch.setattr("edge_agent.capture.frames.hook.FrameHook.apply", lambda *_: 1 / 0)
        given = len(rig.main.units)
        assert "could not be read or masked" in str(rig.join(30))
        assert len(rig.main.units) < given + 60  # what was under way
        monkeypatch.undo()
        rig.start()
        rig.wait_for(10)


def test_stopping_takes_less_than_a_second(pacer: Pacer) -> None:
    with recording() as rig:
        rig.wait_for(10)
        begin_us = SystemClock().monotonic_us()
        rig.end()
        assert SystemClock().monotonic_us() - begin_us < 1_000_000
    assert rig.error is None
