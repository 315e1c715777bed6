"""A picture as a JPEG that says who took it and when (Exif 2.32: times with their offset from UTC)."""

import io
from datetime import UTC, datetime

import av
from PIL import ExifTags, Image

from edge_agent.contract.ring_protocol import MAX_STILL_BYTES
from edge_agent.errors import SourceFormatError

_QUALITIES = (92, 80, 60)


def jpeg_of(frame: av.VideoFrame, taken_us: int, description: str, software: str) -> bytes:
    """The JPEG.

    Args:
        frame: of any format that libav converts.
        taken_us: µs since 1970, UTC.
        description: of what is seen, ASCII.
        software: what made it, ASCII.

    Raises:
        SourceFormatError: it is larger than an answer may be, whatever its quality.
    """
    image: Image.Image = frame.to_image()  # type: ignore[no-untyped-call]  # PyAV has no types here
    exif = _exif(taken_us, description, software)
    for quality in _QUALITIES:
        written = io.BytesIO()
        image.save(written, format="JPEG", quality=quality, exif=exif)
        if written.tell() <= MAX_STILL_BYTES:
            return written.getvalue()
    raise SourceFormatError(f"a still of {frame.width}×{frame.height} has over {MAX_STILL_BYTES} bytes")


def _exif(taken_us: int, description: str, software: str) -> Image.Exif:
    taken = datetime.fromtimestamp(taken_us // 1_000_000, UTC)
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription] = description
    exif[ExifTags.Base.Software] = software
    details = exif.get_ifd(ExifTags.IFD.Exif)
    details[ExifTags.Base.DateTimeOriginal] = taken.strftime("%Y:%m:%d %H:%M:%S")
    details[ExifTags.Base.SubsecTimeOriginal] = f"{taken_us % 1_000_000 // 1000:03d}"
    details[ExifTags.Base.OffsetTimeOriginal] = "+00:00"
    return exif
