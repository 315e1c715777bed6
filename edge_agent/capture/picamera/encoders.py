"""picamera2's two H.264 encoders, each let near pictures only that were looked at, and never waited for.

Which of the two a board has is `choice`'s. What is changed of them:

- a picture that the hook refused, or never saw, is not encoded (`encode`);
- a key frame can be asked of the software encoder: in picamera2 0.3.38 that sets a picture's type to a text, which
  PyAV 14 and newer refuse;
- the software encoder gets no scene cuts, so that key frames come when they are due, and a ceiling where one counts;
- the board's encoder is not waited for when it keeps all its buffers: that would hold the camera for ever.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
from av.video.frame import PictureType
from picamera2 import MappedArray
from picamera2.encoders import LibavH264Encoder

from edge_agent.capture.picamera.ledger import Ledger
from edge_agent.capture.picamera.outputs import QueueOutput
from edge_agent.capture.picamera.unit_queue import StreamName
from edge_agent.capture.picamera.watch import Seen

try:
    from picamera2.encoders.h264_encoder import H264Encoder
except ImportError:  # a picamera2 without it has no board to use it on
    H264Encoder = LibavH264Encoder

SeenOf = Callable[[object], Seen | None]


@dataclass(frozen=True, slots=True)
class EncodeWish:
    """What is asked of an encoder.

    Attributes:
        stream: which of the camera's sizes.
        fps: pictures a second that the camera gives.
        every: of them one in so many is encoded.
        bitrate_kbps: to keep to, or with `quality` the ceiling.
        gop_pictures: encoded pictures from key frame to key frame.
        profile: of H.264.
        quality: x264's rate factor; None: by bit rate.
        has_ceiling: no second takes more than `bitrate_kbps`; it costs half as much again on the camera's thread.
    """

    stream: StreamName
    fps: float
    every: int
    bitrate_kbps: int
    gop_pictures: int
    profile: str
    quality: float | None = None
    has_ceiling: bool = False


class SoftwareEncoder(LibavH264Encoder):  # type: ignore[misc]  # -- picamera2 has no types
    """libx264 through picamera2."""

    def __init__(self, wish: EncodeWish, seen_of: SeenOf, ledger: Ledger) -> None:
        """`seen_of` tells what is known of a picture, `ledger` is told of every one that is encoded."""
        rate = Fraction(wish.fps / wish.every).limit_denominator(1001)
        super().__init__(
            bitrate=wish.bitrate_kbps * 1000, iperiod=wish.gop_pictures, framerate=rate, profile=wish.profile
        )
        self.frame_skip_count = wish.every
        self.left_out = 0
        self._wish = wish
        self._seen_of = seen_of
        self._ledger = ledger
        self._key_asked = False

    def encode(self, stream: Any, request: Any) -> None:  # noqa: ANN401 -- picamera2 has no types
        """A picture of the camera."""
        if _admit(self._seen_of(request), self._wish.stream, self._ledger):
            super().encode(stream, request)

    def force_key_frame(self) -> None:
        """Make the next picture one at which decoding can begin; any thread may call it."""
        self._key_asked = True

    def _start(self) -> None:
        super()._start()
        context, wish = self._stream.codec_context, self._wish
        options = {"x264-params": f"keyint={wish.gop_pictures}:min-keyint=1:scenecut=0"}
        if wish.has_ceiling:
            options |= {"maxrate": f"{wish.bitrate_kbps}k", "bufsize": f"{wish.bitrate_kbps}k"}
        if wish.quality is not None:
            context.bit_rate = 0
            options["crf"] = f"{wish.quality:g}"
        context.options = context.options | options

    def _timestamp(self, request: Any) -> int:  # noqa: ANN401 -- picamera2 has no types
        stamp = super()._timestamp(request)
        _tell_first(self)
        return int(stamp)

    def _encode(self, stream: Any, request: Any) -> None:  # noqa: ANN401 -- picamera2 has no types
        if not self._key_asked:
            super()._encode(stream, request)
            return
        self._key_asked = False
        # As picamera2 does: libav may look at the camera's memory until the next picture.
        request.acquire()
        self._request_release_queue.append(request)
        stamp_us = self._timestamp(request)
        with MappedArray(request, stream) as mapped:
            frame = av.VideoFrame.from_numpy_buffer(mapped.array, format=self._av_input_format, width=self.width)
            frame = frame.reformat(format="yuv420p")
            frame.pts = stamp_us
            frame.pict_type = PictureType.I
            for packet in self._stream.encode(frame):
                self.outputframe(bytes(packet), packet.is_keyframe, timestamp=packet.pts, packet=packet)
        while len(self._request_release_queue) > self._request_release_delay:
            self._request_release_queue.popleft().release()


class BoardEncoder(H264Encoder):  # type: ignore[misc]  # -- picamera2 has no types
    """The VideoCore's, through V4L2; never run on a board here."""

    def __init__(self, wish: EncodeWish, seen_of: SeenOf, ledger: Ledger) -> None:
        """As of `SoftwareEncoder`."""
        super().__init__(
            bitrate=wish.bitrate_kbps * 1000, repeat=True, iperiod=wish.gop_pictures, profile=wish.profile
        )
        self.framerate = wish.fps / wish.every
        self.frame_skip_count = wish.every
        self.left_out = 0
        """Pictures that found none of the encoder's buffers free."""
        self._wish = wish
        self._seen_of = seen_of
        self._ledger = ledger

    def encode(self, stream: Any, request: Any) -> None:  # noqa: ANN401 -- picamera2 has no types
        """A picture of the camera."""
        if _admit(self._seen_of(request), self._wish.stream, self._ledger):
            super().encode(stream, request)

    def _timestamp(self, request: Any) -> int:  # noqa: ANN401 -- picamera2 has no types
        stamp = super()._timestamp(request)
        _tell_first(self)
        return int(stamp)

    def _encode(self, stream: Any, request: Any) -> None:  # noqa: ANN401 -- picamera2 has no types
        if self.buf_available.empty():
            self.left_out += 1
            return
        super()._encode(stream, request)


def _admit(seen: Seen | None, stream: StreamName, ledger: Ledger) -> bool:
    if seen is None or stream not in seen.fit:
        return False
    ledger.note(seen.sensor_us, seen.capture_us)
    return True


def _tell_first(encoder: Any) -> None:  # noqa: ANN401 -- picamera2 has no types
    """The output counts from where the encoder counts, which is known with its first picture."""
    output = encoder.output
    if isinstance(output, QueueOutput):
        output.first_us = encoder.firsttimestamp
