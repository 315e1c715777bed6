"""Buffers become libav frames: one copy of raw pixels, or a decoded JPEG; frames become what encoders take."""

from collections.abc import Sequence

import av
from av.video.codeccontext import VideoCodecContext
from av.video.reformatter import ColorRange, VideoReformatter

from edge_agent.capture.v4l2.formats import PlaneShape
from edge_agent.capture.v4l2.negotiation import Negotiated, packed_bytes, shape_stride

HANDED_ON = "yuv420p"
"""The encoders' own format: a `FramePipeline` keeps such a frame; of all others it makes one of its own."""
_END_OF_IMAGE = b"\xff\xd9"
_TAIL_BYTES = 4096
"""Cameras pad their JPEGs; the end of the image is looked for so far back."""


class Conversion:
    """Frames in the encoders' own format."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()

    def convert(self, frame: av.VideoFrame) -> av.VideoFrame:
        """The frame in `HANDED_ON`, odd sides cut, of narrow range; the same object where nothing is to be done.

        In this thread: libswscale's own threads cost more than they save, the whole of 720p is 0.1 ms.
        """
        return self._reformatter.reformat(
            frame, frame.width // 2 * 2, frame.height // 2 * 2, HANDED_ON, dst_color_range=ColorRange.MPEG, threads=1
        )


class RawPictures:
    """Pixels in the kernel's memory to a frame of libav's."""

    def __init__(self, negotiated: Negotiated) -> None:
        self._shape = negotiated
        form = negotiated.form
        self._reused: av.VideoFrame | None = None
        """Fresh memory for each picture costs many times its copy. Only of formats that are converted behind this:
        others are handed on as they are, and wait in an encoder's queue."""
        self._plans: list[tuple[PlaneShape, int, int, int]] = []
        """Of each plane: its shape, which memory it lies in, at which offset, with which stride."""
        self._packed_bytes = 0
        """The least that a buffer has to hold whose planes lie one after the other."""
        if form.is_split:
            for index, (shape, memory) in enumerate(zip(form.planes, negotiated.planes, strict=True)):
                self._plans.append((shape, index, 0, memory.stride_bytes))
        else:
            offset = 0
            for index, shape in enumerate(form.planes):
                stride = shape_stride(form, index, negotiated.planes[0].stride_bytes)
                self._plans.append((shape, 0, offset, stride))
                offset += stride * shape.rows(negotiated.height_px)
            first = negotiated.planes[0].stride_bytes
            self._packed_bytes = packed_bytes(form, first, negotiated.width_px, negotiated.height_px)

    def frame(self, planes: Sequence[memoryview]) -> av.VideoFrame | None:
        """A frame, good until the next call; None when the buffer holds less than a picture."""
        shape = self._shape
        if not self._is_whole(planes):
            return None
        frame = self._empty()
        for plane, memory, offset, stride in self._plans:
            target = frame.planes[plane.index]
            _copy_rows(
                memoryview(target), target.line_size, planes[memory][offset:], stride,
                plane.row_bytes(shape.width_px), plane.rows(shape.height_px),
            )  # fmt: skip
        return frame

    def _empty(self) -> av.VideoFrame:
        shape, frame = self._shape, self._reused
        if frame is not None:
            frame.make_writable()  # a copy where somebody still holds the last picture
            return frame
        frame = av.VideoFrame(shape.width_px, shape.height_px, shape.form.libav)
        frame.color_range = ColorRange.JPEG if shape.is_full_range else ColorRange.MPEG
        if shape.form.libav != HANDED_ON:
            self._reused = frame
        return frame

    def _is_whole(self, planes: Sequence[memoryview]) -> bool:
        shape = self._shape
        if shape.form.is_split:
            return all(
                len(memory) >= stride * (plane.rows(shape.height_px) - 1) + plane.row_bytes(shape.width_px)
                for (plane, _, _, stride), memory in zip(self._plans, planes, strict=True)
            )
        return len(planes[0]) >= self._packed_bytes


def _copy_rows(
    target: memoryview, target_stride: int, source: memoryview, stride: int, row_bytes: int, rows: int
) -> None:
    if target_stride == stride:
        size_bytes = stride * (rows - 1) + row_bytes
        target[:size_bytes] = source[:size_bytes]
        return
    for row in range(rows):
        at, come_from = row * target_stride, row * stride
        target[at : at + row_bytes] = source[come_from : come_from + row_bytes]


class JpegPictures:
    """JPEGs of a camera, without Huffman tables as AVI has them (libav brings the usual ones) or with."""

    def __init__(self) -> None:
        self._decoder = self._opened()

    def _opened(self) -> VideoCodecContext:
        decoder = VideoCodecContext.create("mjpeg", "r")
        decoder.thread_count = 1
        decoder.options = {"err_detect": "explode"}
        return decoder

    def frame(self, planes: Sequence[memoryview]) -> av.VideoFrame | None:
        """The picture; None when the JPEG is torn or cannot be decoded."""
        data = bytes(planes[0])
        if data.rfind(_END_OF_IMAGE, max(0, len(data) - _TAIL_BYTES)) < 0:
            return None
        try:
            frames = self._decoder.decode(av.Packet(data))
        except av.FFmpegError:
            self._decoder = self._opened()
            return None
        return frames[0] if frames else None
