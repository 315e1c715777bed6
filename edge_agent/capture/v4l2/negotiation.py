"""A camera is told what to send, and asked what it will send: drivers change what they were told without a word."""

import errno
from dataclasses import dataclass
from fractions import Fraction

from linuxpy.video import raw

from edge_agent.capture.v4l2.choice import Candidate
from edge_agent.capture.v4l2.formats import BY_FOURCC, PixelFormat
from edge_agent.capture.v4l2.kernel import Argument
from edge_agent.capture.v4l2.node import MAX_SIDE_PX, MULTI_PLANE, Node, fourcc_text, fps_of
from edge_agent.errors import SourceFormatError

_MAX_IMAGE_BYTES = 256_000_000
_FIELDS_APART = frozenset({int(raw.Field.ALTERNATE), int(raw.Field.SEQ_TB), int(raw.Field.SEQ_BT)})
_FULL_RANGE = int(raw.Quantization.FULL_RANGE)
_MAX_PLANES = 3


@dataclass(frozen=True, slots=True)
class PlaneMemory:
    """One plane of a buffer as the driver lays it out."""

    stride_bytes: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Negotiated:
    """What a camera is configured to, read back from its driver.

    Attributes:
        form: pixel format.
        buffer_type: of its buffers.
        width_px: of a picture.
        height_px: likewise.
        fps: None when the driver does not say.
        planes: memory of a buffer; one entry unless the format splits its planes.
        is_full_range: the driver says that luma goes from 0 to 255.
    """

    form: PixelFormat
    buffer_type: int
    width_px: int
    height_px: int
    fps: Fraction | None
    planes: tuple[PlaneMemory, ...]
    is_full_range: bool

    @property
    def name(self) -> str:
        """`YUYV 1280×720 at 25.00 a second`."""
        rate = "a rate that it does not tell" if self.fps is None else f"{float(self.fps):.2f} a second"
        return f"{fourcc_text(self.form.fourcc)} {self.width_px}×{self.height_px} at {rate}"


def negotiate(node: Node, candidate: Candidate) -> Negotiated:
    """Configure a node.

    Raises:
        OSError: as the kernel raised it.
        SourceFormatError: what the driver made of it cannot be recorded.
    """
    _ask_format(node, candidate)
    _ask_rate(node, candidate)
    told = raw.v4l2_format(type=candidate.buffer_type)
    node.call(raw.IOC.G_FMT, told)
    is_multi = candidate.buffer_type == MULTI_PLANE
    pix = told.fmt.pix_mp if is_multi else told.fmt.pix
    form = BY_FOURCC.get(int(pix.pixelformat))
    if form is None or form.kind != candidate.form.kind:
        raise SourceFormatError(
            f"{node.path} was asked for {fourcc_text(candidate.form.fourcc)} and sends"
            f" {fourcc_text(int(pix.pixelformat))}; set another camera.v4l2.format"
        )
    width_px, height_px = int(pix.width), int(pix.height)
    if not (0 < width_px <= MAX_SIDE_PX and 0 < height_px <= MAX_SIDE_PX):
        raise SourceFormatError(f"{node.path}: its driver tells of pictures of {width_px}×{height_px}")
    if form.kind == "raw" and int(pix.field) in _FIELDS_APART:
        raise SourceFormatError(
            f"{node.path} sends half pictures (fields) one after the other, which is not understood"
        )
    planes = _planes(node.path, pix, form, width_px, height_px, is_multi=is_multi)
    is_full = int(pix.quantization) == _FULL_RANGE
    return Negotiated(form, candidate.buffer_type, width_px, height_px, _rate(node, candidate), planes, is_full)


def _ask_format(node: Node, candidate: Candidate) -> None:
    asked = raw.v4l2_format(type=candidate.buffer_type)
    pix = asked.fmt.pix_mp if candidate.buffer_type == MULTI_PLANE else asked.fmt.pix
    pix.width, pix.height = candidate.width_px, candidate.height_px
    pix.pixelformat = candidate.form.fourcc
    pix.field = int(raw.Field.ANY)
    if candidate.buffer_type == MULTI_PLANE:
        pix.num_planes = len(candidate.form.planes) if candidate.form.is_split else 1
    node.call(raw.IOC.S_FMT, asked)


def _ask_rate(node: Node, candidate: Candidate) -> None:
    """Ask for the rate, of drivers that can be asked."""
    asked = raw.v4l2_streamparm(type=candidate.buffer_type)
    fps = candidate.fps.limit_denominator(10_000)
    interval = asked.parm.capture.timeperframe
    interval.numerator, interval.denominator = fps.denominator, fps.numerator
    _unless_lacking(node, raw.IOC.S_PARM, asked)


def _rate(node: Node, candidate: Candidate) -> Fraction | None:
    told = raw.v4l2_streamparm(type=candidate.buffer_type)
    if not _unless_lacking(node, raw.IOC.G_PARM, told):
        return None
    return fps_of(told.parm.capture.timeperframe)


def _unless_lacking(node: Node, request: raw.IOC, argument: Argument) -> bool:
    """Whether a driver has a call, and took it."""
    try:
        node.call(request, argument)
    except OSError as error:
        if error.errno in {errno.ENOTTY, errno.EINVAL}:
            return False
        raise
    return True


def _planes(
    path: str,
    pix: raw.v4l2_pix_format | raw.v4l2_pix_format_mplane,
    form: PixelFormat,
    width_px: int,
    height_px: int,
    *,
    is_multi: bool,
) -> tuple[PlaneMemory, ...]:
    """The layout of a buffer, which has to have room for a picture."""
    if is_multi:
        count = int(pix.num_planes)
        told = [pix.plane_fmt[index] for index in range(min(count, _MAX_PLANES))]
    else:
        count, told = 1, [pix]
    expected = len(form.planes) if form.is_split else 1
    found = [PlaneMemory(int(plane.bytesperline), int(plane.sizeimage)) for plane in told]
    if count != expected or any(not 0 < plane.size_bytes <= _MAX_IMAGE_BYTES for plane in found):
        raise SourceFormatError(f"{path}: its driver tells of a buffer that cannot be: {count} planes, {found}")
    if form.kind != "raw":
        return tuple(found)
    return tuple(_checked(path, form, index, plane, width_px, height_px) for index, plane in enumerate(found))


def _checked(
    path: str, form: PixelFormat, index: int, plane: PlaneMemory, width_px: int, height_px: int
) -> PlaneMemory:
    """A plane of pixels, its stride filled in where a driver leaves it out."""
    shape = form.planes[index]
    stride_bytes = plane.stride_bytes or shape.row_bytes(width_px)
    if form.is_split:
        needed = stride_bytes * (shape.rows(height_px) - 1) + shape.row_bytes(width_px)
    else:
        needed = packed_bytes(form, stride_bytes, width_px, height_px)
    if stride_bytes < shape.row_bytes(width_px) or plane.size_bytes < needed:
        raise SourceFormatError(
            f"{path}: its driver tells of {width_px}×{height_px} pixels in {plane.size_bytes} bytes, rows of"
            f" {stride_bytes}, which cannot be"
        )
    return PlaneMemory(stride_bytes, plane.size_bytes)


def packed_bytes(form: PixelFormat, stride_bytes: int, width_px: int, height_px: int) -> int:
    """The least size of a picture whose planes lie one after the other, the last row without padding."""
    before = sum(
        shape_stride(form, index, stride_bytes) * shape.rows(height_px) for index, shape in enumerate(form.planes)
    )
    last = len(form.planes) - 1
    return before - shape_stride(form, last, stride_bytes) + form.planes[last].row_bytes(width_px)


def shape_stride(form: PixelFormat, index: int, stride_bytes: int) -> int:
    """Bytes from row to row of a plane, from those of the first one (as `linux/videodev2.h` defines them)."""
    first, shape = form.planes[0], form.planes[index]
    return stride_bytes * shape.sample_bytes // (shape.across * first.sample_bytes)
