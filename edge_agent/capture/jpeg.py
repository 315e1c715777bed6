"""A picture as a JPEG that says who took it and when (Exif 2.32: times with their offset from UTC).

libav encodes, as it lets other threads run meanwhile: twelve million pixels take half a second and more on a board,
in which the camera's thread has pictures to look at (longest hold of the interpreter here: 14 ms, Pillow's 45 ms).
"""

import struct
from datetime import UTC, datetime
from fractions import Fraction

import av
from av.video.codeccontext import VideoCodecContext
from av.video.reformatter import ColorRange, VideoReformatter
from PIL import ExifTags, Image

from edge_agent.capture.libav import reason_of
from edge_agent.contract.ring_protocol import MAX_STILL_BYTES
from edge_agent.errors import SourceFormatError

_QUANTISERS = (2, 5, 12)
"""libav's scale of 2 (finest) to 31."""
_START_OF_IMAGE = b"\xff\xd8"
_APP1 = b"\xff\xe1"


def jpeg_of(frame: av.VideoFrame, taken_us: int, description: str, software: str) -> bytes:
    """The JPEG.

    Args:
        frame: of any format that libav converts.
        taken_us: µs since 1970, UTC.
        description: of what is seen, ASCII.
        software: what made it, ASCII.

    Raises:
        SourceFormatError: it cannot be encoded, or is larger than an answer may be, whatever its quality.
    """
    exif = _exif_segment(taken_us, description, software)
    try:
        picture = VideoReformatter().reformat(
            frame, frame.width, frame.height, "yuvj420p", dst_color_range=ColorRange.JPEG, threads=1
        )
        for quantiser in _QUANTISERS:
            coded = _encoded(picture, quantiser)
            if len(coded) + len(exif) <= MAX_STILL_BYTES:
                return _START_OF_IMAGE + exif + coded[len(_START_OF_IMAGE) :]
    except (av.FFmpegError, ValueError) as error:
        reason = reason_of(error) if isinstance(error, av.FFmpegError) else error
        raise SourceFormatError(f"a still cannot be encoded: {reason}") from error
    raise SourceFormatError(f"a still of {frame.width}×{frame.height} has over {MAX_STILL_BYTES} bytes")


def _encoded(picture: av.VideoFrame, quantiser: int) -> bytes:
    encoder = VideoCodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt = picture.width, picture.height, "yuvj420p"
    encoder.color_range = ColorRange.JPEG
    encoder.time_base = Fraction(1, 25)
    encoder.thread_count = 1
    encoder.options = {"qmin": str(quantiser), "qmax": str(quantiser)}
    picture.pts = 0
    return b"".join(bytes(packet) for packet in (*encoder.encode(picture), *encoder.encode(None)))


def _exif_segment(taken_us: int, description: str, software: str) -> bytes:
    """An APP1 segment (Exif 2.32 clause 4.7.2)."""
    taken = datetime.fromtimestamp(taken_us // 1_000_000, UTC)
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription] = description
    exif[ExifTags.Base.Software] = software
    details = exif.get_ifd(ExifTags.IFD.Exif)
    details[ExifTags.Base.DateTimeOriginal] = taken.strftime("%Y:%m:%d %H:%M:%S")
    details[ExifTags.Base.SubsecTimeOriginal] = f"{taken_us % 1_000_000 // 1000:03d}"
    details[ExifTags.Base.OffsetTimeOriginal] = "+00:00"
    body: bytes = exif.tobytes()
    return _APP1 + struct.pack(">H", len(body) + 2) + body
