"""Deterministic streams of real H.264 and H.265 pictures, and the headers of segments that hold them.

The pictures are encoded once a process and a parameter set (libx264, libx265, one thread), then only dated: an hour
of units costs the memory of four seconds.
"""

import io
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from itertools import starmap
from typing import Literal, cast

import av
import av.container

from edge_agent.contract.access_unit import TIMESCALE_HZ, AccessUnit, Codec, CodecConfig, GapCause
from edge_agent.contract.segment_format import SegmentHeader

UNIT_ID = "nomad-07"
CAMERA = "main"
BOOT_ID = "b0" * 16
RUN_ID = "c1" * 16
WALL_US = 1_790_000_000_000_000
CAPTURE_US = 60_000_000
FIRST_DTS_90K = 10 * TIMESCALE_HZ

_LONGEST_ENCODED_S = 4


@dataclass(frozen=True)
class Stream:
    """A codec configuration and the units that follow it."""

    config: CodecConfig
    units: tuple[AccessUnit, ...]


@dataclass(frozen=True)
class _Picture:
    data: bytes
    order: int  # presentation minus decode position, plus the reorder delay, in frames
    is_key: bool


def make_units(
    seconds: float = 2.0,
    *,
    codec: Codec = "h264",
    fps: int = 25,
    gop: int = 25,
    b_frames: int = 0,
    annex_b: bool = False,
    width: int = 128,
    height: int = 96,
    first_dts_90k: int = FIRST_DTS_90K,
    first_capture_us: int = CAPTURE_US,
) -> Stream:
    """A stream that begins with a key frame, one every `gop` frames.

    `annex_b` leaves the pictures as the encoder makes them; else extradata is `avcC`/`hvcC` and samples are
    length-prefixed, as in MP4 and as RTSP depacketisers give them. `first_capture_us` is the capture time of the
    first picture; the others follow their presentation times.
    """
    count = round(seconds * fps)
    longest = max(gop, _LONGEST_ENCODED_S * fps // gop * gop)
    encoded = min(-(-count // gop) * gop, longest)
    config, pictures = _encoded(codec, fps, gop, b_frames, annex_b, (width, height), encoded)
    step_90k = TIMESCALE_HZ // fps
    reorder_90k = pictures[0].order * step_90k
    units = []
    for index in range(count):
        picture = pictures[index % encoded]
        dts_90k = first_dts_90k + index * step_90k
        pts_90k = dts_90k + picture.order * step_90k
        since_first_90k = pts_90k - first_dts_90k - reorder_90k
        capture_us = first_capture_us + since_first_90k * 1_000_000 // TIMESCALE_HZ
        units.append(AccessUnit(picture.data, pts_90k, dts_90k, step_90k, picture.is_key, capture_us))
    return Stream(config, tuple(units))


def shifted(stream: Stream, *, media_90k: int = 0, capture_us: int = 0) -> Stream:
    """The same pictures later (or earlier) on the media time line and on the monotonic clock."""
    return Stream(
        stream.config,
        tuple(
            replace(
                unit,
                pts_90k=unit.pts_90k + media_90k,
                dts_90k=unit.dts_90k + media_90k,
                capture_us=unit.capture_us + capture_us,
            )
            for unit in stream.units
        ),
    )


def make_header(
    config: CodecConfig,
    sequence: int = 1,
    *,
    run_id: str = RUN_ID,
    deployment_id: str = "bench",
    opened_cause: GapCause = "start",
    wall_us: int = WALL_US,
    monotonic_us: int = CAPTURE_US,
) -> SegmentHeader:
    """A segment header for a stream of `make_units`."""
    return SegmentHeader(
        unit_id=UNIT_ID,
        camera=CAMERA,
        sequence=sequence,
        boot_id=BOOT_ID,
        run_id=run_id,
        deployment_id=deployment_id,
        codec=config.codec,
        width_px=config.width_px,
        height_px=config.height_px,
        frame_rate_fps=config.frame_rate_fps,
        opened_cause=opened_cause,
        wall_us=wall_us,
        monotonic_us=monotonic_us,
        clock_source="kernel",
        clock_bound_us=5_000,
        software_version="0.1.0",
    )


@cache
def _encoded(
    codec: Codec, fps: int, gop: int, b_frames: int, annex_b: bool, size: tuple[int, int], count: int
) -> tuple[CodecConfig, tuple[_Picture, ...]]:
    """Encode into an MP4: the packets on their way in are Annex B, the samples on their way out length-prefixed."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as output:
        stream = _encoder(output, codec, fps, gop, b_frames, size)
        packets = [packet for index in range(count) for packet in stream.encode(_drawing(index, size))]
        packets += stream.encode(None)
        orders = [cast("int", packet.pts) - cast("int", packet.dts) for packet in packets]
        keys = [packet.is_keyframe for packet in packets]
        datas = [bytes(packet) for packet in packets]
        extradata = stream.codec_context.extradata or b""
        output.mux(packets)
    if not annex_b:
        extradata, datas = _length_prefixed(file.getvalue())
    assert [index for index, is_key in enumerate(keys) if is_key] == list(range(0, count, gop))
    pictures = tuple(starmap(_Picture, zip(datas, orders, keys, strict=True)))
    return CodecConfig(codec, extradata, size[0], size[1], float(fps)), pictures


def _encoder(
    output: av.container.OutputContainer, codec: Codec, fps: int, gop: int, b_frames: int, size: tuple[int, int]
) -> av.VideoStream:
    name: Literal["libx264", "libx265"] = "libx264" if codec == "h264" else "libx265"
    stream = output.add_stream(name, rate=fps)
    stream.width, stream.height = size
    stream.pix_fmt = "yuv420p"
    context = stream.codec_context
    context.time_base = Fraction(1, fps)
    context.gop_size = gop
    context.thread_count = 1
    if codec == "h264":
        context.options = {"bf": str(b_frames), "sc_threshold": "0", "x264-params": "open-gop=0:b-adapt=0"}
    else:
        context.options = {
            "x265-params": f"bframes={b_frames}:b-adapt=0:keyint={gop}:min-keyint={gop}:open-gop=0:scenecut=0"
            ":log-level=none:pools=none:frame-threads=1:wpp=0"
        }
    return stream


def _drawing(index: int, size: tuple[int, int]) -> av.VideoFrame:
    """A ramp that moves three columns a frame."""
    frame = av.VideoFrame(size[0], size[1], "yuv420p")
    ramp = bytes(range(256))
    for plane in frame.planes:
        start = index * 3 % 256
        row = (ramp * (plane.line_size // 256 + 2))[start : start + plane.line_size]
        plane.update(row * plane.height)
    frame.pts = index
    return frame


def _length_prefixed(mp4: bytes) -> tuple[bytes, list[bytes]]:
    with av.open(io.BytesIO(mp4), "r") as container:
        video = container.streams.video[0]
        samples = [bytes(packet) for packet in container.demux(video) if packet.size]
        return video.codec_context.extradata or b"", samples
