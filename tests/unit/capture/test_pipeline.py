"""What becomes of pictures on their way to the encoders and behind: brightness, the proxy, several at a time."""

import threading
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import Literal

import av
import pytest
from av.video.reformatter import ColorRange

from edge_agent.camera_settings import CameraSettings
from edge_agent.capture.encoding.encoder import EncodedPicture, EncodeOrder, Encoder, OpenEncoder
from edge_agent.capture.encoding.kinds import KINDS
from edge_agent.capture.encoding.ladder import EncoderLadder
from edge_agent.capture.encoding.probe import Probed
from edge_agent.capture.pipeline import FramePipeline
from edge_agent.capture.source import SourceContext
from edge_agent.capture.v4l2.pictures import Conversion
from edge_agent.clock import Clock, FakeClock, SystemClock
from edge_agent.contract.access_unit import AccessUnit
from edge_agent.errors import RingStorageError
from tests.support.polling import wait_until
from tests.unit.capture.fakes import RecordingSink, make_frame_context
from tests.unit.capture.test_coded import decoded

LEVELS = (0, 64, 128, 255)
NARROW = (16, 71, 126, 235)
"""The same brightness in the range that players take for granted (ITU-R BT.601: 16 + 219 / 255 of it)."""


def full_range(layout: str) -> av.VideoFrame:
    """Four grey bars of the full range, as a camera's JPEG is decoded to."""
    frame = av.VideoFrame(320, 240, layout)
    frame.color_range = ColorRange.JPEG
    for index, plane in enumerate(frame.planes):
        rows = [bytes([LEVELS[row // 60]]) * plane.line_size for row in range(240)]
        grey = bytes([128]) * plane.buffer_size
        plane.update(b"".join(rows)[: plane.buffer_size] if index == 0 else grey)
    return frame


def handed_over(context: SourceContext, sink: RecordingSink) -> int:
    """How many coded pictures there are, as the ring's writer asks for them."""
    context.activity.hand_over()
    return len(sink.units)


def bars(frame: av.VideoFrame) -> tuple[int, ...]:
    plane = frame.planes[0]
    rows = [int((row + 0.5) * frame.height / 4) for row in range(4)]
    return tuple(memoryview(plane)[row * plane.line_size + frame.width // 2] for row in rows)


@pytest.mark.parametrize("layout", ["yuv420p", "yuvj420p", "yuvj422p"])
@pytest.mark.parametrize("rotation_deg", [0, 180])
def test_full_range_pictures_are_recorded_as_players_take_them(layout: str, rotation_deg: Literal[0, 180]) -> None:
    settings = CameraSettings(name="main", source="v4l2:/dev/video0", bitrate_kbps=4000, rotation_deg=rotation_deg)
    sink, clock = RecordingSink(), SystemClock()
    context = make_frame_context(settings, sink, clock)
    pipeline = FramePipeline(settings, context, 320, 240, 25.0)
    for number in range(5):
        pipeline.push(full_range(layout), clock.monotonic_us() + number * 40_000)
    wait_until(lambda: handed_over(context, sink) >= 3, what="coded pictures", timeout_s=20)
    pipeline.finish()
    frames = decoded(sink)
    assert len(frames) >= 3
    for frame in frames:
        shown = bars(frame)
        assert shown == pytest.approx(NARROW if rotation_deg == 0 else NARROW[::-1], abs=1)


@pytest.mark.parametrize("layout", ["yuvj420p", "yuvj422p"])
def test_a_v4l2_cameras_jpegs_become_narrow_once(layout: str) -> None:
    converted = Conversion().convert(full_range(layout))
    assert (converted.format.name, converted.color_range) == ("yuv420p", ColorRange.MPEG)
    assert bars(converted) == pytest.approx(NARROW, abs=1)


def test_a_proxy_has_the_brightness_of_its_camera() -> None:
    settings = CameraSettings.model_validate(
        {"name": "main", "source": "v4l2:/dev/video0", "proxy": {"width": 160, "height": 120, "fps": 25}}
    )
    sink, proxy, clock = RecordingSink(), RecordingSink(), SystemClock()
    context = make_frame_context(settings, sink, clock)
    assert context.frames is not None
    context = replace(context, frames=replace(context.frames, proxy=proxy))
    pipeline = FramePipeline(settings, context, 320, 240, 25.0)
    begin_us, number = clock.monotonic_us(), count()

    def is_coded() -> bool:
        pipeline.push(full_range("yuvj422p"), begin_us + next(number) * 40_000)
        return len(proxy.units) >= 3

    wait_until(is_coded, what="coded pictures", timeout_s=20)
    pipeline.finish()
    assert bars(decoded(proxy)[0]) == pytest.approx(NARROW, abs=2)


Try = Callable[[OpenEncoder, EncodeOrder, Clock], Probed]


class TwoStreams:
    """A pipeline with a proxy, and what its encoders' trials come to."""

    def __init__(self, try_proxy: Callable[[], Probed]) -> None:
        settings = CameraSettings.model_validate(
            {
                "name": "main",
                "source": "v4l2:/dev/video0",
                "encoder": {"order": ["libx264"]},
                "proxy": {"width": 160, "height": 120, "fps": 25},
            }
        )
        self.main, self.proxy, self.clock = RecordingSink(), RecordingSink(), SystemClock()

        def try_out(_: OpenEncoder, order: EncodeOrder, __: Clock) -> Probed:
            return Probed("", 9.0) if order.width_px == 320 else try_proxy()

        self.ladder = EncoderLadder(settings.encoder, KINDS, self.clock, try_out)
        context: SourceContext = make_frame_context(settings, self.main, self.clock)
        assert context.frames is not None
        self.context = replace(context, frames=replace(context.frames, proxy=self.proxy, encoders=self.ladder))
        self.pipeline = FramePipeline(settings, self.context, 320, 240, 25.0)
        self.start_us = self.clock.monotonic_us()
        self.number = 0

    def push(self) -> None:
        self.pipeline.push(full_range("yuv420p"), self.start_us + self.number * 40_000)
        self.number += 1


def test_a_proxy_whose_encoder_hangs_in_its_trial_holds_nothing_up() -> None:
    released = threading.Event()

    def hang() -> Probed:
        released.wait(30)
        return Probed("", 9.0)

    streams = TwoStreams(hang)
    for _ in range(20):
        streams.push()
    try:
        wait_until(
            lambda: handed_over(streams.context, streams.main) >= 15, what="the main stream's pictures", timeout_s=10
        )
        assert not streams.proxy.units
        streams.ladder.failed("libx264", EncodeOrder("h264", 320, 240, streams.pipeline._rate, 4000, 25))
    finally:
        released.set()

    def has_both() -> bool:
        streams.push()
        return len(streams.proxy.units) >= 3

    wait_until(has_both, what="a proxy, once its encoder was tried", timeout_s=20)
    streams.pipeline.finish()


def test_a_defect_of_a_proxy_is_its_own() -> None:
    def fail() -> Probed:
        raise ZeroDivisionError("a defect")

    streams = TwoStreams(fail)

    def is_told() -> bool:
        streams.push()
        return "proxy-not-made" in streams.context.report.state.warnings

    wait_until(is_told, what="word of the proxy", timeout_s=10)
    assert "a defect" in streams.context.report.state.warnings["proxy-not-made"]
    least = streams.number - 8
    wait_until(lambda: handed_over(streams.context, streams.main) >= least, what="the main stream", timeout_s=10)
    streams.pipeline.finish()


def test_while_encoders_are_tried_out_the_watchdog_waits() -> None:
    excused: list[bool] = []
    settings = CameraSettings.model_validate({"name": "main", "source": "test:", "encoder": {"order": ["libx264"]}})
    sink, clock = RecordingSink(), SystemClock()
    context = make_frame_context(settings, sink, clock)

    def try_out(*_: object) -> Probed:
        excused.append(context.activity.excused_us > clock.monotonic_us() + 40_000_000)
        return Probed("", 9.0)

    assert context.frames is not None
    ladder = EncoderLadder(settings.encoder, KINDS, clock, try_out)
    context = replace(context, frames=replace(context.frames, encoders=ladder))
    pipeline = FramePipeline(settings, context, 320, 240, 25.0)
    assert excused == [True]
    assert context.activity.excused_us <= clock.monotonic_us(), "a silent camera is noticed as ever"
    pipeline.finish()


def test_a_stream_that_says_it_has_next_to_no_pictures_is_recorded() -> None:
    settings = CameraSettings.model_validate({"name": "main", "source": "test:", "encoder": {"order": ["libx264"]}})
    sink, clock = RecordingSink(), SystemClock()
    pipeline = FramePipeline(settings, make_frame_context(settings, sink, clock), 320, 240, 0.0001)
    for number in range(5):
        pipeline.push(full_range("yuv420p"), clock.monotonic_us() + number * 40_000)
    pipeline.finish()
    assert len(sink.units) == 5


# -- several at a time


class EncodersClock(FakeClock):
    """Moves when it is told, and lets an encoder's thread come to its end."""

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        return event.wait(20)


class Encoding:
    """A pipeline whose encoder tells how many pictures went in and how many came out: x264 keeps the last one."""

    def __init__(self, sink: RecordingSink) -> None:
        self.clock = EncodersClock()
        self.taken = self.coded = 0
        self.opened = 0
        settings = CameraSettings(name="main", source="v4l2:/dev/video0", bitrate_kbps=500, gop_s=1.0)
        context = make_frame_context(settings, sink, self.clock)
        ladder = EncoderLadder(
            settings.encoder, {"libx264": self._open}, self.clock, lambda *_: Probed("", speed=9.0)
        )
        assert context.frames is not None
        self.context = replace(context, frames=replace(context.frames, encoders=ladder))
        self.pipeline = FramePipeline(settings, self.context, 320, 240, 25.0)
        self.begin_us = self.clock.monotonic_us()

    def _open(self, order: EncodeOrder) -> Encoder:
        self.opened += 1
        return _Counted(KINDS["libx264"](order), self)

    def push(self, pictures: int) -> None:
        """One after another, as time passes: a group of 25 in less than the second that a picture is held."""
        for _ in range(pictures):
            self._push_one(self.taken + 1)

    def _push_one(self, number: int) -> None:
        self.pipeline.push(full_range("yuv420p"), self.clock.monotonic_us())
        wait_until(lambda: self.taken >= number, what="the picture is encoded", timeout_s=20)
        self.clock.advance(0.03)


class _Counted:
    def __init__(self, encoder: Encoder, owner: Encoding) -> None:
        self._encoder = encoder
        self._owner = owner
        self.detail = encoder.detail

    def encode(self, frame: av.VideoFrame, *, is_key: bool) -> list[EncodedPicture]:
        pictures = self._encoder.encode(frame, is_key=is_key)
        self._owner.coded += len(pictures)
        self._owner.taken += 1
        return pictures

    def finish(self) -> list[EncodedPicture]:
        return self._encoder.finish()

    def kill(self) -> None:
        self._encoder.kill()


def test_coded_pictures_wait_until_somebody_asks_and_say_when_they_came() -> None:
    sink = RecordingSink()
    encoding = Encoding(sink)
    encoding.push(12)
    assert sink.units == []
    encoding.context.activity.hand_over()
    wait_until(lambda: handed_over(encoding.context, sink) >= 10, what="what waited", timeout_s=20)
    encoding.clock.advance(0.5)
    encoding.pipeline.finish()
    instants_us = [encoding.begin_us + 30_000 * number for number in range(12)]
    assert [unit.capture_us for unit in sink.units] == instants_us, "the last ones are not left behind"
    delays_us = [(unit.received_us or 0) - unit.capture_us for unit in sink.units]
    assert all(0 <= delay_us <= 60_000 for delay_us in delays_us[:10]), "when they came, not when they were asked for"


def test_a_key_frame_brings_the_pictures_before_it() -> None:
    sink = RecordingSink()
    encoding = Encoding(sink)
    encoding.push(25)
    assert sink.units == []
    while encoding.coded <= 25:
        encoding.push(1)
    wait_until(lambda: len(sink.units) == 26, what="the key frame and the group before it", timeout_s=20)
    encoding.pipeline.finish()
    assert len(sink.units) == encoding.taken


class Refusing(RecordingSink):
    """Refuses what it is given while `refusal` is set, and says once that it did."""

    def __init__(self) -> None:
        super().__init__()
        self.refusal: Exception | None = None

    def write(self, unit: AccessUnit) -> None:
        refusal, self.refusal = self.refusal, None
        if refusal is not None:
            raise refusal
        super().write(unit)


def test_what_a_sink_refused_when_it_was_asked_for_ends_the_attempt() -> None:
    sink = Refusing()
    encoding = Encoding(sink)
    encoding.push(12)
    sink.refusal = RingStorageError("no room")
    encoding.context.activity.hand_over()
    number = count()

    def push() -> None:
        encoding.pipeline.push(full_range("yuv420p"), encoding.clock.monotonic_us() + next(number) * 30_000)

    with pytest.raises(RingStorageError, match="no room"):
        wait_until(push, what="the refusal told", timeout_s=20)


def test_what_a_sink_refuses_at_the_end_is_told() -> None:
    sink = Refusing()
    encoding = Encoding(sink)
    encoding.push(12)
    sink.refusal = RingStorageError("no room")
    with pytest.raises(RingStorageError, match="no room"):
        encoding.pipeline.finish()


def test_a_fault_met_when_pictures_were_asked_for_costs_one_encoder_and_not_all_that_follow() -> None:
    sink = Refusing()
    encoding = Encoding(sink)
    encoding.push(12)
    sink.refusal = ValueError("once")
    encoding.context.activity.hand_over()
    before = len(sink.units)
    encoding.push(30)
    wait_until(lambda: handed_over(encoding.context, sink) >= before + 25, what="the next encoder's", timeout_s=20)
    encoding.pipeline.finish()
    assert encoding.opened == 2
