"""An encoder that hangs, fails or falls behind is replaced, and what was late is thrown away."""

import threading
from collections.abc import Callable
from fractions import Fraction

import av
import pytest

from edge_agent.camera_settings import EncoderName, EncoderSettings
from edge_agent.capture.encoding.encoder import EncodedPicture, EncodeOrder, OpenEncoder
from edge_agent.capture.encoding.ladder import EncoderLadder
from edge_agent.capture.encoding.libav_encoder import LibavEncoder
from edge_agent.capture.encoding.probe import Probed
from edge_agent.capture.encoding.worker import CodedFrame, EncoderWorker
from edge_agent.capture.report import CaptureReport
from edge_agent.clock import FakeClock
from edge_agent.errors import CaptureError, RingStorageError
from tests.support.polling import wait_until
from tests.unit.capture.frames.pictures import grey_frame

ORDER = EncodeOrder("h264", 320, 240, Fraction(25), 500, 25)


class Passing:
    """Gives one back for each."""

    detail = ""

    def __init__(self, order: EncodeOrder) -> None:
        self.killed = threading.Event()

    def encode(self, frame: av.VideoFrame, *, is_key: bool) -> list[EncodedPicture]:
        pts = frame.pts or 0
        return [EncodedPicture(type(self).__name__.encode(), pts, pts, is_key=is_key)]

    def finish(self) -> list[EncodedPicture]:
        return []

    def kill(self) -> None:
        self.killed.set()


class Hanging(Passing):
    """Comes back when it is killed, with a picture that nobody wants any more."""

    def encode(self, frame: av.VideoFrame, *, is_key: bool) -> list[EncodedPicture]:
        self.killed.wait(30)
        return super().encode(frame, is_key=is_key)


class Swallowing(Passing):
    def encode(self, frame: av.VideoFrame, *, is_key: bool) -> list[EncodedPicture]:
        return []


class Failing(Passing):
    def encode(self, frame: av.VideoFrame, *, is_key: bool) -> list[EncodedPicture]:
        raise CaptureError("the device is gone")


class Surprising(Passing):
    def encode(self, frame: av.VideoFrame, *, is_key: bool) -> list[EncodedPicture]:
        raise ZeroDivisionError("a defect")


class Rig:
    """A worker whose first encoder is bad, on a clock that the test moves."""

    def __init__(self, bad: Callable[[EncodeOrder], Passing]) -> None:
        self.clock = FakeClock()
        self.came: list[CodedFrame] = []
        self.report = CaptureReport("main")
        kinds: dict[EncoderName, OpenEncoder] = {"v4l2m2m": bad, "libx264": Passing}
        settings = EncoderSettings(order=("v4l2m2m", "libx264"))
        ladder = EncoderLadder(settings, kinds, self.clock, lambda *_: Probed("", 9.0))
        self.worker = EncoderWorker(ORDER, ladder, self.report, self.clock, self.came.append)
        self.number = 0

    def give(self) -> None:
        frame = grey_frame()
        frame.pts = self.number * 3600
        self.worker.give(frame, self.number * 40_000)
        self.number += 1

    def give_until(self, condition: Callable[[], bool], step_s: float = 0.0) -> None:
        def step() -> bool:
            self.clock.advance(step_s)
            self.give()
            return condition()

        wait_until(step, what="what is waited for", timeout_s=20)


@pytest.mark.parametrize("bad", [Hanging, Swallowing, Failing, Surprising])
def test_a_bad_encoder_is_begun_anew_once_and_then_replaced(bad: type[Passing]) -> None:
    rig = Rig(bad)
    rig.give_until(lambda: any(frame.picture.data == b"Passing" for frame in rig.came), step_s=1.0)
    assert rig.report.state.encoder == "libx264"
    assert rig.report.state.encoder_failures == 2
    assert rig.report.state.encoder_fault.startswith("v4l2m2m: ")
    assert {frame.picture.data for frame in rig.came} == {b"Passing"}, "what the hung one gave at last is late"
    rig.worker.finish()


def test_people_are_told_why_another_encoder_is_not_used() -> None:
    def broken(_: EncodeOrder) -> Passing:
        raise AssertionError("its trial failed: it is not opened")

    class Report(CaptureReport):
        said = ""

        def encoder(self, name: str, detail: str, passed_over: str = "") -> None:
            self.said = f"{name}, not {passed_over}"

    kinds: dict[EncoderName, OpenEncoder] = {"v4l2m2m": broken, "libx264": Passing}
    trials: dict[object, Probed] = {broken: Probed("no such device")}
    clock, report, came = FakeClock(), Report("main"), list[CodedFrame]()
    ladder = EncoderLadder(EncoderSettings(), kinds, clock, lambda kind, *_: trials.get(kind, Probed("", 9.0)))
    EncoderWorker(ORDER, ladder, report, clock, came.append).finish()
    assert report.said == "libx264, not v4l2m2m: no such device"


def test_capture_times_follow_their_pictures() -> None:
    rig = Rig(Passing)
    rig.give_until(lambda: len(rig.came) >= 20)
    rig.worker.finish()
    assert all(frame.capture_us * 9 // 100 == frame.picture.pts for frame in rig.came)


def test_one_that_falls_behind_leaves_pictures_out_and_counts_them() -> None:
    rig = Rig(Hanging)
    rig.give_until(lambda: rig.worker.dropped > 0)
    assert rig.report.state.encoder_failures == 0
    assert not rig.report.state.warnings, "a picture or two is nothing to warn of"
    rig.worker.finish()


def test_many_pictures_that_are_left_out_are_told_of_until_none_is() -> None:
    rig = Rig(Hanging)
    rig.give_until(lambda: rig.worker.dropped >= 10)
    assert "v4l2m2m does not keep up" in rig.report.state.warnings["encoder-behind"]
    rig.worker._shift.encoder.kill()
    rig.give_until(lambda: not rig.report.state.warnings, step_s=0.5)
    rig.worker.finish()


def test_a_recorder_that_was_stopped_does_not_blame_its_encoder() -> None:
    rig = Rig(Hanging)
    rig.give()
    wait_until(lambda: rig.worker._shift._busy_since_us is not None, what="an encoder at work", timeout_s=10)
    rig.give()
    rig.clock.advance(60)  # SIGSTOP, a suspended machine, a camera that paused
    rig.give()
    assert rig.report.state.encoder_failures == 0
    rig.give_until(lambda: rig.report.state.encoder_failures > 0, step_s=0.5)
    rig.worker.finish()


def test_a_fault_of_who_takes_the_pictures_is_no_fault_of_the_encoder() -> None:
    rig = Rig(Passing)

    def refuse(frame: CodedFrame) -> None:
        raise RingStorageError("no room")

    rig.worker._take = refuse
    rig.give()
    wait_until(rig.worker._shift.ended.is_set, what="the end of the shift", timeout_s=10)
    with pytest.raises(RingStorageError, match="no room"):
        rig.give()
    assert rig.report.state.encoder_failures == 0


def test_a_key_frame_is_made_when_it_is_asked_for_and_once() -> None:
    rig = Rig(Passing)
    rig.give_until(lambda: len(rig.came) >= 5)
    assert not any(frame.picture.is_key for frame in rig.came)
    rig.worker.request_key_frame()
    rig.worker.request_key_frame()
    begin = rig.number
    rig.give_until(lambda: len(rig.came) >= begin + 10)
    rig.worker.finish()
    assert sum(frame.picture.is_key for frame in rig.came) == 1


def test_libx264_makes_a_key_frame_between_two_others() -> None:
    encoder = LibavEncoder("libx264", ORDER)
    pictures = []
    for number in range(30):
        frame = grey_frame()
        frame.pts = number * 3600
        pictures += encoder.encode(frame, is_key=number == 10)
    pictures += encoder.finish()
    assert [picture.pts // 3600 for picture in pictures if picture.is_key] == [0, 10]
