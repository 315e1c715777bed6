"""`test:` a drawn street, encoded here: for the demo, for tests, and for a unit whose camera is not there yet.

Each picture shows, as text and as a time code (`timecode`), the UTC of the monotonic instant that is its capture
time, so that what a clip shows can be checked against what it claims.
"""

import threading
from fractions import Fraction

import av
from av.video.codeccontext import VideoCodecContext

from edge_agent.capture import timecode
from edge_agent.capture.normaliser import Normaliser
from edge_agent.capture.packet import RawPacket
from edge_agent.capture.scene import Scene
from edge_agent.capture.source import SourceContext
from edge_agent.contract.access_unit import TIMESCALE_HZ, CodecConfig, StreamSink
from edge_agent.errors import SettingsError
from edge_agent.settings import CameraSettings

_DEFAULT_WIDTH_PX, _DEFAULT_HEIGHT_PX, _DEFAULT_FPS = 1280, 720, 25.0


class PatternSource:
    """Draws and encodes in real time until it is stopped."""

    def __init__(self, settings: CameraSettings, context: SourceContext) -> None:
        """Nothing is drawn yet.

        Raises:
            SettingsError: the picture is too small for the time code, or its sides are odd.
        """
        self._width_px = settings.width or _DEFAULT_WIDTH_PX
        self._height_px = settings.height or _DEFAULT_HEIGHT_PX
        self._fps = Fraction(settings.fps or _DEFAULT_FPS).limit_denominator(1001)
        if self._width_px % 2 or self._height_px % 2 or not timecode.fits(self._width_px, self._height_px):
            raise SettingsError(
                f"camera {settings.name!r}: test: cannot draw {self._width_px}×{self._height_px}; "
                "width and height must be even and at least 144×48"
            )
        self._settings = settings
        self._context = context

    def run(self, sink: StreamSink, stop: threading.Event) -> None:
        """Draw until `stop` is set."""
        encoder = self._open_encoder()
        config = CodecConfig(
            "h264", bytes(encoder.extradata or b""), self._width_px, self._height_px, float(self._fps)
        )
        normaliser = Normaliser(sink, self._context, config, Fraction(1, TIMESCALE_HZ))
        scene = Scene(self._width_px, self._height_px, f"{self._context.unit_id}  {self._settings.name}")
        clock = self._context.clock
        start_us = clock.monotonic_us()
        number = 0
        while not stop.is_set():
            due_us = start_us + int(number * 1_000_000 / self._fps)
            wait_us = due_us - clock.monotonic_us()
            if wait_us > 0:
                clock.wait(stop, wait_us / 1e6)
                continue
            self._push_picture(normaliser, encoder, scene, number, due_us)
            late_us = clock.monotonic_us() - start_us
            # A machine that is too slow for the rate leaves pictures out, as a camera does, and stays in real time.
            number = max(number + 1, int(late_us * self._fps / 1_000_000))
        normaliser.finish()

    def _push_picture(
        self, normaliser: Normaliser, encoder: VideoCodecContext, scene: Scene, number: int, due_us: int
    ) -> None:
        clock = self._context.clock
        utc_us = clock.wall_us() - (clock.monotonic_us() - due_us)
        picture = scene.draw(utc_us, number)
        frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
        stamp = int(number * TIMESCALE_HZ / self._fps)
        frame.pts, frame.time_base = stamp, Fraction(1, TIMESCALE_HZ)
        for packet in encoder.encode(frame):
            normaliser.push(
                RawPacket(
                    data=bytes(packet),
                    pts=stamp,
                    dts=stamp,
                    duration=int(TIMESCALE_HZ / self._fps),
                    is_key=packet.is_keyframe,
                    arrival_us=clock.monotonic_us(),
                    capture_us=due_us,
                )
            )

    def _open_encoder(self) -> VideoCodecContext:
        """libx264 with tune zerolatency: one picture in, one packet out, no B-frames."""
        settings = self._settings
        gop = max(1, round(settings.gop_s * self._fps))
        encoder = VideoCodecContext.create("libx264", "w")
        encoder.width, encoder.height, encoder.pix_fmt = self._width_px, self._height_px, "yuv420p"
        encoder.framerate, encoder.time_base = self._fps, Fraction(1, TIMESCALE_HZ)
        encoder.bit_rate = settings.bitrate_kbps * 1000
        encoder.gop_size = gop
        encoder.max_b_frames = 0
        encoder.thread_count = 1
        encoder.flags |= av.codec.context.Flags.global_header
        encoder.options = {
            "preset": "ultrafast",
            "tune": "zerolatency",
            "forced-idr": "1",
            "maxrate": f"{settings.bitrate_kbps}k",
            "bufsize": f"{settings.bitrate_kbps}k",
            "x264-params": f"keyint={gop}:min-keyint={gop}:scenecut=0:sliced-threads=0",
        }
        encoder.open()
        return encoder
