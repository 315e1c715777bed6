"""Decoding a part to its last picture, one picture in memory at a time."""

from dataclasses import dataclass
from pathlib import Path

import av

from edge_agent.contract.access_unit import TIMESCALE_HZ
from edge_agent.contract.errors import FormatError

_THREADS = 2


@dataclass(frozen=True, slots=True)
class DecodedFrames:
    """What came out of the decoder.

    Attributes:
        count: pictures that the edit list shows.
        first_90k: presentation of the first one, from the beginning of the presentation.
        last_90k: presentation of the last one.
        corrupt: pictures that the decoder had to patch up.
    """

    count: int
    first_90k: int
    last_90k: int
    corrupt: int


def decode_frames(path: Path) -> DecodedFrames:
    """Decode everything that a player would show.

    Raises:
        FormatError: the decoder refuses the file, or it holds no picture.
    """
    try:
        return _decode(path)
    except (av.FFmpegError, ValueError, IndexError, OverflowError, MemoryError) as error:
        raise FormatError(f"does not decode: {type(error).__name__}: {error}") from error


def _decode(path: Path) -> DecodedFrames:
    times_90k: list[int] = []
    corrupt = 0
    with av.open(str(path), options={"enable_drefs": "0", "protocol_whitelist": "file"}) as container:
        video = container.streams.video[0]
        video.thread_count = _THREADS
        for frame in container.decode(video):
            if frame.pts is None or frame.time_base is None:
                raise FormatError("a picture without a time came out of the decoder")
            times_90k.append(round(frame.pts * frame.time_base * TIMESCALE_HZ))
            corrupt += frame.is_corrupt
    if not times_90k:
        raise FormatError("no picture came out of the decoder")
    return DecodedFrames(len(times_90k), min(times_90k), max(times_90k), corrupt)
