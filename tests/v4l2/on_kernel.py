"""The source on a real kernel's test driver; run by scripts/test-v4l2."""

import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from edge_agent.capture.outputs import make_outputs
from edge_agent.capture.report import CaptureReport
from edge_agent.capture.source import SourceContext
from edge_agent.capture.supervisor import CaptureSupervisor
from edge_agent.capture.table import open_source
from edge_agent.capture.timeline import MediaTimeline
from edge_agent.clock import SystemClock
from edge_agent.errors import SourceUnavailableError
from edge_agent.settings import CameraSettings
from tests.support.polling import wait_until
from tests.support.processes import Processes
from tests.support.unit import Unit, camera_of
from tests.unit.capture.fakes import RecordingSink
from tests.unit.capture.v4l2.cameras import StoppingSink
from tests.v4l2 import vivid

SIZE: dict[str, Any] = {"width": 320, "height": 180, "fps": 10.0, "bitrate_kbps": 500}
PATIENCE_S = 60.0


@pytest.fixture
def cameras() -> Iterator[list[str]]:
    vivid.load(2)
    yield [vivid.link(0), vivid.link(1)]
    vivid.unload()


def settings_of(source: str, **changes: object) -> CameraSettings:
    return CameraSettings.model_validate({"name": "main", "source": f"v4l2:{source}"} | SIZE | changes)


def context_of(settings: CameraSettings, sink: RecordingSink) -> SourceContext:
    clock = SystemClock()
    return SourceContext(
        "nomad-07",
        clock,
        MediaTimeline(clock.monotonic_us()),
        report=CaptureReport("main"),
        frames=make_outputs(settings, clock, sink),
    )


@pytest.mark.parametrize("size", [(320, 180), (640, 360)])
def test_pixels_are_recorded_with_the_drivers_stamps(cameras: list[str], size: tuple[int, int]) -> None:
    sink = StoppingSink(lambda sink: len(sink.units) >= 30)
    settings = settings_of(cameras[0], width=size[0], height=size[1], v4l2={"format": "yuyv"})
    context = context_of(settings, sink)
    open_source(settings, context).run(RecordingSink(), sink.stop)
    told = context.report.state.configured
    assert told is not None
    assert (told.format, told.width_px, told.height_px, told.fps) == ("YUYV", *size, 10.0)
    assert (sink.starts[0][0].width_px, sink.starts[0][0].height_px) == size
    steps_us = [b.capture_us - a.capture_us for a, b in zip(sink.units, sink.units[1:], strict=False)]
    assert abs(median(steps_us) - 100_000) < 20_000  # the driver stamps by a processor that is imitated
    age_us = SystemClock().monotonic_us() - sink.units[-1].capture_us
    assert 0 < age_us < 5_000_000
    assert context.report.state.warnings == {}


def test_a_size_that_it_lacks_is_read_back_and_told(cameras: list[str]) -> None:
    sink = StoppingSink(lambda sink: len(sink.units) >= 3)
    settings = settings_of(cameras[0], width=330, height=190)
    context = context_of(settings, sink)
    open_source(settings, context).run(RecordingSink(), sink.stop)
    assert "320×180" in context.report.state.warnings["size-not-as-asked"]


def test_the_whole_recorder_puts_a_camera_into_its_ring(cameras: list[str], tmp_path: Path) -> None:
    processes = Processes()
    unit = Unit(tmp_path / "unit", processes, [camera_of(f"v4l2:{cameras[0]}", **SIZE)])
    try:
        unit.spawn("record", "main")
        unit.wait_recording(timeout_s=3 * PATIENCE_S)
        state = unit.state()
        assert (state.recording, state.width_px, state.height_px) == (True, 320, 180)
    finally:
        unit.kill_everything()
        processes.kill_all()


def test_two_cameras_at_the_same_time(cameras: list[str]) -> None:
    sinks = [StoppingSink(lambda sink: len(sink.units) >= 20) for _ in cameras]
    threads = []
    for path, sink in zip(cameras, sinks, strict=True):
        settings = settings_of(path)
        source = open_source(settings, context_of(settings, sink))
        threads.append(threading.Thread(target=source.run, args=(RecordingSink(), sink.stop)))
        threads[-1].start()
    try:
        wait_until(lambda: all(len(sink.units) >= 20 for sink in sinks), what="pictures", timeout_s=PATIENCE_S)
    finally:
        for sink, thread in zip(sinks, threads, strict=True):
            sink.stop.set()
            thread.join()


def test_a_camera_in_use_names_who_has_it(cameras: list[str]) -> None:
    first = StoppingSink(lambda sink: False)
    settings = settings_of(cameras[0])
    thread = threading.Thread(
        target=open_source(settings, context_of(settings, first)).run, args=(RecordingSink(), first.stop)
    )
    thread.start()
    try:
        wait_until(lambda: first.units, what="pictures", timeout_s=PATIENCE_S)
        with pytest.raises(SourceUnavailableError, match=r"in use by .*\(\d+\)"):
            open_source(settings, context_of(settings, RecordingSink())).run(RecordingSink(), threading.Event())
    finally:
        first.stop.set()
        thread.join()


def test_unplugged_in_mid_stream_and_back_under_another_number(cameras: list[str]) -> None:
    clock = SystemClock()
    sink = StoppingSink(lambda sink: False)
    settings = settings_of(cameras[0])
    supervisor = CaptureSupervisor(settings, context_of(settings, sink), sink, clock)
    thread = threading.Thread(target=supervisor.run, args=(sink.stop,))
    thread.start()
    try:
        wait_until(lambda: sink.units, what="pictures", timeout_s=PATIENCE_S)
        before = vivid.node(0)
        holder = os.open(before, os.O_RDWR)  # who keeps it open keeps its number taken
        vivid.unbind()
        wait_until(lambda: sink.ends, what="the end of the stream", timeout_s=PATIENCE_S)
        assert "not there" in sink.ends[0][1]
        begun_us, seen = clock.monotonic_us(), len(sink.units)
        vivid.bind()
        os.close(holder)
        assert vivid.node(0) != before
        wait_until(lambda: len(sink.units) > seen, what="pictures again", timeout_s=PATIENCE_S)
        back_s = (sink.units[seen].capture_us - begun_us) / 1e6
        sys.stderr.write(f"recorded again {back_s:.2f} s after it was plugged in\n")
        assert back_s < 10
    finally:
        sink.stop.set()
        thread.join()


def test_a_node_that_is_no_camera(cameras: list[str], tmp_path: Path) -> None:
    settings = settings_of("/dev/null")
    with pytest.raises(SourceUnavailableError, match="no camera of the kernel's"):
        open_source(settings, context_of(settings, RecordingSink())).run(RecordingSink(), threading.Event())
