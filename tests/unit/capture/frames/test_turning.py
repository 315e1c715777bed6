"""Turned and mirrored pictures, looked at pixel by pixel against numpy's own turning."""

from itertools import count, product

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange
from numpy.typing import NDArray

from edge_agent.camera_settings import CameraSettings
from edge_agent.capture.frames.masks import MaskPainter
from edge_agent.capture.frames.picture import picture_of
from edge_agent.capture.frames.turning import Rotation, Turner, turned_size
from edge_agent.capture.pipeline import FramePipeline
from edge_agent.clock import SystemClock
from tests.support.polling import wait_until
from tests.unit.capture.fakes import RecordingSink, make_frame_context
from tests.unit.capture.frames.pictures import grey_frame, luma_at

ROTATIONS: tuple[Rotation, ...] = (0, 90, 180, 270)
FLIPS = [(False, False), (True, False), (False, True), (True, True)]
SIZES = [(64, 48), (66, 50), (98, 34), (65, 49)]
Pixels = NDArray[np.uint8]


def planes_of(frame: av.VideoFrame) -> list[Pixels]:
    """The samples of each plane, without what stands behind its rows; rows may lie from bottom to top."""
    found = []
    for plane in frame.planes:
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, abs(plane.line_size))[
            : plane.height, : plane.width
        ]
        found.append(rows[::-1] if plane.line_size < 0 else rows)
    return found


def limited(frame: av.VideoFrame) -> Pixels:
    """Luma as it is recorded: 16 is black."""
    return planes_of(frame.reformat(format="yuv420p", dst_color_range=ColorRange.MPEG))[0]


def uneven_frame(width_px: int, height_px: int, layout: str = "yuv420p") -> av.VideoFrame:
    """No two places of it are alike, so that each turn shows."""
    frame = av.VideoFrame(width_px, height_px, layout)
    chance = np.random.default_rng(width_px)
    for plane in frame.planes:
        plane.update(chance.integers(16, 236, plane.buffer_size, np.uint8).tobytes())
    return frame


def expected(pixels: Pixels, rotation_deg: int, *, hflip: bool, vflip: bool) -> Pixels:
    """Mirrored, then turned clockwise."""
    pixels = pixels[:, ::-1] if hflip else pixels
    pixels = pixels[::-1] if vflip else pixels
    return np.rot90(pixels, -rotation_deg // 90)


@pytest.mark.parametrize("rotation_deg", ROTATIONS)
@pytest.mark.parametrize(("hflip", "vflip"), FLIPS)
def test_every_pixel_is_where_it_belongs(rotation_deg: Rotation, hflip: bool, vflip: bool) -> None:
    turner = Turner(rotation_deg, hflip=hflip, vflip=vflip)
    for width, height in SIZES:  # one turner: a camera may come back with another size
        frame = uneven_frame(width, height)
        before = [plane.copy() for plane in planes_of(frame)]
        turned = turner.turn(frame)
        assert (turned.width, turned.height) == turned_size(width, height, rotation_deg)
        for plane, was in zip(planes_of(turned), before, strict=True):
            wanted = expected(was, rotation_deg, hflip=hflip, vflip=vflip)
            assert np.array_equal(plane, wanted), (width, height)
        for plane, was in zip(planes_of(frame), before, strict=True):
            assert np.array_equal(plane, was), "the camera's picture is left as it was"


@pytest.mark.parametrize("rotation_deg", ROTATIONS)
@pytest.mark.parametrize(("hflip", "vflip"), FLIPS)
def test_a_turned_picture_can_be_drawn_on(rotation_deg: Rotation, hflip: bool, vflip: bool) -> None:
    """Rows lie one behind the other, as whoever draws takes them to."""
    turned = Turner(rotation_deg, hflip=hflip, vflip=vflip).turn(grey_frame(64, 48))
    assert all(plane.line_size > 0 for plane in turned.planes)
    picture = picture_of(turned)
    MaskPainter([((0.0, 0.0), (0.5, 0.0), (0.5, 0.5), (0.0, 0.5))], picture).paint(picture)
    shown = planes_of(turned.reformat(format="yuv420p"))[0]
    for y, x in product(range(turned.height), range(turned.width)):
        if x < turned.width // 2 and y < turned.height // 2:
            assert shown[y, x] == 16, (x, y)
        elif x > turned.width // 2 + 4 or y > turned.height // 2 + 4:
            assert shown[y, x] == luma_at(picture, x, y) == 120, (x, y)


@pytest.mark.parametrize("layout", ["yuyv422", "yuvj422p", "yuvj420p", "nv12", "rgb24", "gray"])
@pytest.mark.parametrize("rotation_deg", [90, 180, 270])
def test_what_cameras_give_can_be_turned(layout: str, rotation_deg: Rotation) -> None:
    frame = uneven_frame(64, 48).reformat(format=layout)
    if layout.startswith("yuvj"):
        frame.color_range = ColorRange.JPEG  # as decoders of JPEG say
    turned = Turner(rotation_deg, hflip=False, vflip=False).turn(frame)
    assert (turned.width, turned.height) == turned_size(64, 48, rotation_deg)
    upright, shown = limited(frame).astype(int), limited(turned).astype(int)
    assert np.abs(shown - np.rot90(upright, -rotation_deg // 90)).max() <= 2


def test_nothing_to_turn_is_the_very_same_picture() -> None:
    frame = grey_frame()
    assert Turner(0, hflip=False, vflip=False).turn(frame) is frame


def test_pictures_that_were_turned_are_kept_apart() -> None:
    turner = Turner(90, hflip=False, vflip=False)
    first = turner.turn(grey_frame(64, 48, luma=50))
    second = turner.turn(grey_frame(64, 48, luma=200))
    assert set(planes_of(first)[0].ravel()) == {50}
    assert set(planes_of(second)[0].ravel()) == {200}


def recorded(settings: CameraSettings, frame: av.VideoFrame) -> av.VideoFrame:
    """A picture of what becomes of the same frame again and again, encoded and decoded."""
    sink, clock = RecordingSink(), SystemClock()
    pipeline = FramePipeline(settings, make_frame_context(settings, sink, clock), frame.width, frame.height, 25.0)
    taken_us = count(clock.monotonic_us(), 40_000)

    def is_recorded() -> bool:
        pipeline.push(frame, next(taken_us))
        return len(sink.units) >= 2

    wait_until(is_recorded, what="two pictures")
    pipeline.finish()
    decoder = av.CodecContext.create("h264", "r")
    assert isinstance(decoder, av.VideoCodecContext)
    decoder.extradata = sink.starts[0][0].extradata
    return [shown for unit in sink.units for shown in decoder.decode(av.Packet(unit.data))][-1]


@pytest.mark.parametrize("size", [(320, 192), (321, 193)])
@pytest.mark.parametrize(
    ("rotation_deg", "hflip", "vflip"),
    [(0, False, True), (90, False, False), (180, False, False), (270, True, False), (90, True, True)],
)
def test_masks_lie_where_the_recorded_picture_has_them(
    size: tuple[int, int], rotation_deg: Rotation, hflip: bool, vflip: bool
) -> None:
    settings = CameraSettings(
        name="main",
        source="v4l2:/dev/video0",
        bitrate_kbps=4000,
        rotation_deg=rotation_deg,
        hflip=hflip,
        vflip=vflip,
        masks=(((0.0, 0.0), (0.25, 0.0), (0.25, 0.25), (0.0, 0.25)),),
    )
    frame = grey_frame(*size, luma=90)
    scene = planes_of(frame)[0]
    scene[: size[1] // 2, : size[0] // 2] = 140  # the camera's top left
    wanted = expected(scene.copy(), rotation_deg, hflip=hflip, vflip=vflip)
    shown = planes_of(recorded(settings, frame))[0]
    height, width = shown.shape
    assert (width, height) == turned_size(size[0] // 2 * 2, size[1] // 2 * 2, rotation_deg)
    assert shown[: height // 4, : width // 4].max() <= 20
    for y, x in product((0.1, 0.4, 0.7, 0.9), repeat=2):
        if max(x, y) > 0.3:
            assert abs(int(shown[int(y * height), int(x * width)]) - int(wanted[int(y * height), int(x * width)])) < 8
