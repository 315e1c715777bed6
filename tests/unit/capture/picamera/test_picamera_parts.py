"""Time, queue, ledger, planes and judgement, each by itself."""

import threading
from dataclasses import replace

import pytest

from edge_agent.capture.frames.hook import FrameHook
from edge_agent.capture.frames.picture import Plane
from edge_agent.capture.picamera.judge import CameraJudge
from edge_agent.capture.picamera.ledger import Ledger
from edge_agent.capture.picamera.sensor_clock import SensorClock
from edge_agent.capture.picamera.unit_queue import StreamName, Unit, UnitQueue
from edge_agent.capture.picamera.watch import Figures, PictureWatch, picture_of_buffer
from edge_agent.capture.report import CaptureReport
from edge_agent.clock import FakeClock
from edge_agent.errors import CaptureError, SourceStalledError
from tests.unit.capture.fakes import make_context
from tests.unit.capture.picamera.fake_picamera2 import MappedArray, Request

SUSPENDED_US = 3_600_000_000


class SuspendedClock(FakeClock):
    """Of a board that slept for an hour."""

    def boottime_of_monotonic_us(self, monotonic_us: int) -> int:
        return monotonic_us + SUSPENDED_US


@pytest.mark.parametrize("stamped_us", [-SUSPENDED_US - 30_000, -30_000])
def test_a_stamp_of_either_clock_is_understood(stamped_us: int) -> None:
    clock = SuspendedClock(monotonic_us=2 * SUSPENDED_US)
    now_us = clock.monotonic_us()
    sensor = SensorClock(clock)
    assert sensor.capture_us((now_us + stamped_us) * 1000, now_us) == now_us - 30_000
    assert sensor.doubt is None


def test_a_stamp_of_no_clock_is_replaced_by_the_arrival() -> None:
    clock = FakeClock()
    sensor = SensorClock(clock)
    now_us = clock.monotonic_us()
    assert sensor.capture_us((now_us + 10_000_000) * 1000, now_us) == now_us
    assert sensor.doubt == "timestamps-of-another-clock"
    assert sensor.capture_us(None, now_us) == now_us + 1
    assert sensor.capture_us((now_us + 30_000) * 1000, now_us + 40_000) == now_us + 30_000
    assert sensor.doubt is None


def unit(*, key: bool = False, stream: StreamName = "main", size_bytes: int = 100) -> Unit:
    return Unit(stream, bytes(size_bytes), key, 0, 0)


def test_a_full_queue_leaves_out_whole_groups_and_keeps_streams_apart() -> None:
    queue = UnitQueue(max_bytes=250)
    assert [queue.put(unit(key=key)) for key in (True, False, False)] == [True, True, False]
    assert queue.put(unit(stream="lores", key=True))
    assert queue.urgent.is_set()
    assert [taken.is_key for taken in queue.take_all()] == [True, False, True]
    assert not queue.urgent.is_set()
    assert [queue.put(unit(key=key)) for key in (False, True, False)] == [False, True, True]
    assert (queue.left_out("main"), queue.left_out("lores")) == (2, 0)


def test_a_picture_that_is_larger_than_the_queue_is_taken_alone() -> None:
    """A key frame of a large picture at a low bit rate: left out each time, nothing would ever be recorded."""
    queue = UnitQueue(max_bytes=1000)
    assert queue.put(Unit("main", bytes(1500), True, 0, 0))
    assert not queue.put(Unit("main", bytes(10), False, 1, 1)), "it stays bounded"
    assert [len(unit.data) for unit in queue.take_all()] == [1500]
    assert queue.put(Unit("main", bytes(1500), True, 2, 2))


def test_the_ledger_finds_a_picture_by_its_stamp_and_counts_what_is_owed() -> None:
    ledger = Ledger()
    for stamp_us in (100_000, 140_000, 180_000):
        ledger.note(stamp_us, stamp_us + 7)
    assert ledger.owed == 3
    assert ledger.find(140_001) == 140_007
    assert ledger.owed == 0
    assert ledger.find(140_001) is None
    assert ledger.find(180_000) == 180_007
    assert ledger.given == 3


@pytest.mark.parametrize(("name", "planes"), [("YUV420", 3), ("NV12", 2)])
def test_planes_of_a_buffer_with_padded_rows(name: str, planes: int) -> None:
    memory = bytearray(128 * 36 * 3 // 2)
    picture = picture_of_buffer(memoryview(memory), {"size": (100, 36), "stride": 128, "format": name})
    assert len(picture.planes) == planes
    assert sum(len(plane.memory) for plane in picture.planes) == len(memory)
    assert picture.planes[0] == Plane(picture.planes[0].memory, 128, 100, 36)
    assert picture.planes[-1].stride_bytes * picture.planes[-1].height == len(picture.planes[-1].memory)
    picture.planes[-1].memory[-1] = 9
    assert memory[-1] == 9


def test_pixels_that_nothing_can_be_drawn_on_are_refused() -> None:
    with pytest.raises(ValueError, match="XBGR8888"):
        picture_of_buffer(memoryview(bytearray(64)), {"size": (4, 4), "stride": 16, "format": "XBGR8888"})


class Judged:
    """A judge of 25 pictures a second, whose camera the test plays."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.report = CaptureReport("main")
        self.figures = Figures()
        self.context = replace(make_context(self.clock), report=self.report)
        self.judge = CameraJudge(self.context, self.figures, SensorClock(self.clock), 25.0, 5.0)
        self.failed = threading.Event()

    def run(self, seconds: int, fps: int) -> None:
        for _ in range(seconds):
            self.clock.advance(1)
            if fps:
                self.figures.pictures += fps
                self.figures.last_us = self.clock.monotonic_us()
            self.judge.check(self.failed, "")


def test_half_the_asked_rate_is_reported_and_taken_back() -> None:
    judged = Judged()
    judged.run(9, 12)
    assert judged.report.state.warnings == {}
    judged.run(1, 12)
    assert "sends 12.0" in judged.report.state.warnings["frame-rate-not-as-asked"]
    judged.run(10, 25)
    assert judged.report.state.warnings == {}


def test_silence_and_pictures_that_cannot_be_masked_end_the_attempt() -> None:
    judged = Judged()
    judged.run(3, 25)
    with pytest.raises(SourceStalledError, match="for 6 s"):
        judged.run(7, 0)
    refusing = Judged()
    refusing.figures.refused_in_row = 250
    with pytest.raises(CaptureError, match="could not be read or masked"):
        refusing.run(1, 25)


@pytest.mark.parametrize(("fit_width", "in_row"), [(64, 0), (32, 300)])
def test_a_proxy_that_cannot_be_masked_does_not_end_the_main_stream(
    monkeypatch: pytest.MonkeyPatch, fit_width: int, in_row: int
) -> None:
    monkeypatch.setattr(FrameHook, "mask", lambda _, picture: picture.width_px == fit_width)
    clock = FakeClock()
    watch = PictureWatch(clock, FrameHook([((0, 0), (1, 0), (1, 1))], clock), MappedArray, ("main", "lores"))
    sizes = {"main": (64, 32), "lores": (32, 16)}
    config = {name: {"size": size, "stride": size[0], "format": "YUV420"} for name, size in sizes.items()}
    request = Request({}, config, {name: bytearray(w * h * 3 // 2) for name, (w, h) in sizes.items()})
    for _ in range(300):
        watch.look(request)
    assert watch.figures.refused_in_row == in_row
    seen = watch.seen(request)
    assert seen is not None
    assert seen.fit == {"main" if fit_width == 64 else "lores"}


def test_pictures_keep_the_supervisor_from_calling_the_camera_silent() -> None:
    judged = Judged()
    judged.run(2, 25)
    assert judged.context.activity.last_us == judged.clock.monotonic_us()


@pytest.mark.parametrize(("ahead_s", "codes"), [(0.2, set()), (-5.0, {"sensor-wall-clock-differs"})])
def test_libcameras_own_utc_is_compared_with_the_recorders(ahead_s: float, codes: set[str]) -> None:
    judged = Judged()
    judged.figures.wall_capture_us = judged.clock.monotonic_us()
    judged.figures.wall_ns = judged.clock.wall_us() * 1000 + round(ahead_s * 1e9)
    judged.run(10, 25)
    assert set(judged.report.state.warnings) == codes
