"""An open V4L2 device node: who it is and what it offers. Nothing that a driver returns is believed unchecked.

Structures, numbers and constants are those of `linux/videodev2.h`, as linuxpy has them; what the calls mean is in the
kernel's media documentation ("Video for Linux API").
"""

import errno
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from linuxpy.video import raw

from edge_agent.capture.v4l2.kernel import Argument, Kernel

_MAX_FORMATS = 64
_MAX_SIZES = 256
_MAX_RATES = 64
MAX_SIDE_PX = 16_384
MAX_FPS = 1000

_CAPTURE = int(raw.Capability.VIDEO_CAPTURE)
_CAPTURE_MPLANE = int(raw.Capability.VIDEO_CAPTURE_MPLANE)
_STREAMING = int(raw.Capability.STREAMING)
_DEVICE_CAPS = int(raw.Capability.DEVICE_CAPS)
_ROLES = (
    (int(raw.Capability.VIDEO_M2M) | int(raw.Capability.VIDEO_M2M_MPLANE), "a codec or scaler of the board"),
    (int(raw.Capability.META_CAPTURE) | int(raw.Capability.META_OUTPUT), "for metadata"),
    (int(raw.Capability.VIDEO_OUTPUT) | int(raw.Capability.VIDEO_OUTPUT_MPLANE), "a video output"),
    (int(raw.Capability.VBI_CAPTURE) | int(raw.Capability.SLICED_VBI_CAPTURE), "for teletext"),
    (int(raw.Capability.RADIO) | int(raw.Capability.SDR_CAPTURE), "a radio"),
    (int(raw.Capability.TOUCH), "a touch screen"),
)
SINGLE_PLANE = int(raw.BufType.VIDEO_CAPTURE)
MULTI_PLANE = int(raw.BufType.VIDEO_CAPTURE_MPLANE)

_NOT_OFFERED = frozenset({errno.EINVAL, errno.ENOTTY, errno.ENODATA, errno.EPIPE})
"""The end of a list, or a driver that has none."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What VIDIOC_QUERYCAP says.

    Attributes:
        driver: of the kernel.
        card: what people call the camera.
        bus: where it is plugged in.
        buffer_type: of its pictures; None when it captures none.
        role: what the node is for, when it captures no pictures.
    """

    driver: str
    card: str
    bus: str
    buffer_type: int | None
    role: str


@dataclass(frozen=True, slots=True)
class SizeRange:
    """Sizes on offer; one size has equal ends."""

    min_width_px: int
    max_width_px: int
    step_width_px: int
    min_height_px: int
    max_height_px: int
    step_height_px: int

    def nearest(self, width_px: int, height_px: int) -> tuple[int, int]:
        """The size on offer that is nearest to one asked for."""
        return (
            _nearest(width_px, self.min_width_px, self.max_width_px, self.step_width_px),
            _nearest(height_px, self.min_height_px, self.max_height_px, self.step_height_px),
        )


@dataclass(frozen=True, slots=True)
class RateRange:
    """Pictures a second on offer; one rate has equal ends."""

    min_fps: Fraction
    max_fps: Fraction


def text_of(field: bytes) -> str:
    """A string of the kernel's, whatever a driver put there."""
    text = bytes(field).split(b"\0", 1)[0].decode(errors="replace")
    return "".join(character for character in text if character.isprintable()).strip()


def fourcc_text(fourcc: int) -> str:
    """`YUYV` for 0x56595559."""
    letters = (fourcc & 0x7FFFFFFF).to_bytes(4, "little")
    return "".join(chr(letter) if 32 <= letter < 127 else "?" for letter in letters).rstrip()


class Node:
    """One open node; every method raises OSError as the kernel does."""

    def __init__(self, kernel: Kernel, path: str) -> None:
        """Open it.

        Raises:
            OSError: it is not there, in use or not ours.
        """
        self.path = path
        self.kernel = kernel
        self.descriptor = kernel.open(path)
        self._is_open = True

    def close(self) -> None:
        """Close it, once."""
        if self._is_open:
            self._is_open = False
            self.kernel.close(self.descriptor)

    def call(self, request: raw.IOC, argument: Argument) -> None:
        """One ioctl."""
        self.kernel.ioctl(self.descriptor, int(request.value) & 0xFFFFFFFF, argument)

    def identity(self) -> Identity:
        """Who this is."""
        told = raw.v4l2_capability()
        self.call(raw.IOC.QUERYCAP, told)
        caps = int(told.device_caps if told.capabilities & _DEVICE_CAPS else told.capabilities)
        kind: int | None = None
        if caps & _STREAMING:
            kind = SINGLE_PLANE if caps & _CAPTURE else MULTI_PLANE if caps & _CAPTURE_MPLANE else None
        role = next((words for flags, words in _ROLES if caps & flags), "of no known use")
        if kind is None and caps & (_CAPTURE | _CAPTURE_MPLANE):
            role = "a camera without streaming"
        return Identity(text_of(told.driver), text_of(told.card), text_of(told.bus_info), kind, role)

    def fourccs(self, buffer_type: int) -> tuple[int, ...]:
        """Pixel formats on offer, in the driver's order."""
        asked = raw.v4l2_fmtdesc(type=buffer_type)
        found = [int(asked.pixelformat) for _ in self._listed(raw.IOC.ENUM_FMT, asked, _MAX_FORMATS)]
        return tuple(dict.fromkeys(found))

    def sizes(self, fourcc: int) -> tuple[SizeRange, ...]:
        """Sizes on offer in a pixel format; empty when the driver does not say."""
        asked = raw.v4l2_frmsizeenum(pixel_format=fourcc)
        found = (_size_range(asked) for _ in self._listed(raw.IOC.ENUM_FRAMESIZES, asked, _MAX_SIZES))
        return tuple(dict.fromkeys(size for size in found if size is not None))

    def rates(self, fourcc: int, width_px: int, height_px: int) -> tuple[RateRange, ...]:
        """Rates on offer at a size, which the driver may not say."""
        asked = raw.v4l2_frmivalenum(pixel_format=fourcc, width=width_px, height=height_px)
        found = (_rate_range(asked) for _ in self._listed(raw.IOC.ENUM_FRAMEINTERVALS, asked, _MAX_RATES))
        return tuple(dict.fromkeys(rate for rate in found if rate is not None))

    def _listed(self, request: raw.IOC, asked: Any, most: int) -> Iterator[int]:  # noqa: ANN401 -- of several structures
        """Count through a list of the driver's, which writes its entries into `asked`."""
        for index in range(most):
            asked.index = index
            try:
                self.call(request, asked)
            except OSError as error:
                if error.errno in _NOT_OFFERED:
                    return
                raise
            yield index


def _nearest(asked: int, least: int, most: int, step: int) -> int:
    held = min(max(asked, least), most)
    return min(least + round((held - least) / step) * step, most)


def _size_range(told: raw.v4l2_frmsizeenum) -> SizeRange | None:
    if told.type == raw.Frmsizetypes.DISCRETE:
        width, height = int(told.m1.discrete.width), int(told.m1.discrete.height)
        found = SizeRange(width, width, 1, height, height, 1)
    else:
        steps = told.m1.stepwise
        found = SizeRange(
            int(steps.min_width), int(steps.max_width), max(1, int(steps.step_width)),
            int(steps.min_height), int(steps.max_height), max(1, int(steps.step_height)),
        )  # fmt: skip
    wide = 0 < found.min_width_px <= found.max_width_px
    high = 0 < found.min_height_px <= found.max_height_px
    return (
        found if wide and high and found.min_width_px <= MAX_SIDE_PX and found.min_height_px <= MAX_SIDE_PX else None
    )


def fps_of(interval: raw.v4l2_fract) -> Fraction | None:
    """Pictures a second of an interval; None when it is none."""
    if not interval.numerator or not interval.denominator:
        return None
    fps = Fraction(int(interval.denominator), int(interval.numerator))
    return fps if fps <= MAX_FPS else None


def _rate_range(told: raw.v4l2_frmivalenum) -> RateRange | None:
    if told.type == raw.Frmivaltypes.DISCRETE:
        fps = fps_of(told.m1.discrete)
        return None if fps is None else RateRange(fps, fps)
    slowest, fastest = fps_of(told.m1.stepwise.max), fps_of(told.m1.stepwise.min)
    if fastest is None:
        fastest = Fraction(MAX_FPS)
    if slowest is None or slowest > fastest:
        slowest = Fraction(0)
    return RateRange(slowest, fastest)
