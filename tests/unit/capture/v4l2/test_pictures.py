"""Pixels and JPEGs to frames, and what a camera is asked for."""

from fractions import Fraction
from pathlib import Path

import av
import pytest
from av.video.reformatter import ColorRange
from linuxpy.video import raw

from edge_agent.capture.v4l2.choice import Candidate, Wish, nearest_rate, ranked
from edge_agent.capture.v4l2.controls import turn
from edge_agent.capture.v4l2.formats import BY_FOURCC, FORMATS, PixelFormat
from edge_agent.capture.v4l2.negotiation import Negotiated, PlaneMemory, packed_bytes, shape_stride
from edge_agent.capture.v4l2.node import Node, RateRange
from edge_agent.capture.v4l2.pictures import HANDED_ON, Conversion, JpegPictures, RawPictures
from tests.support.v4l2_device import H264, MJPEG, YUYV, Control
from tests.unit.capture.v4l2.cameras import NODE, Bench, camera_settings, jpeg_of, without_huffman_tables, yuyv_camera

WIDTH, HEIGHT = 66, 34
RAW = [form for form in FORMATS if form.kind == "raw"]


def negotiated(form: PixelFormat, stride: int) -> Negotiated:
    size = packed_bytes(form, stride, WIDTH, HEIGHT) + 64
    planes: tuple[PlaneMemory, ...] = (PlaneMemory(stride, size),)
    if form.is_split:
        strides = [shape_stride(form, index, stride) for index in range(len(form.planes))]
        planes = tuple(
            PlaneMemory(own, own * shape.rows(HEIGHT)) for own, shape in zip(strides, form.planes, strict=True)
        )
    return Negotiated(form, 1, WIDTH, HEIGHT, Fraction(25), planes, is_full_range=False)


def laid_out(form: PixelFormat, frame: av.VideoFrame, shape: Negotiated) -> list[memoryview]:
    """A frame as a driver with padded rows writes it."""
    memory: list[bytearray] = []
    for index, plane in enumerate(form.planes):
        stride = shape_stride(form, index, shape.planes[0].stride_bytes)
        rows, row = plane.rows(HEIGHT), plane.row_bytes(WIDTH)
        source = memoryview(frame.planes[plane.index])
        step = frame.planes[plane.index].line_size
        data = b"".join(bytes(source[n * step : n * step + row]) + bytes(stride - row) for n in range(rows))
        if form.is_split or not memory:
            memory.append(bytearray())
        memory[-1] += data
    return [memoryview(data) for data in memory]


@pytest.mark.parametrize("form", RAW, ids=[f"{form.libav}-{form.fourcc:x}" for form in RAW])
@pytest.mark.parametrize("padding", [0, 32])
def test_every_pixel_arrives_whatever_the_layout(form: PixelFormat, padding: int) -> None:
    original = av.VideoFrame(WIDTH, HEIGHT, form.libav)
    for number, plane in enumerate(original.planes):
        plane.update(bytes((index * 7 + number * 31) % 251 for index in range(plane.buffer_size)))
    shape = negotiated(form, form.planes[0].row_bytes(WIDTH) + padding)
    frame = RawPictures(shape).frame(laid_out(form, original, shape))
    assert frame is not None
    assert frame.format.name == form.libav
    for shape_of_plane in form.planes:
        mine, theirs = frame.planes[shape_of_plane.index], original.planes[shape_of_plane.index]
        row = shape_of_plane.row_bytes(WIDTH)
        for n in range(shape_of_plane.rows(HEIGHT)):
            first, second = n * mine.line_size, n * theirs.line_size
            assert bytes(memoryview(mine)[first : first + row]) == bytes(memoryview(theirs)[second : second + row])


@pytest.mark.parametrize("form", RAW, ids=[f"{form.libav}-{form.fourcc:x}" for form in RAW])
def test_a_buffer_with_less_than_a_picture_gives_none(form: PixelFormat) -> None:
    shape = negotiated(form, form.planes[0].row_bytes(WIDTH))
    original = av.VideoFrame(WIDTH, HEIGHT, form.libav)
    short = [view[:-1] for view in laid_out(form, original, shape)]
    assert RawPictures(shape).frame(short) is None


@pytest.mark.parametrize("layout", sorted({form.libav for form in RAW} | {"yuvj420p", "yuvj422p"}))
def test_encoders_get_their_own_format_in_even_sizes(layout: str) -> None:
    frame = av.VideoFrame(WIDTH + 1, HEIGHT + 1, layout)
    for plane in frame.planes:
        plane.update(bytes([128]) * plane.buffer_size)
    converted = Conversion().convert(frame)
    assert (converted.format.name, converted.width, converted.height) == (HANDED_ON, WIDTH, HEIGHT)


def test_a_frame_in_the_encoders_format_is_not_copied() -> None:
    frame = av.VideoFrame(WIDTH, HEIGHT, HANDED_ON)
    frame.color_range = ColorRange.MPEG  # as `RawPictures` has it
    assert Conversion().convert(frame) is frame


def test_a_jpeg_without_huffman_tables_is_decoded() -> None:
    jpeg = without_huffman_tables(jpeg_of(90))
    assert b"\xff\xc4" not in jpeg
    frame = JpegPictures().frame([memoryview(jpeg)])
    assert frame is not None
    assert (frame.width, frame.height) == (320, 240)


@pytest.mark.parametrize(
    "broken",
    [
        lambda jpeg: jpeg[: len(jpeg) // 2],
        lambda jpeg: jpeg[: len(jpeg) // 2] + b"\xff\xd9",
        lambda jpeg: b"\xff\xd9" * 10,
        lambda jpeg: b"not a picture" + jpeg[-2:],
    ],
)
def test_a_broken_jpeg_gives_none_and_the_next_one_is_decoded(broken: object) -> None:
    assert callable(broken)
    pictures, jpeg = JpegPictures(), jpeg_of(90)
    assert pictures.frame([memoryview(broken(jpeg))]) is None
    assert pictures.frame([memoryview(jpeg)]) is not None


def candidate(fourcc: int, width: int, height: int, fps: int) -> Candidate:
    return Candidate(NODE, 1, BY_FOURCC[fourcc], width, height, Fraction(fps))


def test_size_counts_before_rate_and_rate_before_format() -> None:
    wish = Wish(1280, 720, Fraction(25), "auto", pass_through=True)
    offered = [
        candidate(YUYV, 1280, 720, 10),
        candidate(H264, 640, 480, 30),
        candidate(MJPEG, 1280, 720, 30),
        candidate(YUYV, 1280, 720, 30),
    ]
    assert [c.form.fourcc for c in ranked(offered, wish)] == [MJPEG, YUYV, YUYV, H264]


def test_h264_comes_first_to_pass_through_and_last_to_be_decoded_again() -> None:
    offered = [candidate(fourcc, 1280, 720, 25) for fourcc in (YUYV, H264, MJPEG)]
    passing = Wish(1280, 720, Fraction(25), "auto", pass_through=True)
    masked = Wish(1280, 720, Fraction(25), "auto", pass_through=False)
    assert [c.form.fourcc for c in ranked(offered, passing)] == [H264, MJPEG, YUYV]
    assert [c.form.fourcc for c in ranked(offered, masked)] == [MJPEG, YUYV, H264]


@pytest.mark.parametrize(("rates", "chosen"), [((15, 30, 60), 30), ((5, 10), 10), ((24, 30), 24), ((), 25)])
def test_the_slowest_rate_that_is_enough(rates: tuple[int, ...], chosen: int) -> None:
    offered = [RateRange(Fraction(rate), Fraction(rate)) for rate in rates]
    assert nearest_rate(offered, Fraction(25)) == chosen


def test_what_the_camera_turns_by_itself_is_not_turned_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    hflip, vflip = int(raw.ControlID.HFLIP), int(raw.ControlID.VFLIP)
    camera = yuyv_camera(controls={hflip: Control(0, 1, 0), vflip: Control(0, 1, 1)})
    bench.kernel.plug(NODE, camera)
    left = turn(Node(bench.kernel, NODE), camera_settings(hflip=True, rotation_deg=90))
    assert (left.rotation_deg, left.hflip, left.vflip) == (90, False, False)
    assert {control: state.value for control, state in camera.controls.items()} == {hflip: 1, vflip: 0}
