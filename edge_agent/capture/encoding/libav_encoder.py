"""libx264, libx265 and the board's memory-to-memory encoder (`h264_v4l2m2m`), through libav.

The board's encoder is asked through libav's wrapper (libavcodec/v4l2_m2m_enc.c), which looks for the first device
that takes YUV 4:2:0 and gives H.264: `/dev/video11` on a Raspberry Pi up to 4. It was never run on a board.
"""

import os
from fractions import Fraction
from typing import cast

import av
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType

from edge_agent.capture.encoding.encoder import EncodedPicture, EncodeOrder
from edge_agent.capture.libav import reason_of
from edge_agent.contract.access_unit import TIMESCALE_HZ
from edge_agent.errors import CaptureError, SourceUnavailableError

_MOST_THREADS = 4
_PRESETS = {"least": "ultrafast", "usual": "superfast"}


class LibavEncoder:
    """One encoder of libav."""

    def __init__(self, name: str, order: EncodeOrder) -> None:
        """Open it.

        Args:
            name: as libav names it.
            order: what is asked for.

        Raises:
            SourceUnavailableError: this machine does not have it, or it does not make what is asked.
        """
        codec = "hevc" if name == "libx265" else "h264"
        if codec != order.codec:
            raise SourceUnavailableError(f"{name} makes {codec}, and {order.codec} is asked for")
        self._name = name
        self.detail = (
            "goes by bit rate: it has no constant quality" if name == "h264_v4l2m2m" and order.quality else ""
        )
        """What of its order it does not follow."""
        try:
            self._context = cast("VideoCodecContext", VideoCodecContext.create(name, "w"))
            _configure(self._context, name, order)
            self._context.open()
        except (av.FFmpegError, ValueError, OSError) as error:
            raise SourceUnavailableError(f"{name}: {_reason(error)}") from error

    def encode(self, frame: av.VideoFrame, *, is_key: bool) -> list[EncodedPicture]:
        """As `Encoder`."""
        frame.pict_type = PictureType.I if is_key else PictureType.NONE
        return self._run(frame)

    def finish(self) -> list[EncodedPicture]:
        """As `Encoder`."""
        return self._run(None)

    def kill(self) -> None:
        """As `Encoder`: a call into libav cannot be ended; its thread is left behind."""

    def _run(self, frame: av.VideoFrame | None) -> list[EncodedPicture]:
        try:
            packets = self._context.encode(frame)
        except (av.FFmpegError, ValueError, OSError) as error:
            raise CaptureError(f"{self._name}: {_reason(error)}") from error
        return [_picture(packet) for packet in packets if packet.size]


def _picture(packet: "av.Packet[av.VideoStream]") -> EncodedPicture:
    pts = packet.pts if packet.pts is not None else 0
    return EncodedPicture(bytes(packet), pts, packet.dts if packet.dts is not None else pts, packet.is_keyframe)


def _configure(context: VideoCodecContext, name: str, order: EncodeOrder) -> None:
    context.width, context.height, context.pix_fmt = order.width_px, order.height_px, "yuv420p"
    context.framerate, context.time_base = order.fps, Fraction(1, TIMESCALE_HZ)
    context.gop_size, context.max_b_frames = order.gop_pictures, 0
    if order.quality is None or name == "h264_v4l2m2m":
        context.bit_rate = order.bitrate_kbps * 1000
    if name == "h264_v4l2m2m":
        context.options = {"profile": order.profile or "high"}
        return
    threads = 1 if order.effort == "least" else min(os.cpu_count() or 1, _MOST_THREADS)
    context.thread_count = threads
    context.options = _x264_options(order, threads) if name == "libx264" else _x265_options(order, threads)


def _x264_options(order: EncodeOrder, threads: int) -> dict[str, str]:
    """No look-ahead and no B-frames: delay is that of the threads alone; parameter sets before every key frame."""
    gop = order.gop_pictures
    return {
        **_rate_options(order),
        "preset": _PRESETS[order.effort],
        "tune": "zerolatency",
        "profile": order.profile or "high",
        "forced-idr": "1",
        "x264-params": f"keyint={gop}:min-keyint={gop}:scenecut=0:sliced-threads=0:threads={threads}",
    }


def _x265_options(order: EncodeOrder, threads: int) -> dict[str, str]:
    gop = order.gop_pictures
    parameters = [
        f"keyint={gop}:min-keyint={gop}:scenecut=0:open-gop=0:repeat-headers=1:bframes=0:rc-lookahead=0",
        f"pools={threads}:frame-threads=1:log-level=error",
        f"vbv-maxrate={order.bitrate_kbps}:vbv-bufsize={order.bitrate_kbps}",
    ]
    quality = {} if order.quality is None else {"crf": f"{order.quality:g}"}
    return {
        **quality,
        "preset": "ultrafast",
        "tune": "zerolatency",
        "forced-idr": "1",
        "x265-params": ":".join(parameters),
    }


def _rate_options(order: EncodeOrder) -> dict[str, str]:
    """A second's worth of buffer: what is sent in a second never exceeds the rate by more than that."""
    ceiling = {"maxrate": f"{order.bitrate_kbps}k", "bufsize": f"{order.bitrate_kbps}k"}
    return ceiling if order.quality is None else ceiling | {"crf": f"{order.quality:g}"}


def _reason(error: Exception) -> str:
    return reason_of(error) if isinstance(error, OSError) else str(error)
