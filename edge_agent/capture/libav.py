"""What the sources that demux through libav (PyAV) have in common."""

from fractions import Fraction
from typing import cast

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from edge_agent.capture.packet import RawPacket
from edge_agent.contract.access_unit import Codec, CodecConfig
from edge_agent.errors import SourceFormatError

RECORDABLE: tuple[Codec, ...] = ("h264", "hevc")


def first_video(container: InputContainer, name: str, remedy: str) -> VideoStream:
    """The stream to record; audio and data are never read.

    Args:
        container: an open one.
        name: the source, for people, without credentials.
        remedy: what to do about a codec that is not recorded.

    Raises:
        SourceFormatError: there is no video, or it is neither H.264 nor H.265.
    """
    if not container.streams.video:
        raise SourceFormatError(f"{name}: there is no video in it")
    stream = container.streams.video[0]
    codec = stream.name
    if codec not in RECORDABLE:
        raise SourceFormatError(f"{name}: its video is {codec}; H.264 and H.265 are recorded: {remedy}")
    return stream


def config_of(stream: VideoStream) -> CodecConfig:
    """The codec configuration as libav tells it."""
    context = stream.codec_context
    rate = stream.average_rate or stream.guessed_rate
    return CodecConfig(
        codec=cast("Codec", context.name),
        extradata=context.extradata or b"",
        width_px=context.width,
        height_px=context.height,
        frame_rate_fps=float(rate) if rate and 0 < rate <= 240 else 0.0,
    )


def raw_packet(packet: "av.Packet[VideoStream]", arrival_us: int, received_us: int) -> RawPacket:
    """A demuxed packet for the normaliser; see `RawPacket` for the times."""
    return RawPacket(
        data=bytes(packet),
        pts=packet.pts,
        dts=packet.dts,
        duration=packet.duration or 0,
        is_key=packet.is_keyframe,
        arrival_us=arrival_us,
        received_us=received_us,
    )


def time_base_of(stream: VideoStream) -> Fraction:
    """Seconds a unit of the stream's stamps."""
    return stream.time_base or Fraction(1, 90_000)


def reason_of(error: av.FFmpegError | OSError) -> str:
    """Words of libav for a failure, without the address that its exceptions carry (it may hold a password)."""
    return str(error.strerror or type(error).__name__)
