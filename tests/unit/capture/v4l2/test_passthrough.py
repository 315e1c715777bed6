import threading
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from linuxpy.video import raw

from edge_agent.errors import SourceStalledError, SourceUnavailableError
from tests.support.v4l2_device import Control
from tests.unit.capture.fakes import RecordingSink
from tests.unit.capture.v4l2.cameras import BY_PATH, NODE, Bench, StoppingSink, camera_settings, h264_camera


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def at(number: int, act: Callable[[], object]) -> Callable[[int], bool]:
    """Does something when that frame is taken, which is not damaged by it."""

    def judge(frame: int) -> bool:
        if frame == number:
            act()
        return False

    return judge


def test_h264_is_recorded_as_the_camera_encoded_it(bench: Bench) -> None:
    camera = h264_camera()
    bench.kernel.plug(NODE, camera)
    sink = bench.record(camera_settings(), pictures=30)
    assert [unit.data for unit in sink.units[:30]] == [camera.picture(0, number) for number in range(30)]
    assert [unit.is_key for unit in sink.units[:30]] == [number % 10 == 0 for number in range(30)]
    config, cause = sink.starts[0]
    assert (config.codec, config.width_px, config.height_px, cause) == ("h264", 320, 240, "start")
    assert config.extradata


def test_pictures_carry_the_instant_at_which_the_sensor_saw_them(bench: Bench) -> None:
    begun_us = bench.clock.monotonic_us()
    bench.kernel.plug(NODE, h264_camera())
    sink = bench.record(camera_settings(), pictures=40)
    assert [unit.capture_us - begun_us for unit in sink.units] == [40_000 * n for n in range(len(sink.units))]
    assert {b.pts_90k - a.pts_90k for a, b in zip(sink.units, sink.units[1:], strict=False)} == {3600}


def test_what_was_configured_is_reported(bench: Bench) -> None:
    bench.kernel.plug(NODE, h264_camera())
    bench.record(camera_settings())
    told = bench.report.state.configured
    assert told is not None
    assert (told.format, told.width_px, told.height_px, told.fps) == ("H264", 320, 240, 25.0)
    assert "Fake camera" in told.device
    assert bench.warnings == {}


@pytest.mark.parametrize(
    ("more", "mirrors"), [({}, 1), ({"masks": [[(0.2, 0.2), (0.8, 0.2), (0.8, 0.8)]]}, 0), ({"overlay": True}, 0)]
)
def test_a_camera_mirrors_h264_unless_it_is_decoded_and_mirrored_here(
    bench: Bench, more: dict[str, Any], mirrors: int
) -> None:
    camera = h264_camera()
    camera.controls = {int(raw.ControlID.HFLIP): Control(0, 1, 0)}
    bench.kernel.plug(NODE, camera)
    bench.record(camera_settings(hflip=True, **more))
    assert camera.controls[int(raw.ControlID.HFLIP)].value == mirrors


@pytest.mark.parametrize(("turning", "is_told"), [({"hflip": True}, True), ({"rotation_deg": 90}, True), ({}, False)])
def test_turning_that_a_camera_with_h264_alone_cannot_do_is_told(
    bench: Bench, turning: dict[str, Any], is_told: bool
) -> None:
    bench.kernel.plug(NODE, h264_camera())
    sink = bench.record(camera_settings(**turning))
    assert ("turn-not-as-asked" in bench.warnings) is is_told
    assert sink.units


def test_the_cameras_own_encoder_is_set_and_read_back(bench: Bench) -> None:
    ids = raw.ControlID
    camera = h264_camera()
    camera.controls = {
        int(ids.MPEG_VIDEO_BITRATE): Control(100_000, 2_000_000, 500_000),
        int(ids.MPEG_VIDEO_GOP_SIZE): Control(1, 250, 12),
        int(ids.MPEG_VIDEO_REPEAT_SEQ_HEADER): Control(0, 1, 0),
        int(ids.MPEG_VIDEO_H264_PROFILE): Control(0, 4, 0),
    }
    bench.kernel.plug(NODE, camera)
    bench.record(camera_settings(bitrate_kbps=4000, gop_s=2.0, encoder={"profile": "high"}))
    assert {control: state.value for control, state in camera.controls.items()} == {
        int(ids.MPEG_VIDEO_BITRATE): 2_000_000,
        int(ids.MPEG_VIDEO_GOP_SIZE): 50,
        int(ids.MPEG_VIDEO_REPEAT_SEQ_HEADER): 1,
        int(ids.MPEG_VIDEO_H264_PROFILE): 4,
    }
    told = bench.report.state.configured
    assert told is not None
    assert "2000 kbit/s" in told.detail


def test_damaged_and_lost_pictures_are_left_out_and_counted(bench: Bench) -> None:
    camera = h264_camera(damaged=lambda number: number in {5, 6}, lost=lambda number: number in {21, 22, 23})
    bench.kernel.plug(NODE, camera)
    source = bench.source(camera_settings())
    sink = StoppingSink(lambda sink: len(sink.units) >= 40)
    begun_us = bench.clock.monotonic_us()
    source.run(sink, sink.stop)
    assert (source.counts.damaged, source.counts.lost) == (2, 3)
    numbers = [(unit.capture_us - begun_us) // 40_000 for unit in sink.units]
    assert numbers[:36] == [number for number in range(41) if number not in {5, 6, 21, 22, 23}]


@pytest.mark.parametrize("stamps", ["still", "unknown", "old"])
def test_stamps_that_cannot_be_believed_are_replaced_by_arrival(bench: Bench, stamps: str) -> None:
    bench.kernel.plug(NODE, h264_camera(stamps=stamps))
    begun_us = bench.clock.monotonic_us()
    sink = bench.record(camera_settings(), pictures=100)
    assert "timestamps-stand-still" in bench.warnings
    lag_us = [unit.capture_us - begun_us - 40_000 * number for number, unit in enumerate(sink.units)]
    assert all(-50_000 < lag < 100_000 for lag in lag_us)


def test_the_warning_goes_when_stamps_are_good_again(bench: Bench) -> None:
    camera = h264_camera(stamps="still")
    bench.kernel.plug(NODE, camera)
    bench.record(camera_settings())
    assert "timestamps-stand-still" in bench.warnings
    camera.stamps = "monotonic"
    bench.record(camera_settings(), pictures=150)
    assert bench.warnings == {}


def test_a_camera_that_is_unplugged_and_comes_back_under_another_number(bench: Bench) -> None:
    camera = h264_camera()
    bench.kernel.plug(NODE, camera, BY_PATH)
    camera.damaged = at(30, lambda: bench.kernel.unplug(NODE))
    settings = camera_settings(f"v4l2:{BY_PATH}")
    sink = RecordingSink()
    with pytest.raises(SourceUnavailableError, match="plug the camera in"):
        bench.source(settings).run(sink, threading.Event())
    assert len(sink.units) >= 29
    assert bench.kernel.open_descriptors == 0
    assert not bench.activity.is_back()
    bench.kernel.plug("/dev/video3", h264_camera(), BY_PATH)
    assert bench.activity.is_back()
    assert len(bench.record(settings).units) >= 60


def test_a_silent_unplugging_is_noticed_by_the_missing_node(bench: Bench) -> None:
    camera = h264_camera()
    bench.kernel.plug(NODE, camera)
    camera.damaged = at(30, lambda: bench.kernel.unplug(NODE, silently=True))
    begun_us = bench.clock.monotonic_us()
    with pytest.raises(SourceUnavailableError, match="not there"):
        bench.source(camera_settings()).run(RecordingSink(), threading.Event())
    assert bench.clock.monotonic_us() - begun_us < 4_000_000


def test_a_camera_that_falls_silent_is_given_up_after_the_stall_timeout(bench: Bench) -> None:
    camera = h264_camera()
    bench.kernel.plug(NODE, camera)
    camera.damaged = at(30, lambda: setattr(camera, "is_stalled", True))
    begun_us = bench.clock.monotonic_us()
    with pytest.raises(SourceStalledError, match="cable"):
        bench.source(camera_settings(stall_timeout_s=5.0)).run(RecordingSink(), threading.Event())
    assert 6_000_000 <= bench.clock.monotonic_us() - begun_us < 8_000_000


def test_a_camera_that_damages_everything_is_given_up(bench: Bench) -> None:
    bench.kernel.plug(NODE, h264_camera(damaged=lambda number: True))
    with pytest.raises(SourceStalledError, match="damaged"):
        bench.source(camera_settings()).run(RecordingSink(), threading.Event())


def test_half_the_rate_is_told_with_the_remedy(bench: Bench) -> None:
    camera = h264_camera(rate_share=Fraction(1, 2))
    bench.kernel.plug(NODE, camera)
    bench.record(camera_settings(), pictures=150)
    assert "exposure_dynamic_framerate" in bench.warnings["frame-rate-not-as-asked"]
