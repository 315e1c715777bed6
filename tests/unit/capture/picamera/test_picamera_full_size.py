"""Full-size stills of a `picamera2:` camera on fakes of its library: which size, and what there is instead."""

from dataclasses import replace
from typing import Any

import pytest

from edge_agent.capture.picamera.choice import kind_for
from edge_agent.capture.picamera.full_size import Large, largest
from edge_agent.capture.picamera.layout import Layout, Wish, blamed, configure_one_of
from edge_agent.capture.picamera.library import load_library
from edge_agent.capture.picamera.watch import Figures
from edge_agent.capture.report import CaptureReport
from edge_agent.clock import FakeClock
from edge_agent.errors import SourceFormatError
from tests.support.polling import wait_until
from tests.unit.capture.fakes import make_context
from tests.unit.capture.picamera.fake_picamera2 import Board, FakePicamera2
from tests.unit.capture.picamera.rig import FULL_SIZE, LARGE, LEFT_HALF, MODES, SIZE, Photographer, Rig, luma


def refuse_over(size: tuple[int, int], asked: dict[str, Any]) -> None:
    if asked["main"]["size"] > size:
        raise OSError(12, "Cannot allocate memory")


def test_the_main_stream_is_large_and_the_second_one_is_recorded(board: Board) -> None:
    board.modes = MODES
    rig = Rig(sensor=FULL_SIZE, masks=LEFT_HALF, rotation_deg=180)
    with rig.attempt() as camera:
        (asked,) = camera.asked
        (encoder,) = camera.encoders
        taken = Photographer(rig.desk).picture(camera)
    assert (asked["main"]["size"], asked["lores"]["size"], asked["encode"]) == (LARGE, SIZE, "lores")
    assert (asked["raw"], asked["sensor"]) == (None, {"output_size": LARGE, "bit_depth": 10})
    assert encoder.name == "lores"
    assert (rig.sink.starts[0][0].width_px, rig.sink.starts[0][0].height_px) == SIZE
    assert (taken.frame.width, taken.frame.height) == LARGE
    assert luma(taken)[:, :690].min() == luma(taken)[:, :690].max() == 16
    assert luma(taken)[:, 720:].max() == 0
    assert rig.warning == ""
    configured = rig.report.state.configured
    assert configured is not None
    assert (configured.width_px, configured.height_px) == SIZE
    assert "read as 1408×1152 of 10 bits" in configured.detail
    assert "stills have 1408×1152" in configured.detail


@pytest.mark.parametrize("more", [{"proxy": {}}, {"rotation_deg": 90}])
def test_the_recorders_own_encoders_have_the_second_stream_too(board: Board, more: dict[str, object]) -> None:
    board.modes = MODES
    rig = Rig(sensor=FULL_SIZE, masks=LEFT_HALF, **more)
    with rig.attempt() as camera:
        (asked,) = camera.asked
        taken = Photographer(rig.desk).picture(camera)

        def is_recorded() -> bool:
            camera.send()
            return bool(rig.sink.starts)

        wait_until(is_recorded, what="a recording", timeout_s=30)
    is_turned = "rotation_deg" in more
    assert (asked["main"]["size"], asked["lores"]["size"]) == (LARGE, SIZE)
    config = rig.sink.starts[0][0]
    assert (config.width_px, config.height_px) == (SIZE[::-1] if is_turned else SIZE)
    assert (taken.frame.width, taken.frame.height) == (LARGE[::-1] if is_turned else LARGE)
    half = taken.frame.width // 2
    assert luma(taken)[:, : half - 10].min() == luma(taken)[:, : half - 10].max() == 16
    assert luma(taken)[:, half + 20 :].max() < 16
    assert not rig.has_taker()


@pytest.mark.parametrize(
    ("proxy", "kind"), [({}, "pipeline"), ({"source": "rtsp://192.0.2.7/small"}, "software"), (None, "software")]
)
def test_why_a_proxy_beside_large_stills_is_not_made_by_picamera2(
    board: Board, proxy: dict[str, str] | None, kind: str
) -> None:
    rig = Rig(sensor=FULL_SIZE, proxy=proxy)
    chosen, why = kind_for(rig.settings, load_library(), rig.report, 0)
    assert chosen == kind
    assert ("proxy" in why) is (kind == "pipeline")


def test_an_ordinary_layout_leaves_stills_of_own_encoders_to_what_they_record(board: Board) -> None:
    rig = Rig(rotation_deg=90)
    with rig.attempt() as camera:
        assert not rig.has_taker()
        taken = Photographer(rig.desk).picture(camera)
    assert (taken.frame.width, taken.frame.height) == SIZE[::-1]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"refuse": lambda asked: refuse_over(SIZE, asked)}, "1408×1152 cannot be configured (OSError: [Errno 12]"),
        (
            {"give": lambda name, size: (800, 600) if size == LARGE else size},
            "asked for 1408×1152, the camera gives 800×600",
        ),
        (
            {"give": lambda name, size: (320, 240) if name == "lores" else size},
            "asked for 704×576, the camera gives 320×240",
        ),
        (
            {"least_us": lambda found: 50_000 if found.get("lores") else 20_000},
            "at 1408×1152 the camera gives 20.0 pictures a second, and 25 are asked for",
        ),
    ],
)
def test_a_large_size_that_is_not_to_be_had_makes_way_in_the_same_attempt(
    board: Board, change: dict[str, object], said: str
) -> None:
    board.modes = MODES
    vars(board).update(change)
    rig = Rig(sensor=FULL_SIZE, masks=LEFT_HALF)
    with rig.attempt() as camera:
        large, ordinary = camera.asked
        taken = Photographer(rig.desk).picture(camera)
    assert large["encode"] == "lores"
    assert (ordinary["main"]["size"], ordinary["lores"], ordinary["encode"]) == (SIZE, None, "main")
    assert ordinary["sensor"] == large["sensor"], "what is seen, and masked, is the same"
    assert (taken.frame.width, taken.frame.height) == SIZE
    assert rig.warning.startswith(f"stills have 704×576, as what is recorded: {said}")
    assert "full_size_stills out" in rig.warning
    assert "masks" not in rig.warning
    assert len(FakePicamera2.opened) == 1


@pytest.mark.parametrize("masks", [[], LEFT_HALF])
def test_what_may_see_another_part_of_the_scene_is_not_recorded_with_masks(
    board: Board, masks: list[list[list[float]]]
) -> None:
    def refuse(asked: dict[str, Any]) -> None:
        if asked.get("sensor"):
            raise OSError(12, "Cannot allocate memory")

    board.modes, board.refuse = MODES, refuse
    rig = Rig(sensor=FULL_SIZE, masks=masks)
    with rig.attempt() as camera:
        if not masks:
            camera.send()
    assert all("sensor" in asked for asked in camera.asked) is bool(masks)
    assert ("full_size_stills out" in str(rig.error)) is bool(masks)
    assert len(rig.sink.units) == (0 if masks else 1)


def test_masks_stay_in_their_place_when_the_camera_was_away_twice(board: Board) -> None:
    """No picture came of two attempts: another layout is tried then, and the sensor's mode stays."""

    def start(_found: dict[str, Any]) -> None:
        if is_away:
            raise RuntimeError("Failed to start camera: no signal")

    board.modes, board.starting = MODES, start
    rig, modes = Rig(sensor=FULL_SIZE, masks=LEFT_HALF), []
    for attempt in range(4):
        is_away = attempt < 3
        with rig.attempt() as camera:
            modes.append(camera.configuration["sensor"]["output_size"])
            if camera.is_started:
                camera.send()
    assert set(modes) == {modes[0]}
    assert len(modes) == 4
    assert len(rig.sink.units) == 1


def test_a_mode_that_was_not_given_is_not_recorded_with_masks(board: Board) -> None:
    board.modes, board.other_mode = MODES, (640, 480)
    rig = Rig(sensor=FULL_SIZE, masks=LEFT_HALF)
    with rig.attempt():
        pass
    assert isinstance(rig.error, SourceFormatError)
    assert "look at the masks anew" in str(rig.error)
    assert rig.sink.units == []


@pytest.mark.parametrize(("resolution", "size"), [((1408, 1152), LARGE), ((1500, 1152), LARGE), (SIZE, SIZE)])
def test_without_known_modes_the_whole_resolution_is_tried(
    board: Board, resolution: tuple[int, int], size: tuple[int, int]
) -> None:
    board.resolution = resolution
    rig = Rig(sensor=FULL_SIZE)
    with rig.attempt() as camera:
        taken = Photographer(rig.desk).picture(camera)
    assert (taken.frame.width, taken.frame.height) == size
    assert ("the sensor has nothing larger" in rig.warning) is (size == SIZE)


def test_a_layout_without_a_single_picture_is_left_alone(board: Board) -> None:
    def start(found: dict[str, Any]) -> None:
        if found["main"]["size"] == LARGE or is_broken:
            raise RuntimeError("Failed to start camera: Cannot allocate memory")

    board.modes, board.starting = MODES, start
    is_broken, tried = True, []
    rig = Rig(sensor=FULL_SIZE)
    for attempt in range(6):
        is_broken = attempt < 4
        with rig.attempt() as camera:
            tried.append((camera.configuration["main"]["size"], "sensor" in camera.configuration))
            if camera.is_started:
                camera.send()
    # All three, as none is to blame when none has pictures; then the one that works, and no large one any more.
    assert tried == [(LARGE, True), (SIZE, True), (SIZE, False), (LARGE, True), (SIZE, True), (SIZE, True)]
    assert "is left alone for an hour: the camera gave no picture (Failed to start camera" in rig.warning
    assert len(rig.sink.units) == 2


def test_after_an_hour_it_is_tried_again() -> None:
    clock = FakeClock()
    context = replace(make_context(clock), report=CaptureReport("main"))
    camera = FakePicamera2(0)
    wish = Wish([Layout(LARGE, SIZE, "lores"), Layout(SIZE, None)], {}, 25.0)
    first = configure_one_of(camera, wish, context)
    with pytest.raises(OSError, match="bus"), blamed(first, context, Figures()):
        raise OSError("the bus went away")
    second = configure_one_of(camera, wish, context)
    with pytest.raises(OSError, match="bus"), blamed(second, context, Figures(last_us=1)):
        raise OSError("the bus went away")
    third = configure_one_of(camera, wish, context)
    clock.advance(3601)
    fourth = configure_one_of(camera, wish, context)
    assert [choice.layout.recorded for choice in (first, second, third, fourth)] == ["lores", "main", "main", "lores"]
    assert fourth.faults == ()


def modes_of(*modes: tuple[int, int, float, tuple[int, int, int, int]]) -> tuple[dict[str, object], ...]:
    return tuple(
        {"size": (width, height), "fps": fps, "bit_depth": 10, "crop_limits": crop}
        for width, height, fps, crop in modes
    )


IMX708 = modes_of(
    (1536, 864, 120.13, (768, 432, 3072, 1728)),
    (2304, 1296, 56.03, (0, 0, 4608, 2592)),
    (4608, 2592, 14.35, (0, 0, 4608, 2592)),
)
OV5647 = modes_of(
    (640, 480, 58.92, (16, 0, 2560, 1920)),
    (1296, 972, 46.34, (0, 0, 2592, 1944)),
    (1920, 1080, 32.81, (348, 434, 1928, 1080)),
    (2592, 1944, 15.63, (0, 0, 2592, 1944)),
)
IMX477 = (
    {"size": (4056, 3040), "fps": 10.0, "bit_depth": 12, "crop_limits": (0, 0, 4056, 3040)},
    {"size": (2028, 1080), "fps": 50.03, "bit_depth": 12, "crop_limits": (0, 440, 4056, 2160)},
    {"size": (2028, 1520), "fps": 40.01, "bit_depth": 12, "crop_limits": (0, 0, 4056, 3040)},
)


@pytest.mark.parametrize(
    ("modes", "recorded", "fps", "size", "mode"),
    [
        (IMX708, (1280, 720), 14.0, (4608, 2592), (4608, 2592)),
        (IMX708, (1280, 720), 25.0, (2304, 1296), (2304, 1296)),
        (IMX708, (1280, 720), 100.0, (1536, 864), (1536, 864)),
        (IMX708, (704, 576), 14.0, (3168, 2592), (4608, 2592)),
        (OV5647, (640, 480), 25.0, (1296, 972), (1296, 972)),  # 1440×1080 sees half as much
        (OV5647, (1280, 720), 15.0, (2592, 1458), (2592, 1944)),
        (IMX477, (1280, 720), 25.0, (2028, 1140), (2028, 1520)),
        (IMX477, (1920, 1080), 10.0, (4056, 2280), (4056, 3040)),
    ],
)
def test_the_largest_size_at_the_rate_and_of_the_shape_that_sees_the_most(
    board: Board,
    modes: tuple[dict[str, object], ...],
    recorded: tuple[int, int],
    fps: float,
    size: tuple[int, int],
    mode: tuple[int, int],
) -> None:
    board.modes = modes
    large, why = largest(FakePicamera2(0), recorded, fps)
    assert isinstance(large, Large)
    assert (large.size, large.mode, why) == (
        size, {"output_size": mode, "bit_depth": 12 if modes is IMX477 else 10}, "",
    )  # fmt: skip


def test_of_two_modes_of_a_size_the_finer_one_is_taken(board: Board) -> None:
    coarse, fine = ({**MODES[1], "bit_depth": bits} for bits in (8, 10))
    board.modes = (fine, coarse, {"format": "MJPEG"})
    large, _ = largest(FakePicamera2(0), SIZE, 25.0)
    assert large is not None
    assert large.mode == {"output_size": LARGE, "bit_depth": 10}


@pytest.mark.parametrize(
    ("modes", "recorded", "fps"),
    [(IMX708, (4608, 2592), 14.0), (IMX708, (1280, 720), 200.0), (OV5647, (1296, 972), 30.0)],
)
def test_a_size_above_the_recording_may_not_be_there(
    board: Board, modes: tuple[dict[str, object], ...], recorded: tuple[int, int], fps: float
) -> None:
    board.modes = modes
    large, why = largest(FakePicamera2(0), recorded, fps)
    assert large is None
    assert "nothing that is larger" in why
    assert f"come at {modes[-1]['fps']}" in why


def test_what_is_said_when_the_sensor_has_nothing_larger_at_the_rate(board: Board) -> None:
    board.modes = MODES
    rig = Rig(sensor=FULL_SIZE, fps=50.0)
    with rig.attempt() as camera:
        assert len(camera.asked) == 1
    assert "its 2816×2304 come at 10" in rig.warning
    assert "fewer camera.fps" in rig.warning
