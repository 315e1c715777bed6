"""Stills while recording goes on: in the recording's size, in the sensor's, and what there is instead of that."""

import gc
from collections.abc import Iterator, Sequence
from itertools import pairwise

import av
import numpy as np
import psutil
import pytest

from edge_agent.capture.stills import TakenPicture
from edge_agent.clock import SystemClock
from edge_agent.errors import SourceStalledError, SourceUnavailableError
from tests.picamera2.rig import Rig, decoded, recording
from tests.picamera2.virtual import MemoryAllocator, Pacer, VirtualPicamera2, fresh_pacer
from tests.support.polling import wait_until

FULL_SIZE = {"full_size_stills": True}
TOP_LEFT = [[[0, 0], [0.5, 0], [0.5, 0.5], [0, 0.5]]]
_CLOCK = SystemClock()
_FRAME_US = 40_000


@pytest.fixture(autouse=True)
def pacer() -> Iterator[Pacer]:
    yield from fresh_pacer()


def size_of(taken: TakenPicture) -> tuple[int, int]:
    return taken.frame.width, taken.frame.height


def recorded_size(rig: Rig) -> tuple[int, int]:
    ((config, _),) = rig.main.starts
    return config.width_px, config.height_px


def assert_without_a_hole(rig: Rig, missed: int) -> None:
    """Every picture of the sensor was recorded; its pace is a thread's of this machine, and may be held up."""
    assert missed == 0
    (stream,) = rig.main.streams
    assert len(stream) >= rig.hook.figures.pictures - 1, "but the last, which may have met a stopped encoder"
    steps_us = [(after.pts_90k - before.pts_90k) * 100 / 9 for before, after in pairwise(stream)]
    assert np.median(steps_us) == pytest.approx(_FRAME_US, rel=0.05)
    assert max(steps_us) < 500_000


def fall_silent(pacer: Pacer, rig: Rig) -> None:
    """No picture comes any more, nor one that was under way."""
    pacer.is_silent = True

    def is_quiet() -> bool:
        seen = rig.hook.figures.pictures
        _CLOCK.sleep(0.1)
        return rig.hook.figures.pictures == seen

    wait_until(is_quiet, what="the last picture is through")


def assert_masked(frame: av.VideoFrame) -> None:
    picture = frame.to_ndarray(format="gray")
    height, width = picture.shape
    assert picture[: height // 2 - 8, : width // 2 - 8].max() < 40
    assert picture[height // 2 + 8 :, width // 2 + 8 :].max() > 100


@pytest.mark.parametrize("sensor", [{}, FULL_SIZE])
def test_stills_leave_no_hole_and_are_pictures_of_now(sensor: dict[str, object]) -> None:
    with recording(sensor=sensor, masks=TOP_LEFT) as rig:
        rig.wait_for(25)
        stills = []
        for _ in range(10):
            begin_us = _CLOCK.monotonic_us()
            stills.append(rig.still())
            assert begin_us - _FRAME_US < stills[-1].capture_us < _CLOCK.monotonic_us()
        rig.wait_for(25)
        missed = VirtualPicamera2.alive[-1].camera.missed
    assert {size_of(still) for still in stills} == {(1920, 1080) if sensor else (640, 360)}
    assert recorded_size(rig) == (640, 360)
    assert {still.capture_us for still in stills} <= {unit.capture_us for unit in rig.main.units}
    assert_without_a_hole(rig, missed)
    for frame in (*decoded(rig.main.units), *(still.frame for still in stills)):
        assert_masked(frame)
    assert rig.report.warnings == {}
    assert rig.report.configured is not None
    assert ("stills have 1920×1080" in rig.report.configured.detail) is bool(sensor)


@pytest.mark.parametrize("more", [{"proxy": {"width": 320, "height": 180}}, {"rotation_deg": 90}])
def test_large_stills_beside_the_recorders_own_encoders(more: dict[str, object]) -> None:
    with recording("pisp", sensor=FULL_SIZE, masks=TOP_LEFT, **more) as rig:
        rig.wait_for(25)
        still = rig.still()
        rig.wait_for(10)
        if "proxy" in more:
            rig.wait_for(10, rig.proxy)
    is_turned = "rotation_deg" in more
    assert size_of(still) == ((1080, 1920) if is_turned else (1920, 1080))
    assert recorded_size(rig) == ((360, 640) if is_turned else (640, 360))
    for frame in (still.frame, *decoded(rig.main.units), *decoded(rig.proxy.units)):
        assert_masked(frame)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"width": 1920, "height": 1080}, "the sensor has nothing larger"),
        ({"width": 704, "height": 576}, "asked for 1320×1080, the camera gives 1920×1080"),
        ({"fps": 120}, "at 1920×1080 the camera gives 60.0 pictures a second, and 120 are asked for"),
    ],
)
def test_what_stills_have_instead_is_told_with_the_remedy(settings: dict[str, object], said: str) -> None:
    with recording("pisp", sensor=FULL_SIZE, **settings) as rig:
        rig.wait_for(5)
        still = rig.still()
    assert size_of(still) == recorded_size(rig)
    assert said in rig.report.warnings["stills-not-full-size"]
    assert "full_size_stills out" in rig.report.warnings["stills-not-full-size"]
    assert len(VirtualPicamera2.alive) == 1


def test_without_memory_for_the_large_size_there_is_the_ordinary_one_in_the_same_attempt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    allocate = MemoryAllocator.allocate

    def refuse(self: MemoryAllocator, configuration: Sequence[object], use_case: object) -> None:
        allocate(self, configuration, use_case)
        if len(configuration) > 1:
            raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(MemoryAllocator, "allocate", refuse)
    process = psutil.Process()
    descriptors = process.num_fds()
    with recording(sensor=FULL_SIZE) as rig:
        rig.wait_for(30)
        assert size_of(rig.still()) == (640, 360)
        missed = VirtualPicamera2.alive[-1].camera.missed
    assert_without_a_hole(rig, missed)
    assert "1920×1080 cannot be configured (OSError: [Errno 12]" in rig.report.warnings["stills-not-full-size"]
    gc.collect()
    assert process.num_fds() <= descriptors + 2


@pytest.mark.parametrize("sensor", [{}, FULL_SIZE])
def test_a_still_of_a_silent_camera_ends_in_time_and_harms_nothing(pacer: Pacer, sensor: dict[str, object]) -> None:
    with recording(sensor=sensor, stall_timeout_s=3) as rig:
        rig.wait_for(10)
        fall_silent(pacer, rig)
        begin_us = _CLOCK.monotonic_us()
        with pytest.raises(SourceUnavailableError, match=r"not within 0\.5 s"):
            rig.still(0.5)
        assert _CLOCK.monotonic_us() - begin_us < 1_000_000
        pacer.is_silent = False
        rig.wait_for(25)
        rig.still()
        fall_silent(pacer, rig)
        begin_us = _CLOCK.monotonic_us()
        with pytest.raises(SourceUnavailableError, match="it is being closed"):
            rig.still(8.0)
        assert isinstance(rig.join(2.0), SourceStalledError)
        assert _CLOCK.monotonic_us() - begin_us < 5_000_000
        assert not VirtualPicamera2.alive[-1].is_open


def test_many_stills_leave_memory_and_descriptors_as_they_were(pacer: Pacer) -> None:
    process = psutil.Process()
    pacer.fps = 50.0
    with recording(sensor=FULL_SIZE, masks=TOP_LEFT, fps=50) as rig:
        rig.wait_for(25)
        for _ in range(20):
            rig.still()
        gc.collect()
        memory, descriptors = process.memory_info().rss, process.num_fds()
        for _ in range(200):
            rig.still()
        gc.collect()
        assert process.memory_info().rss - memory < 30_000_000
        assert process.num_fds() <= descriptors
        rig.wait_for(25)
