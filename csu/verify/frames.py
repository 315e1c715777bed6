"""Decoding a part to its last picture; in memory are only those that the decoder itself keeps."""

import errno
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import av
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from csu.verify.progress import Progress, untold
from edge_agent.contract.access_unit import TIMESCALE_HZ
from edge_agent.contract.errors import FormatError

_THREADS = 2
_OF_THE_SYSTEM = {errno.EIO, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EAGAIN}
_FEW = 8
"""Pictures that one damaged one may take with it: others that the decoder still holds at the end."""
_ONE_IN = 10


@dataclass(frozen=True, slots=True)
class DecodedFrames:
    """What came out of the decoder.

    Attributes:
        count: pictures that came out, of those that the edit list shows.
        first_90k: presentation of the first one, from the beginning of the presentation.
        last_90k: presentation of the last one.
        corrupt: how many of them the decoder had to patch up.
    """

    count: int
    first_90k: int
    last_90k: int
    corrupt: int

    def are_plausible(self, shown: int) -> bool:
        """Whether what did not come out may have reached the unit damaged: single pictures, not most of a part."""
        return shown - max(_FEW, shown // _ONE_IN) <= self.count <= shown


def decode_frames(path: Path, progress: Progress = untold) -> DecodedFrames:
    """Decode everything that a player would show; as a player, go on behind what does not decode.

    Args:
        path: the part's file.
        progress: called for each picture.

    Raises:
        FormatError: the decoder refuses the file, or it holds no picture.
        OSError, MemoryError: the system lacks what decoding takes, which says nothing of the file.
    """
    try:
        return _decode(path, progress)
    except av.FFmpegError as error:
        if error.errno in _OF_THE_SYSTEM:
            raise
        raise FormatError(f"does not decode: {type(error).__name__}: {error}") from error
    except (ValueError, IndexError, OverflowError) as error:
        raise FormatError(f"does not decode: {type(error).__name__}: {error}") from error


def _share_out(video: VideoStream) -> None:
    """Decode one picture on each thread; PyAV would share out slices, of which most cameras write one a picture.

    Where pictures are reordered, one thread: the next one hands a picture out before it is marked as patched up
    (FFmpeg's h264dec.c, `finalize_frame`: 2 of 56 were missed, and none of 150 without reordering).
    """
    if video.codec_context.has_b_frames:
        video.thread_type, video.thread_count = "NONE", 1
    else:
        video.thread_type, video.thread_count = "FRAME", _THREADS


def _frames(container: InputContainer, video: VideoStream) -> Iterator[VideoFrame]:
    for packet in container.demux(video):
        with suppress(av.InvalidDataError):  # whoever counts sees that one is missing
            yield from packet.decode()


def _decode(path: Path, progress: Progress) -> DecodedFrames:
    count = corrupt = first_90k = last_90k = 0
    with av.open(str(path), options={"enable_drefs": "0", "protocol_whitelist": "file"}) as container:
        video = container.streams.video[0]
        _share_out(video)
        for frame in _frames(container, video):
            if frame.pts is None or frame.time_base is None:
                raise FormatError("a picture without a time came out of the decoder")
            time_90k = round(frame.pts * frame.time_base * TIMESCALE_HZ)
            first_90k = min(first_90k, time_90k) if count else time_90k
            last_90k = max(last_90k, time_90k) if count else time_90k
            count += 1
            corrupt += frame.is_corrupt
            progress()
    if not count:
        raise FormatError("no picture came out of the decoder")
    return DecodedFrames(count, first_90k, last_90k, corrupt)
