"""What is recorded: two streams, their times, their masks, key frames."""

import gc
import threading
from collections.abc import Iterator
from itertools import pairwise

import av
import numpy as np
import psutil
import pytest

from edge_agent.clock import SystemClock
from tests.picamera2.rig import decoded, recording
from tests.picamera2.virtual import Pacer, VirtualPicamera2, fresh_pacer
from tests.support.polling import wait_until

TOP_LEFT = [[[0, 0], [0.5, 0], [0.5, 0.5], [0, 0.5]]]


@pytest.fixture(autouse=True)
def pacer() -> Iterator[Pacer]:
    yield from fresh_pacer()


def luma(frame: av.VideoFrame) -> "np.ndarray":
    return frame.to_ndarray(format="gray")


def test_two_streams_are_recorded_from_the_sensors_own_time() -> None:
    begin_us = SystemClock().monotonic_us()
    with recording(width=1280, height=720, proxy={"width": 640, "height": 360}) as rig:
        rig.wait_for(60)
        rig.wait_for(25, rig.proxy)
    for sink, size, step_us in ((rig.main, (1280, 720), 40_000), (rig.proxy, (640, 360), 80_000)):
        (stream,) = sink.streams
        assert (sink.starts[0][0].width_px, sink.starts[0][0].height_px) == size
        frames = decoded(stream)
        assert len(frames) == len(stream)
        assert {(frame.width, frame.height) for frame in frames} == {size}
        steps = [after.capture_us - before.capture_us for before, after in pairwise(stream)]
        assert np.median(steps) == pytest.approx(step_us, rel=0.1)
        assert all(begin_us < unit.capture_us < unit.received_us for unit in stream if unit.received_us)
    assert rig.report.encoder == "picamera2 (libx264)"
    assert rig.report.warnings == {}
    keys = [at for at, unit in enumerate(rig.main.units) if unit.is_key]
    assert {after - before for before, after in pairwise(keys)} == {25}


def test_masks_are_on_the_decoded_pixels_of_both_streams_and_of_a_still() -> None:
    with recording(width=1280, height=720, masks=TOP_LEFT, proxy={"width": 640, "height": 360}) as rig:
        rig.wait_for(30)
        rig.wait_for(15, rig.proxy)
        still = luma(rig.still().frame)
    for picture in (*map(luma, decoded(rig.main.units)), *map(luma, decoded(rig.proxy.units)), still):
        height, width = picture.shape
        assert picture[: height // 2 - 8, : width // 2 - 8].max() < 40
        assert picture[height // 2 + 8 :, width // 2 + 8 :].max() > 100


def test_no_picture_is_recorded_that_cannot_be_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_agent.capture.frames.masks.MaskPainter.paint", lambda *_: 1 / 0)
    with recording(masks=TOP_LEFT) as rig:
        wait_until(lambda: rig.hook.figures.unmasked > 40, what="refused pictures")
    assert rig.main.units == []


def test_a_key_frame_comes_when_it_is_asked_for() -> None:
    with recording(gop_s=10) as rig:
        rig.wait_for(30)
        rig.context.activity.request_key_frame()
        wait_until(lambda: sum(unit.is_key for unit in rig.main.units) == 2, what="a key frame")
    keys = [at for at, unit in enumerate(rig.main.units) if unit.is_key]
    assert keys[0] == 0
    assert 25 < keys[1] < 100
    assert len(decoded(rig.main.units[keys[1] :])) == len(rig.main.units) - keys[1]


def test_constant_quality_has_its_ceiling() -> None:
    with recording(encoder={"quality": 1}, bitrate_kbps=300) as rig:
        rig.wait_for(100)
    seconds = (rig.main.units[-1].capture_us - rig.main.units[0].capture_us) / 1e6
    assert sum(len(unit.data) for unit in rig.main.units) * 8 / seconds < 1.5 * 300_000


def test_a_size_that_the_sensor_lacks_is_read_back_and_reported() -> None:
    with recording(width=1000, height=500) as rig:
        rig.wait_for(5)
    assert (rig.main.starts[0][0].width_px, rig.main.starts[0][0].height_px) == (1920, 1080)
    assert rig.report.configured is not None
    assert (rig.report.configured.width_px, rig.report.configured.format) == (1920, "NV12")
    assert "asked for 1000×500, configured to 1920×1080" in rig.report.warnings["size-not-as-asked"]


def test_what_the_sensor_cannot_do_is_reported() -> None:
    sensor = {"exposure_us": 5000, "autofocus": "continuous"}
    with recording(sensor=sensor, fps=120) as rig:
        rig.wait_for(5)
    assert "at this size the sensor gives 60.0" in rig.report.warnings["frame-rate-not-as-asked"]
    assert "exposure_us, autofocus" in rig.report.warnings["sensor-control-missing"]


@pytest.mark.parametrize("more", [{"rotation_deg": 90}, {"encoder": {"codec": "hevc"}}])
def test_what_picamera2_cannot_encode_goes_through_the_recorders_own_encoders(more: dict[str, object]) -> None:
    with recording("pisp", **more) as rig:
        rig.wait_for(30)
    config = rig.main.starts[0][0]
    assert (config.width_px, config.height_px) == ((360, 640) if "rotation_deg" in more else (640, 360))
    assert config.codec == ("hevc" if "encoder" in more else "h264")


def test_a_board_without_its_encoder_falls_back_to_software() -> None:
    with recording("vc4") as rig:
        for _ in range(2):
            assert "/dev/video11" in str(rig.join())
            rig.start()
        rig.wait_for(10)
    assert rig.report.encoder == "picamera2 (libx264)"
    assert rig.report.encoder_failures == 2


def test_memory_and_descriptors_are_bounded() -> None:
    process = psutil.Process()
    VirtualPicamera2.pacer.fps = 200.0
    with recording() as rig:
        rig.wait_for(400)
        before = process.memory_info().rss
        rig.wait_for(1500)
        grown = process.memory_info().rss - before
    assert grown < 30_000_000
    descriptors = process.num_fds()
    for _ in range(3):
        with recording(source="picamera2:3") as absent:
            assert "no such camera" in str(absent.join())
    with recording() as holder:
        holder.wait_for(5)
        in_use = process.num_fds()
        for _ in range(3):
            with recording() as second:
                assert "in use" in str(second.join())
        assert process.num_fds() <= in_use + 2
    gc.collect()  # an exception's frames hold what failed to open
    assert process.num_fds() <= descriptors + 2
    assert threading.active_count() < 20
