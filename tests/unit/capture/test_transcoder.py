"""A stream that a camera encoded and that is decoded here: when that is too slow, fails, or begins anew."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import av
import pytest

from edge_agent.camera_settings import CameraSettings, Polygon, ProxySettings
from edge_agent.capture import coded, pipeline
from edge_agent.capture.coded import CodedPath, Transcoder
from edge_agent.capture.frames.masks import MaskPainter
from edge_agent.capture.pipeline import FramePipeline
from edge_agent.clock import SystemClock
from edge_agent.contract.access_unit import AccessUnit
from edge_agent.errors import CaptureError, SourceFormatError
from tests.builders import Stream, make_units
from tests.support.polling import wait_until
from tests.unit.capture.fakes import RecordingSink, make_frame_context

SQUARE: Polygon = ((0.5, 0.5), (1.0, 0.5), (1.0, 1.0), (0.5, 1.0))
GOP = 10
STREAM = make_units(8.0, fps=25, gop=GOP)


class Slow:
    """Stands for decoder and pipeline: takes each unit when the test lets it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.goes = threading.Event()
        self.begun = threading.Event()
        self.taken: list[AccessUnit] = []
        self.fault: Exception | None = None
        monkeypatch.setattr(coded._Decoding, "push", lambda _work, unit: self._push(unit))
        monkeypatch.setattr(coded._Decoding, "finish", lambda _work: None)

    def _push(self, unit: AccessUnit) -> None:
        self.begun.set()
        self.goes.wait(60)
        if self.fault is not None:
            raise self.fault
        self.taken.append(unit)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Slow]:
    slow = Slow(monkeypatch)
    yield slow
    slow.goes.set()


class Rig:
    """A path between a camera and two sinks that remember."""

    def __init__(self, *, masks: bool = False, proxy: bool = False) -> None:
        values = {"name": "main", "source": "rtsp://192.0.2.7/s", "bitrate_kbps": 500}
        masked = {"masks": (SQUARE,)} if masks else {}
        small = {"proxy": ProxySettings(width=64, height=64)} if proxy else {}
        settings = CameraSettings.model_validate(values | masked | small)
        self.main, self.proxy, self.clock = RecordingSink(), RecordingSink(), SystemClock()
        context = make_frame_context(settings, self.main, self.clock)
        assert context.frames is not None
        context.activity.hand_over = lambda: None  # its source holds packets back by itself, as every one that passes
        outputs = replace(context.frames, proxy=self.proxy if proxy else None)
        self.report = context.report
        self.path = CodedPath(settings, replace(context, frames=outputs), outputs)

    @property
    def transcoder(self) -> Transcoder:
        assert self.path._transcoder is not None
        return self.path._transcoder

    def end(self) -> None:
        """Until all that waited was taken."""
        wait_until(lambda: not self.transcoder._waiting, what="what waits taken")
        self.path.close()
        wait_until(self.transcoder._ended.is_set, what="the transcoder's end")

    def play(self, stream: Stream = STREAM) -> None:
        for unit in stream.units:
            self.path.write(unit)


def dated_after(stream: Stream, seconds: float, width: int, height: int) -> Stream:
    last = stream.units[-1]
    return make_units(
        seconds,
        fps=25,
        gop=GOP,
        width=width,
        height=height,
        first_dts_90k=last.dts_90k + 3600,
        first_capture_us=last.capture_us + 40_000,
    )


def sizes_shown(sink: RecordingSink) -> list[tuple[int, int, int]]:
    """Of each stream that was begun: width, height and number of the pictures that it decodes to."""
    found = []
    for (config, _), units in zip(sink.starts, sink.streams, strict=True):
        decoder = av.CodecContext.create("h264", "r")
        assert isinstance(decoder, av.VideoCodecContext)
        decoder.extradata = config.extradata
        frames = [frame for unit in units for frame in decoder.decode(av.Packet(unit.data))]
        frames += decoder.decode(None)
        ((width, height),) = {(frame.width, frame.height) for frame in frames}
        found.append((width, height, len(frames)))
    return found


# -- too slow


def test_what_waits_is_bounded_and_goes_on_at_a_key_frame(slow: Slow, monkeypatch: pytest.MonkeyPatch) -> None:
    limit_bytes = sum(len(unit.data) for unit in STREAM.units[: 3 * GOP])
    monkeypatch.setattr(coded, "MAX_WAITING_BYTES", limit_bytes)
    rig = Rig(masks=True)
    rig.path.start_stream(STREAM.config, "start")
    for unit in STREAM.units[: 10 * GOP]:
        rig.path.write(unit)
        assert rig.transcoder._size_bytes <= limit_bytes
    assert rig.transcoder.dropped > 5 * GOP
    slow.goes.set()
    wait_until(lambda: rig.transcoder._size_bytes == 0, what="what waited taken")
    for unit in STREAM.units[10 * GOP + 3 :]:  # the rest of a group whose beginning was left out
        rig.path.write(unit)
    rig.end()
    taken = [STREAM.units.index(unit) for unit in slow.taken]
    assert len(taken) + rig.transcoder.dropped == len(STREAM.units) - 3
    holes = [(before, after) for before, after in pairwise(taken) if after != before + 1]
    assert len(holes) == 1
    assert all(STREAM.units[after].is_key for _, after in holes)


def test_a_passing_stream_knows_nothing_of_a_slow_proxy(slow: Slow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coded, "MAX_WAITING_BYTES", 1)
    rig = Rig(proxy=True)
    rig.path.start_stream(STREAM.config, "start")
    begin_us = rig.clock.monotonic_us()
    rig.play()
    assert rig.clock.monotonic_us() - begin_us < 5_000_000
    assert rig.main.units == list(STREAM.units)
    assert rig.transcoder.dropped == len(STREAM.units)
    rig.path.end_stream("camera-lost", "the camera was switched off")
    assert rig.main.ends == [("camera-lost", "the camera was switched off")]
    rig.path.close()


def test_a_new_stream_is_taken_from_its_beginning_whatever_was_left_out(
    slow: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit_bytes = sum(len(unit.data) for unit in STREAM.units[:GOP])
    monkeypatch.setattr(coded, "MAX_WAITING_BYTES", limit_bytes)
    rig = Rig(masks=True)
    rig.path.start_stream(STREAM.config, "start")
    rig.play()
    slow.goes.set()
    wait_until(lambda: rig.transcoder._size_bytes == 0, what="what waited taken")
    again = Stream(STREAM.config, dated_after(STREAM, 0.4, 128, 96).units)
    rig.path.start_stream(again.config, "timestamp-jump")
    rig.play(again)
    wait_until(lambda: slow.taken[-1:] == list(again.units[-1:]), what="the new stream taken")
    assert slow.taken[-GOP:] == list(again.units)
    rig.path.close()


# -- the end


def test_the_end_waits_for_no_decoder_that_hangs(slow: Slow) -> None:
    rig = Rig(masks=True)
    rig.path.start_stream(STREAM.config, "start")
    rig.play()
    assert slow.begun.wait(30)
    begin_us = rig.clock.monotonic_us()
    rig.path.close()
    assert rig.clock.monotonic_us() - begin_us < 5_000_000
    slow.goes.set()
    assert rig.transcoder._thread is not None
    rig.transcoder._thread.join(30)
    assert not rig.transcoder._thread.is_alive()


@pytest.mark.parametrize(("masks", "proxy"), [(True, False), (False, True), (False, False)])
def test_one_that_never_had_a_stream_ends(masks: bool, proxy: bool) -> None:
    rig = Rig(masks=masks, proxy=proxy)
    rig.path.close()
    assert (rig.main.starts, rig.proxy.starts) == ([], [])


# -- failures


@pytest.mark.parametrize("fault", [CaptureError("no decoder"), MemoryError("none left"), av.FFmpegError(1, "broken")])
def test_without_its_masks_a_stream_is_not_recorded_and_the_attempt_ends(slow: Slow, fault: Exception) -> None:
    rig = Rig(masks=True, proxy=True)
    slow.fault = fault
    slow.goes.set()
    rig.path.start_stream(STREAM.config, "start")
    with pytest.raises(CaptureError, match=str(fault.args[-1])):
        wait_until(lambda: rig.path.write(STREAM.units[0]), what="the failure told")
    rig.path.close()
    assert rig.main.units == []


@pytest.mark.parametrize("fault", [CaptureError("no decoder"), MemoryError("none left")])
def test_without_its_proxy_a_stream_passes_on(slow: Slow, fault: Exception) -> None:
    rig = Rig(proxy=True)
    slow.fault = fault
    slow.goes.set()
    rig.path.start_stream(STREAM.config, "start")
    rig.path.write(STREAM.units[0])
    wait_until(lambda: rig.transcoder.failure, what="the failure")
    rig.play(Stream(STREAM.config, STREAM.units[1:]))
    assert rig.main.units == list(STREAM.units)
    ((cause, detail),) = rig.proxy.ends
    assert cause == "camera-lost"
    assert str(fault) in detail
    rig.path.close()


def test_a_decoder_that_is_not_there_is_a_failure_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("no codec of this name")

    monkeypatch.setattr(av.CodecContext, "create", refuse)
    rig = Rig(masks=True)
    rig.path.start_stream(STREAM.config, "start")
    wait_until(lambda: rig.transcoder.failure, what="the failure")
    with pytest.raises(CaptureError, match="no codec of this name"):
        rig.path.write(STREAM.units[0])
    rig.path.close()


def test_pictures_that_cannot_be_decoded_cost_their_group_alone() -> None:
    rig = Rig(masks=True)
    torn = [
        replace(unit, data=b"\x00\x00\x00\x04torn") if GOP <= index < GOP + 3 else unit
        for index, unit in enumerate(STREAM.units)
    ]
    rig.path.start_stream(STREAM.config, "start")
    for unit in torn[: 4 * GOP]:
        rig.path.write(unit)
    taken_us = {unit.capture_us for unit in (*STREAM.units[:GOP], *STREAM.units[2 * GOP : 4 * GOP - 1])}
    wait_until(lambda: taken_us <= {unit.capture_us for unit in rig.main.units}, what="the groups around it")
    rig.path.close()
    lost_us = {unit.capture_us for unit in STREAM.units[GOP : 2 * GOP]}
    assert not lost_us & {unit.capture_us for unit in rig.main.units}


def test_a_stream_that_no_decoder_understands_ends_the_attempt_with_the_remedy() -> None:
    rig = Rig(masks=True)
    rig.path.start_stream(STREAM.config, "start")

    def play() -> None:
        for unit in STREAM.units:
            rig.path.write(replace(unit, data=b"\x00\x00\x00\x05garba" + unit.data[8:40]))

    with pytest.raises(SourceFormatError, match="have it send plain"):
        wait_until(play, what="the failure told")
    rig.path.close()
    assert rig.main.units == []


def test_a_proxy_that_failed_is_tried_again_a_minute_later_at_a_key_frame(slow: Slow) -> None:
    rig = Rig(proxy=True)
    slow.fault = CaptureError("no decoder")
    slow.goes.set()
    rig.path.start_stream(STREAM.config, "start")
    rig.path.write(STREAM.units[0])
    wait_until(lambda: rig.transcoder.failure, what="the failure")
    rig.path.write(STREAM.units[1])
    assert "no decoder" in rig.report.state.warnings["proxy-not-made"]
    slow.fault = None
    failed_us = STREAM.units[1].capture_us
    later = ((59, True), (61, False), (62, True))
    early, no_key, key = (
        replace(unit, capture_us=failed_us + seconds * 1_000_000, is_key=is_key)
        for unit, (seconds, is_key) in zip(STREAM.units[2:], later, strict=False)
    )
    for unit in (early, no_key):
        rig.path.write(unit)
        assert rig.path._transcoder is None
    rig.path.write(key)
    wait_until(lambda: slow.taken == [key], what="the proxy made again")
    rig.path.close()


def encoders_at_work() -> int:
    return sum(thread.name.startswith("encode-") for thread in threading.enumerate())


def test_an_attempt_that_ends_for_its_masks_leaves_no_encoder_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "MASK_FAULT_LIMIT", 5)
    monkeypatch.setattr(MaskPainter, "paint", lambda *_: 1 / 0)
    before = encoders_at_work()
    rig = Rig(masks=True)
    rig.path.start_stream(STREAM.config, "start")
    with pytest.raises(CaptureError, match="nothing is recorded without its masks"):
        wait_until(rig.play, what="the failure told")
    rig.path.close()
    wait_until(lambda: encoders_at_work() == before, what="the encoder's end")


def test_what_waits_when_an_attempt_ends_is_not_shown_beside_the_next_one(slow: Slow) -> None:
    rig = Rig(masks=True)
    rig.path.start_stream(STREAM.config, "start")
    rig.play()
    assert slow.begun.wait(30)
    rig.path.close()
    slow.goes.set()
    wait_until(rig.transcoder._ended.is_set, what="the transcoder's end")
    assert len(slow.taken) == 1


# -- a new stream


def test_a_stream_says_why_it_begins_where_it_does() -> None:
    rig = Rig(masks=True)
    first = Stream(STREAM.config, STREAM.units[: 2 * GOP])
    second = dated_after(first, 0.8, 192, 160)
    for stream in (first, second):
        rig.path.start_stream(stream.config, "start" if stream is first else "parameters-changed")
        rig.play(stream)
    wait_until(lambda: len(rig.main.starts) == 2, what="both streams")
    rig.path.close()
    assert rig.main.causes == ["start", "parameters-changed"]


def test_a_stream_of_another_size_is_recorded_in_its_own() -> None:
    rig = Rig(masks=True, proxy=True)
    first = Stream(STREAM.config, STREAM.units[: 4 * GOP])
    second = dated_after(first, 1.6, 192, 160)
    for stream in (first, second):
        rig.path.start_stream(stream.config, "start" if stream is first else "parameters-changed")
        rig.play(stream)
    wait_until(lambda: len(rig.main.streams) == 2 and len(rig.main.streams[1]) >= 4 * GOP - 1, what="both streams")
    rig.path.close()
    (width, height, pictures), (wide, high, more) = sizes_shown(rig.main)
    assert (width, height, wide, high) == (128, 96, 192, 160)
    assert pictures >= 4 * GOP - 1
    assert more >= 4 * GOP - 1
    assert [size[:2] for size in sizes_shown(rig.proxy)] == [(64, 48), (64, 54)]
    taken_us = {unit.capture_us for unit in (*first.units, *second.units)}
    for sink in (rig.main, rig.proxy):
        assert {unit.capture_us for unit in sink.units} <= taken_us, "each picture keeps its own instant"


def test_pictures_in_hand_are_not_lost_when_a_stream_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """The decoder holds pictures back, as B-frames make it: they are shown before the next stream's."""
    shown: list[int] = []
    monkeypatch.setattr(FramePipeline, "push", lambda _pipeline, _frame, capture_us: shown.append(capture_us))
    first = make_units(0.8, fps=25, gop=GOP, b_frames=2)
    second = dated_after(first, 0.8, 128, 96)
    rig = Rig(masks=True)
    for stream in (first, second):
        rig.path.start_stream(stream.config, "start")
        rig.play(stream)
    rig.end()
    assert shown == sorted(unit.capture_us for unit in (*first.units, *second.units))
