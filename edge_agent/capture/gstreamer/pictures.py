"""Pictures of a pipeline that does not encode them: raw in GStreamer's default layout, or JPEG, as libav's frames."""

from typing import Protocol

import av
from av.video.codeccontext import VideoCodecContext

from edge_agent.capture.gstreamer.messages import Caps
from edge_agent.errors import SourceFormatError

_FORMATS = {"I420": "yuv420p", "NV12": "nv12"}
_MAX_DAMAGED = 50
"""One after the other."""


class PictureReader(Protocol):
    """Makes frames of payloads."""

    def read(self, payload: bytes) -> av.VideoFrame | None:
        """The frame; None of a picture that is damaged.

        Raises:
            SourceFormatError: these are no such pictures.
        """
        ...


def picture_reader(name: str, caps: Caps) -> PictureReader:
    """What reads the pictures that `caps` describe.

    Raises:
        SourceFormatError: they have a shape that is not encoded.
    """
    if caps.codec == "mjpeg":
        return JpegReader(name)
    return RawReader(name, caps)


class RawReader:
    """Raw pictures; the layout is that of `gst_video_info_set_format` (gst-plugins-base, `video-info.c`)."""

    def __init__(self, name: str, caps: Caps) -> None:
        self._name = name
        self._format = _FORMATS.get(caps.layout, "")
        self._width_px, self._height_px = caps.width, caps.height
        if not self._format or not caps.width or not caps.height or caps.width % 2 or caps.height % 2:
            raise SourceFormatError(
                f"{name}: its pictures are {caps.layout or 'of no known layout'}, {caps.width}×{caps.height}; ask for"
                " even sides, as in … ! video/x-raw,format=I420,width=1280,height=720"
            )
        luma = (_up_to_4(caps.width), caps.height)
        chroma = (_up_to_4(caps.width // 2), caps.height // 2)
        self._planes = [luma, chroma, chroma] if self._format == "yuv420p" else [luma, (luma[0], caps.height // 2)]
        self._size_bytes = sum(stride * rows for stride, rows in self._planes)

    def read(self, payload: bytes) -> av.VideoFrame | None:
        """As `PictureReader`."""
        if len(payload) != self._size_bytes:
            raise SourceFormatError(
                f"{self._name}: a picture has {len(payload)} bytes instead of {self._size_bytes}; put ! videoconvert"
                " at the pipeline's end"
            )
        frame = av.VideoFrame(self._width_px, self._height_px, self._format)
        view, start = memoryview(payload), 0
        for plane, (stride, rows) in zip(frame.planes, self._planes, strict=True):
            _copy(view[start : start + stride * rows], stride, memoryview(plane).cast("B"), plane.line_size, rows)
            start += stride * rows
        return frame


def packed_i420(frame: av.VideoFrame) -> bytes:
    """A `yuv420p` frame in GStreamer's default layout.

    Raises:
        ValueError: it is none, or has odd sides.
    """
    if frame.format.name != "yuv420p" or frame.width % 2 or frame.height % 2:
        raise ValueError(f"a picture is {frame.format.name}, {frame.width}×{frame.height}")
    parts: list[bytes | memoryview] = []
    for plane in frame.planes:
        view, stride = memoryview(plane).cast("B"), _up_to_4(plane.width)
        if plane.line_size == stride:
            parts.append(view[: stride * plane.height])
        else:
            starts = range(0, plane.line_size * plane.height, plane.line_size)
            parts.append(b"".join(bytes(view[start : start + plane.width]).ljust(stride, b"\0") for start in starts))
    return b"".join(parts)


def _up_to_4(count: int) -> int:
    return (count + 3) & ~3


def _copy(source: memoryview, source_stride: int, target: memoryview, target_stride: int, rows: int) -> None:
    if source_stride == target_stride:
        target[: len(source)] = source
        return
    width = min(source_stride, target_stride)
    for row in range(rows):
        target[row * target_stride : row * target_stride + width] = source[
            row * source_stride : row * source_stride + width
        ]


class JpegReader:
    """JPEG, as cameras on USB send it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._decoder = VideoCodecContext.create("mjpeg", "r")
        self._decoder.thread_count = 1
        self._damaged = 0

    def read(self, payload: bytes) -> av.VideoFrame | None:
        """As `PictureReader`."""
        try:
            frames = self._decoder.decode(av.Packet(payload))
        except av.FFmpegError as error:
            self._damaged += 1
            if self._damaged > _MAX_DAMAGED:
                raise SourceFormatError(
                    f"{self._name}: {self._damaged} pictures running were no whole JPEG ({error.strerror}); look at"
                    " the camera's cable"
                ) from error
            return None
        self._damaged = 0
        return frames[0] if frames else None
