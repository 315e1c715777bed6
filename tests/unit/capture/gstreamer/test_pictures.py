"""Pictures that a pipeline did not encode, as libav's frames."""

from fractions import Fraction

import av
import pytest

from edge_agent.capture.gstreamer.framing import Kind, Record, Times
from edge_agent.capture.gstreamer.messages import Caps
from edge_agent.capture.gstreamer.outputs import PictureOutput
from edge_agent.capture.gstreamer.pictures import packed_i420, picture_reader
from edge_agent.capture.gstreamer.stamps import StampJudge
from edge_agent.errors import SourceFormatError

NOW_US = 1_000_000_000


def caps(width: int, height: int, codec: str = "raw", layout: str = "I420") -> Caps:
    fields = {"codec": codec, "caps": "video/x-raw", "width": width, "height": height, "rate": [25, 1]}
    return Caps.model_validate(fields | {"layout": layout})


def rows(frame: av.VideoFrame) -> list[list[bytes]]:
    found = []
    for index, plane in enumerate(frame.planes):
        view = memoryview(plane).cast("B")
        width = plane.width * (2 if frame.format.name == "nv12" and index else 1)
        found.append([bytes(view[row * plane.line_size :][:width]) for row in range(plane.height)])
    return found


@pytest.mark.parametrize(("width", "height"), [(64, 32), (66, 34), (102, 50)])
def test_i420_with_padded_rows(width: int, height: int) -> None:
    """Strides are multiples of four there, and of what libav likes here."""
    payload = b""
    for wide, high, shade in ((width, height, 10), (width // 2, height // 2, 100), (width // 2, height // 2, 200)):
        for row in range(high):
            payload += bytes([shade + row % 50] * wide).ljust((wide + 3) // 4 * 4, b"\xee")
    frame = picture_reader("gstreamer", caps(width, height)).read(payload)
    assert frame is not None
    luma, blue, red = rows(frame)
    assert luma == [bytes([10 + row % 50] * width) for row in range(height)]
    assert blue == [bytes([100 + row % 50] * (width // 2)) for row in range(height // 2)]
    assert red == [bytes([200 + row % 50] * (width // 2)) for row in range(height // 2)]
    assert [len(plane) for plane in (packed_i420(frame), payload)] == [len(payload)] * 2


def test_nv12() -> None:
    payload = bytes(range(64)) * 32 + bytes([7, 9] * 32) * 16
    frame = picture_reader("gstreamer", caps(64, 32, layout="NV12")).read(payload)
    assert frame is not None
    assert frame.format.name == "nv12"
    assert rows(frame) == [[bytes(range(64))] * 32, [bytes([7, 9] * 32)] * 16]


@pytest.mark.parametrize("shape", [caps(63, 32), caps(64, 33), caps(0, 0), caps(64, 32, layout="RGB")])
def test_a_shape_that_is_not_encoded_is_told(shape: Caps) -> None:
    with pytest.raises(SourceFormatError, match="format=I420"):
        picture_reader("gstreamer", shape)


def test_a_payload_of_another_size_is_told() -> None:
    with pytest.raises(SourceFormatError, match="99 bytes instead of 3072"):
        picture_reader("gstreamer", caps(64, 32)).read(bytes(99))


def jpeg(shade: int) -> bytes:
    encoder = av.CodecContext.create("mjpeg", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = 64, 32, "yuvj420p"
    encoder.framerate = Fraction(25)
    frame = av.VideoFrame(64, 32, "yuvj420p")
    for index, plane in enumerate(frame.planes):
        plane.update(bytes([128 if index else shade]) * plane.buffer_size)
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])


def test_jpegs_are_decoded_and_a_few_damaged_ones_left_out() -> None:
    reader = picture_reader("gstreamer", caps(64, 32, "mjpeg", ""))
    for shade in (40, 90):
        frame = reader.read(jpeg(shade))
        assert frame is not None
        assert memoryview(frame.planes[0])[0] == pytest.approx(shade, abs=2)
    assert reader.read(b"no picture") is None
    assert reader.read(jpeg(60)) is not None
    assert [reader.read(b"no picture") for _ in range(50)] == [None] * 50
    with pytest.raises(SourceFormatError, match="no whole JPEG"):
        reader.read(b"no picture")


class Frames:
    """Remembers what it was given."""

    def __init__(self) -> None:
        self.captured: list[int] = []
        self.finished = False

    def push(self, frame: av.VideoFrame, capture_us: int) -> None:
        self.captured.append(capture_us)

    def finish(self) -> None:
        self.finished = True


def test_pictures_go_on_with_the_instant_at_which_they_were_taken() -> None:
    frames = Frames()
    reader = picture_reader("gstreamer", caps(64, 32))
    output = PictureOutput(reader, frames, StampJudge(lambda monotonic_us: monotonic_us))
    taken = [NOW_US - 50_000, NOW_US - 10_000, NOW_US - 10_000, None]
    for number, capture_us in enumerate(taken):
        times = Times(number, None, None, None if capture_us is None else capture_us * 1000)
        output.take(Record(Kind.UNIT, bytes(3072), times), NOW_US + number)
    output.finish()
    assert frames.captured == [NOW_US - 50_000, NOW_US - 10_000, NOW_US + 3]
    assert frames.finished
