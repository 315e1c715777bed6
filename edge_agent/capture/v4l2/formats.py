"""Pixel formats that can be recorded, best first within a kind."""

from dataclasses import dataclass
from typing import Literal

from linuxpy.video import raw

Kind = Literal["h264", "jpeg", "raw"]


@dataclass(frozen=True, slots=True)
class PlaneShape:
    """How one plane of a picture lies in memory.

    Attributes:
        index: of the plane in libav's frame.
        sample_bytes: of one sample (two for interleaved chroma).
        across: luma columns that a sample covers.
        down: luma rows that a sample covers.
    """

    index: int
    sample_bytes: int
    across: int = 1
    down: int = 1

    def row_bytes(self, width_px: int) -> int:
        """Of a row without padding."""
        return -(-width_px // self.across) * self.sample_bytes

    def rows(self, height_px: int) -> int:
        """Of the whole plane."""
        return -(-height_px // self.down)


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """A format of the kernel's.

    Attributes:
        fourcc: the kernel's code.
        kind: what has to be done with it.
        libav: its name there: of pixels, or of the codec.
        planes: in the order in which they lie in memory; none of a coded one.
        is_split: each plane has memory of its own.
    """

    fourcc: int
    kind: Kind
    libav: str
    planes: tuple[PlaneShape, ...] = ()
    is_split: bool = False


_CODES = raw.PixelFormat
_PACKED_422 = (PlaneShape(0, 2),)
_CHROMA_420 = (PlaneShape(0, 1), PlaneShape(1, 1, 2, 2), PlaneShape(2, 1, 2, 2))
_CHROMA_420_SWAPPED = (PlaneShape(0, 1), PlaneShape(2, 1, 2, 2), PlaneShape(1, 1, 2, 2))
_CHROMA_422 = (PlaneShape(0, 1), PlaneShape(1, 1, 2), PlaneShape(2, 1, 2))
_PAIRED_420 = (PlaneShape(0, 1), PlaneShape(1, 2, 2, 2))
_PAIRED_422 = (PlaneShape(0, 1), PlaneShape(1, 2, 2))

FORMATS: tuple[PixelFormat, ...] = (
    PixelFormat(int(_CODES.H264), "h264", "h264"),
    PixelFormat(int(_CODES.MJPEG), "jpeg", "mjpeg"),
    PixelFormat(int(_CODES.JPEG), "jpeg", "mjpeg"),
    PixelFormat(int(_CODES.YUV420), "raw", "yuv420p", _CHROMA_420),
    PixelFormat(int(_CODES.YUV420M), "raw", "yuv420p", _CHROMA_420, is_split=True),
    PixelFormat(int(_CODES.YVU420), "raw", "yuv420p", _CHROMA_420_SWAPPED),
    PixelFormat(int(_CODES.NV12), "raw", "nv12", _PAIRED_420),
    PixelFormat(int(_CODES.NV12M), "raw", "nv12", _PAIRED_420, is_split=True),
    PixelFormat(int(_CODES.NV21), "raw", "nv21", _PAIRED_420),
    PixelFormat(int(_CODES.YUYV), "raw", "yuyv422", _PACKED_422),
    PixelFormat(int(_CODES.UYVY), "raw", "uyvy422", _PACKED_422),
    PixelFormat(int(_CODES.YVYU), "raw", "yvyu422", _PACKED_422),
    PixelFormat(int(_CODES.YUV422P), "raw", "yuv422p", _CHROMA_422),
    PixelFormat(int(_CODES.NV16), "raw", "nv16", _PAIRED_422),
    PixelFormat(int(_CODES.BGR24), "raw", "bgr24", (PlaneShape(0, 3),)),
    PixelFormat(int(_CODES.RGB24), "raw", "rgb24", (PlaneShape(0, 3),)),
    PixelFormat(int(_CODES.XBGR32), "raw", "bgr0", (PlaneShape(0, 4),)),
    PixelFormat(int(_CODES.GREY), "raw", "gray", (PlaneShape(0, 1),)),
)

BY_FOURCC = {form.fourcc: form for form in FORMATS}
RANK = {form.fourcc: rank for rank, form in enumerate(FORMATS)}
YUYV = int(_CODES.YUYV)
