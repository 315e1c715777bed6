import threading
from itertools import pairwise

import av
import numpy as np
import pytest

from edge_agent.capture.scene import Plane, Scene
from edge_agent.capture.table import open_source
from edge_agent.capture.timecode import TimeCode, read
from edge_agent.clock import FakeClock
from edge_agent.contract.access_unit import AccessUnit
from edge_agent.settings import CameraSettings
from tests.unit.capture.fakes import RecordingSink, make_frame_context


class StoppingSink(RecordingSink):
    """Stops the source after so many pictures."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.stop = threading.Event()
        self._limit = limit

    def write(self, unit: AccessUnit) -> None:
        super().write(unit)
        if len(self.units) >= self._limit:
            self.stop.set()


def record(camera: CameraSettings, limit: int, clock: FakeClock) -> StoppingSink:
    sink = StoppingSink(limit)
    open_source(camera, make_frame_context(camera, sink, clock)).run(sink, sink.stop)
    return sink


def read_codes(sink: RecordingSink) -> list[TimeCode | None]:
    decoder = av.CodecContext.create("h264", "r")
    assert isinstance(decoder, av.VideoCodecContext)
    decoder.extradata = sink.starts[0][0].extradata
    frames = [frame for unit in sink.units for frame in decoder.decode(av.Packet(unit.data))]
    frames += decoder.decode(None)
    return [read(np.asarray(frame.reformat(format="gray").to_ndarray(), dtype=np.uint8)) for frame in frames]


@pytest.mark.parametrize("size", [(1280, 720), (704, 576), (320, 240)])
def test_each_picture_shows_the_utc_of_its_capture_time(size: tuple[int, int]) -> None:
    clock = FakeClock()
    to_wall_us = clock.wall_us() - clock.monotonic_us()
    camera = CameraSettings(name="main", source="test:", width=size[0], height=size[1], bitrate_kbps=1000)
    sink = record(camera, 60, clock)
    expected = [
        TimeCode((unit.capture_us + to_wall_us) // 1000, index % 256) for index, unit in enumerate(sink.units)
    ]
    assert read_codes(sink) == expected


def test_one_key_frame_a_second_and_no_b_frames() -> None:
    sink = record(CameraSettings(name="main", source="test:", width=320, height=240, gop_s=1.0), 76, FakeClock())
    keys = [index for index, unit in enumerate(sink.units) if unit.is_key]
    assert keys == [0, 25, 50, 75]
    assert all(unit.pts_90k == unit.dts_90k for unit in sink.units)
    assert {unit.duration_90k for unit in sink.units} == {3600}


def test_settings_are_followed() -> None:
    camera = CameraSettings(name="main", source="test:", width=640, height=480, fps=12.5, gop_s=2.0, bitrate_kbps=500)
    sink = record(camera, 126, FakeClock())
    config = sink.starts[0][0]
    assert (config.codec, config.width_px, config.height_px, config.frame_rate_fps) == ("h264", 640, 480, 12.5)
    assert [index for index, unit in enumerate(sink.units) if unit.is_key][:3] == [0, 25, 50]
    covered_s = (sink.units[125].dts_90k - sink.units[0].dts_90k) / 90_000
    assert covered_s == pytest.approx(10.0)
    kbps = sum(len(unit.data) for unit in sink.units) * 8 / covered_s / 1000
    assert kbps < 650


def test_a_machine_that_is_too_slow_leaves_pictures_out_and_stays_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    draw = Scene.draw

    def draw_slowly(scene: Scene, utc_us: int, number: int) -> Plane:
        clock.advance(0.1)  # two and a half pictures
        return draw(scene, utc_us, number)

    monkeypatch.setattr(Scene, "draw", draw_slowly)
    camera = CameraSettings(name="main", source="test:", width=320, height=240)
    sink = record(camera, 40, clock)
    steps_us = [after.capture_us - before.capture_us for before, after in pairwise(sink.units)]
    assert min(steps_us) >= 80_000, "two of three pictures are left out"
    assert max(steps_us) <= 130_000, "and no more"


def test_nothing_of_the_memory_shows_through_the_street(monkeypatch: pytest.MonkeyPatch) -> None:
    def used_before(shape: tuple[int, int], dtype: type) -> Plane:
        return np.full(shape, 77, dtype=dtype)

    clean = Scene(640, 360, "nomad-07").draw(0, 0)
    monkeypatch.setattr("edge_agent.capture.scene.np.empty", used_before)
    assert np.array_equal(Scene(640, 360, "nomad-07").draw(0, 0), clean)
