"""Small video files, encoded here."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.stream import AudioStream
from av.video.stream import VideoStream


def write_clip(
    path: Path,
    *,
    codec: str = "libx264",
    width: int = 160,
    height: int = 128,
    fps: int = 25,
    frames: int = 30,
    b_frames: int = 0,
    audio: bool = False,
) -> Path:
    """A clip of grey pictures that grow lighter; the container is chosen by the name."""
    options = {"g": "10", "bf": str(b_frames), "b_strategy": "0"}
    if codec == "libx265":
        options = {"x265-params": f"keyint=10:bframes={b_frames}:b-adapt=0:log-level=none:pools=1:rc-lookahead=5"}
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps, options=options)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        if codec == "mjpeg":
            stream.pix_fmt = "yuvj420p"
        sound = container.add_stream("aac", rate=48_000) if audio else None
        for number in range(frames):
            plane = np.full((height * 3 // 2, width), 40 + number % 180, dtype=np.uint8)
            frame = av.VideoFrame.from_ndarray(plane, format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if sound is not None:
            assert isinstance(sound, AudioStream)
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), dtype=np.float32), format="fltp", layout="mono")
            silence.sample_rate = 48_000
            container.mux(sound.encode(silence))
            container.mux(sound.encode(None))
    return path


def packets_of(path: Path) -> list[bytes]:
    """The video packets' bytes, in decode order."""
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(container.streams.video[0]) if packet.size]


def extradata_of(path: Path) -> bytes:
    """What libav says a decoder has to know."""
    with av.open(str(path)) as container:
        return container.streams.video[0].codec_context.extradata or b""
