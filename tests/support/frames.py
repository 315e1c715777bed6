"""Decoded pictures as hashes, so that shown and recorded ones compare frame by frame."""

import hashlib
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import cast

import av

from tests.builders import Stream


def frame_hash(frame: av.VideoFrame) -> str:
    """Digest of a picture's visible luma."""
    plane = frame.planes[0]
    rows = memoryview(plane)
    digest = hashlib.sha256()
    for row in range(frame.height):
        digest.update(rows[row * plane.line_size : row * plane.line_size + frame.width])
    return digest.hexdigest()[:16]


@lru_cache(maxsize=8)
def recorded_frames(stream: Stream) -> dict[int, str]:
    """Presentation time of every picture of a stream to its hash."""
    context = av.CodecContext.create(stream.config.codec, "r")
    context.extradata = stream.config.extradata
    context.thread_count = 1
    frames: list[av.VideoFrame] = []
    for unit in stream.units:
        packet = av.Packet(unit.data)
        packet.pts, packet.dts = unit.pts_90k, unit.dts_90k
        frames += context.decode(packet)
    frames += context.decode(None)
    return {cast("int", frame.pts): frame_hash(frame) for frame in frames}


def shown_frames(path: Path) -> list[tuple[int, str]]:
    """What a player that honours edit lists shows of a file: time from its beginning in 1/90,000 s, and hash."""
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        video.thread_count = 1
        assert video.time_base == Fraction(1, 90_000)
        return [(cast("int", frame.pts), frame_hash(frame)) for frame in container.decode(video)]
