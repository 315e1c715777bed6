"""What capture hands to the buffer: codec configurations and dated access units.

Media time is in units of 1/90,000 s, on one monotonic time line a run (a run is one life of a recorder process):
decode times of a run strictly increase, over reconnections too, and presentation is never before decode.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

Codec = Literal["h264", "hevc"]
"""ITU-T H.264 and ITU-T H.265, named as libav names them."""

TIMESCALE_HZ = 90_000
"""Media time units a second (ISO/IEC 14496-12 `timescale`)."""

GapCause = Literal[
    "start",  # the ring's first segment: nothing was expected before it
    "boot",  # the unit was off: power cut or reboot
    "restart",  # the recorder process ended and came back within one boot
    "stopped",  # recording was ended on purpose
    "camera-lost",  # the source failed, was absent or fell silent
    "timestamp-jump",  # the source's time stamps jumped or wrapped
    "parameters-changed",  # codec configuration changed in band
    "overload",  # the disk could not keep up and whole groups of pictures were left out; or the recorder stood still
    "storage-error",  # the storage refused writes
    "rotation",  # nothing is missing: a segment reached its length
    "unknown",  # the files do not tell
]
"""Why footage is missing, or why a segment begins where it does."""


MAX_KEYS_BACK = 62
"""The farthest that `AccessUnit.keys_back` counts: one or two minutes of key pictures."""

NEVER_EXACT = 63
"""`AccessUnit.keys_back` where no key picture of the stream lies far enough back."""


@dataclass(frozen=True, slots=True)
class CodecConfig:
    """What a decoder has to know before the first access unit.

    Attributes:
        codec: the codec.
        extradata: `avcC`/`hvcC` record (samples are then length-prefixed) or Annex B parameter sets (samples are
            then Annex B), as libav's `AVCodecParameters.extradata`.
        width_px: coded picture width.
        height_px: coded picture height.
        frame_rate_fps: nominal frame rate; 0.0 when the source does not tell.
    """

    codec: Codec
    extradata: bytes
    width_px: int
    height_px: int
    frame_rate_fps: float


@dataclass(frozen=True, slots=True)
class AccessUnit:
    """One coded picture (ITU-T H.264 clause 3.1), unchanged since the encoder made it.

    Attributes:
        data: the coded bytes, framed as `CodecConfig.extradata` says.
        pts_90k: presentation time on the run's media time line.
        dts_90k: decode time on the run's media time line.
        duration_90k: time until the next picture in decode order, nominal when that is not known yet; > 0.
        is_key: decoding can begin here.
        capture_us: monotonic clock (`Clock.monotonic_us`) at which the picture was taken, as well as is known.
        keys_back: of a key picture from which pictures become exact only gradually (ITU-T H.264 D.2.8,
            `recovery_frame_cnt` over 0): how many key pictures before it decoding has to begin for it and what
            follows to be exact, 1 to `MAX_KEYS_BACK`, or `NEVER_EXACT`. 0 of every other picture.
        received_us: monotonic clock at which it was in hand, from which the time counts until it has to be durable;
            None of a source that hands it on at once.
    """

    data: bytes
    pts_90k: int
    dts_90k: int
    duration_90k: int
    is_key: bool
    capture_us: int
    keys_back: int = 0
    received_us: int | None = None


class StreamSink(Protocol):
    """Where a capture writes; implemented by the recorder around the ring. None of the calls blocks for long."""

    def start_stream(self, config: CodecConfig, cause: GapCause) -> None:
        """A continuous stream begins, or its parameters changed: the next unit opens a segment."""
        ...

    def write(self, unit: AccessUnit) -> None:
        """The next access unit in decode order; the first after `start_stream` is a key frame."""
        ...

    def end_stream(self, cause: GapCause, detail: str) -> None:
        """The stream ended: what is in hand is written and synced, and the gap that begins gets this cause."""
        ...
