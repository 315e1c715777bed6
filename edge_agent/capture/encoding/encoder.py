"""What every encoder is asked for, and what it gives back."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, Protocol

import av

from edge_agent.camera_settings import EncoderName, Profile
from edge_agent.contract.access_unit import Codec

Effort = Literal["least", "usual"]


@dataclass(frozen=True, slots=True)
class EncodeOrder:
    """What is asked for.

    Attributes:
        codec: of the stream.
        width_px: of the pictures; even.
        height_px: of the pictures; even.
        fps: nominal pictures a second.
        bitrate_kbps: constant, or the ceiling where `quality` is given.
        gop_pictures: from key frame to key frame.
        profile: of H.264; None: high.
        quality: constant quality; None: constant bit rate.
        effort: of a software encoder; `least` for what is small or drawn.
    """

    codec: Codec
    width_px: int
    height_px: int
    fps: Fraction
    bitrate_kbps: int
    gop_pictures: int
    profile: Profile | None = None
    quality: float | None = None
    effort: Effort = "usual"


@dataclass(frozen=True, slots=True)
class EncodedPicture:
    """A coded picture; parameter sets stand before every key frame.

    Attributes:
        data: Annex B.
        pts: that of its frame, in 1/90,000 s.
        dts: decode time on the same line.
        is_key: decoding can begin here.
    """

    data: bytes
    pts: int
    dts: int
    is_key: bool


class Encoder(Protocol):
    """One encoder at work. All but `kill` is one thread's."""

    @property
    def detail(self) -> str:
        """What of its order it does not follow; empty when it follows all."""
        ...

    def encode(self, frame: av.VideoFrame, *, is_key: bool) -> list[EncodedPicture]:
        """Give it a picture (`yuv420p`, `pts` in 1/90,000 s, rising), and take what is ready.

        Args:
            frame: its memory is not changed.
            is_key: a key frame is asked for.

        Raises:
            CaptureError: it failed, and will not work again.
        """
        ...

    def finish(self) -> list[EncodedPicture]:
        """What it still held.

        Raises:
            CaptureError: it failed.
        """
        ...

    def kill(self) -> None:
        """End it, also while another thread waits in it, as far as it can be ended; raises nothing."""
        ...


OpenEncoder = Callable[[EncodeOrder], Encoder]
"""Opens one of a kind; raises `CaptureError` when that kind does not work here, or does not make what is asked."""


@dataclass(frozen=True, slots=True)
class EncoderKind:
    """A kind of encoder.

    Attributes:
        name: as in the settings.
        open: opens one.
    """

    name: EncoderName
    open: OpenEncoder
