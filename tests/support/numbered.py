"""Streams whose pictures carry their own number, readable by any player that can draw."""

import io
from fractions import Fraction
from typing import Literal, cast

import av
import numpy as np
from numpy.typing import NDArray

from edge_agent.contract.access_unit import TIMESCALE_HZ, AccessUnit, Codec, CodecConfig
from tests.builders import CAPTURE_US, FIRST_DTS_90K, Stream

BITS = 10
CELL_PX = 16
WIDTH_PX = BITS * CELL_PX
HEIGHT_PX = 96


def numbered_units(
    seconds: float,
    *,
    codec: Codec = "h264",
    b_frames: int = 0,
    options: str = "",
    fps: int = 25,
    height_px: int = HEIGHT_PX,
) -> Stream:
    """A stream with a key frame a second; picture `n` shows `n` as black and white columns, highest bit left.

    `options` goes to libx264 or libx265 as it is, such as `open-gop=1`.
    """
    file = io.BytesIO()
    name: Literal["libx264", "libx265"] = "libx264" if codec == "h264" else "libx265"
    with av.open(file, "w", format="mp4") as output:
        stream = output.add_stream(name, rate=fps)
        stream.width, stream.height, stream.pix_fmt = WIDTH_PX, height_px, "yuv420p"
        stream.codec_context.gop_size = fps
        stream.codec_context.thread_count = 1
        common = f"keyint={fps}:min-keyint={fps}:scenecut=0:bframes={b_frames}:b-adapt=0"
        quiet = "" if codec == "h264" else ":log-level=none:pools=none:frame-threads=1"
        stream.codec_context.options = {f"{name[3:]}-params": f"{common}{quiet}{':' + options if options else ''}"}
        for number in range(round(seconds * fps)):
            output.mux(stream.encode(_picture(number, height_px)))
        output.mux(stream.encode(None))
    return _read(file.getvalue(), codec, fps, height_px)


def _picture(number: int, height_px: int) -> av.VideoFrame:
    frame = av.VideoFrame(WIDTH_PX, height_px, "yuv420p")
    luma, *chroma = frame.planes
    cells = [bytes([235 if number >> (BITS - 1 - bit) & 1 else 16]) * CELL_PX for bit in range(BITS)]
    luma.update(b"".join(cells).ljust(luma.line_size, b"\x10") * luma.height)
    for plane in chroma:
        plane.update(b"\x80" * plane.buffer_size)
    frame.pts = number
    return frame


def number_of(frame: av.VideoFrame) -> int:
    """The number that a decoded picture shows."""
    plane = frame.planes[0]
    luma = np.frombuffer(memoryview(plane), dtype=np.uint8).reshape(frame.height, plane.line_size)
    return number_in(luma)


def number_in(luma: NDArray[np.uint8]) -> int:
    """The number that a picture shows, of either range."""
    row = luma[HEIGHT_PX // 2]
    return sum(int(row[bit * CELL_PX + CELL_PX // 2] > 128) << (BITS - 1 - bit) for bit in range(BITS))


def _read(mp4: bytes, codec: Codec, fps: int, height_px: int) -> Stream:
    """Units of a whole MP4, dated like those of `tests.builders`: the first picture is taken at `CAPTURE_US`."""
    step_90k = TIMESCALE_HZ // fps
    with av.open(io.BytesIO(mp4), "r") as container:
        video = container.streams.video[0]
        packets = [packet for packet in container.demux(video) if packet.size]
        config = CodecConfig(codec, video.codec_context.extradata or b"", WIDTH_PX, height_px, float(fps))
        units = [_unit(packet, cast("Fraction", video.time_base), step_90k) for packet in packets]
    return Stream(config, tuple(units))


def _unit(packet: "av.Packet[av.VideoStream]", time_base: Fraction, step_90k: int) -> AccessUnit:
    pts_90k = round(cast("int", packet.pts) * time_base * TIMESCALE_HZ)
    dts_90k = round(cast("int", packet.dts) * time_base * TIMESCALE_HZ)
    shift_90k = FIRST_DTS_90K + 2 * step_90k
    capture_us = CAPTURE_US + pts_90k * 100 // 9
    return AccessUnit(
        bytes(packet), pts_90k + shift_90k, dts_90k + shift_90k, step_90k, packet.is_keyframe, capture_us
    )
