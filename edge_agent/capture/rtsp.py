"""`rtsp://` and `rtsps://`: an IP camera's H.264 or H.265 as it comes, over TCP (RFC 2326, RFC 6184, RFC 7798).

libav speaks to the camera; nothing is decoded, and audio is not even asked for. Credentials go to libav in the
address and nowhere else: libav's exceptions carry the address, so they are translated here and never chained.

`rtsps://` is RTSP in TLS by libav (GnuTLS in PyAV's wheels). The certificate has to be signed by one in `ca_file`, or
by one of the system's, and be for the address's host; `tls_verify = false` gives up both and leaves encryption alone.
"""

import threading

import av
from av.container import InputContainer

from edge_agent.capture.address import CameraAddress
from edge_agent.capture.batch import Batch
from edge_agent.capture.hang_up import hang_up
from edge_agent.capture.libav import config_of, first_video, raw_packet, reason_of, time_base_of
from edge_agent.capture.normaliser import Normaliser
from edge_agent.capture.redact import redact
from edge_agent.capture.source import SourceContext
from edge_agent.contract.access_unit import StreamSink
from edge_agent.errors import (
    CaptureError,
    SettingsError,
    SourceFormatError,
    SourceStalledError,
    SourceUnavailableError,
)
from edge_agent.settings import CameraSettings

_GENERATE_PTS = 0x0001  # AVFMT_FLAG_GENPTS of libavformat/avformat.h, which PyAV sets
Came = tuple["av.Packet[av.VideoStream]", int, int]
"""A packet, when it began to come, and when it was in hand."""

_REFUSED = (av.HTTPUnauthorizedError, av.HTTPForbiddenError)


class RtspSource:
    """One connection to a camera."""

    def __init__(self, settings: CameraSettings, context: SourceContext) -> None:
        """Nothing is opened yet.

        Raises:
            SettingsError: the address has no usable host.
        """
        try:
            self._address = CameraAddress.parse(settings.source)
        except ValueError as error:
            raise SettingsError(f"camera {settings.name!r}: source: {redact(settings.source)!r}: {error}") from error
        self._settings = settings
        self._context = context
        self._failure: Exception | None = None
        """Of the last pictures, whoever handed them over."""
        self._name = redact(f"{self._address.scheme}://{self._address.place}")

    def run(self, sink: StreamSink, stop: threading.Event) -> None:
        """Connect, and hand on what comes until `stop` is set.

        Raises:
            SourceUnavailableError: absent, refused, or closed by the camera.
            SourceStalledError: connected, and silent for longer than `stall_timeout_s`; the supervisor hangs up
                before, as a rule.
            SourceFormatError: no H.264 or H.265 video.
        """
        failure: CaptureError | None = None
        try:
            with self._open() as container:
                self._read(container, sink, stop)
        except (av.FFmpegError, OSError) as error:
            failure = self._translate(error)
        # Raised out here, so that libav's exception, which holds the password, is not even its context.
        if self._failure is not None:
            raise self._failure
        if failure is not None:
            raise failure

    def _open(self) -> InputContainer:
        settings = self._settings
        # The longer of the two, for the first answers have the connection's time: of a shorter stall the supervisor
        # hangs up. PyAV's own time-out for reading is not used, see `hang_up`.
        silence_us = round(max(settings.connect_timeout_s, settings.stall_timeout_s) * 1e6)
        options = {
            "rtsp_transport": "tcp",
            "allowed_media_types": "video",
            "fpsprobesize": "0",
            "timeout": str(silence_us),
        }
        if self._address.scheme == "rtsps":
            options["tls_verify"] = "1" if settings.tls_verify else "0"
            if settings.ca_file is not None:
                options["ca_file"] = str(settings.ca_file)
        timeouts_s = (settings.connect_timeout_s, None)
        return av.open(self._address.for_libav(), "r", format="rtsp", options=options, timeout=timeouts_s)

    def _read(self, container: InputContainer, sink: StreamSink, stop: threading.Event) -> None:
        stream = first_video(container, self._name, "set the camera to H.264 or H.265")
        container.flags &= ~_GENERATE_PTS  # libav would hold packets back to guess; the normaliser dates them
        depth = int(stream.codec_context.reorder_depth)
        context = self._context
        normaliser = Normaliser(sink, context, config_of(stream), time_base_of(stream), reorder_depth=depth)
        batch: Batch[Came] = Batch(lambda came: normaliser.push(raw_packet(*came)))
        context.activity.hand_over = batch.hand_over
        context.activity.interrupt = hang_up
        try:
            self._pump(container, stream, batch, stop)
        finally:
            batch.hand_over()
            self._failure = batch.failure
            normaliser.finish()

    def _pump(
        self, container: InputContainer, stream: av.VideoStream, batch: Batch[Came], stop: threading.Event
    ) -> None:
        clock = self._context.clock
        # libav's parser hands a picture on when the next one begins: what is in hand now began to arrive when the
        # picture before was handed on.
        began_us = clock.monotonic_us()
        if stop.is_set():  # told while the camera was being opened: nobody may hang up on the first read
            return
        for packet in container.demux(stream):
            if stop.is_set():
                return
            now_us = clock.monotonic_us()
            if packet.size:
                self._context.activity.touch(now_us)
                batch.push((packet, began_us, now_us), now_us, is_urgent=packet.is_keyframe)
            began_us = now_us
        if stop.is_set():
            return
        raise SourceUnavailableError(f"{self._name}: the camera closed the stream")

    def _translate(self, error: av.FFmpegError | OSError) -> CaptureError:
        name, settings = self._name, self._settings
        if isinstance(error, _REFUSED):
            return SourceUnavailableError(f"{name}: the camera refused user or password; mend them in camera.source")
        if isinstance(error, av.HTTPNotFoundError):
            return SourceUnavailableError(f"{name}: the camera has no such path; mend camera.source")
        last_us = self._context.activity.last_us
        if isinstance(error, (av.ExitError, TimeoutError)) and last_us is None:
            return SourceUnavailableError(f"{name}: no answer in {settings.connect_timeout_s:g} s")
        silent_s = (self._context.clock.monotonic_us() - (last_us or 0)) / 1e6
        if isinstance(error, TimeoutError) or (last_us is not None and silent_s >= settings.stall_timeout_s):
            return SourceStalledError(f"{name}: connected, but silent for {silent_s:.0f} s")
        if isinstance(error, av.InvalidDataError):
            return SourceFormatError(f"{name}: what comes is not RTSP video: {reason_of(error)}")
        reason = reason_of(error)
        if self._address.scheme == "rtsps":
            reason += "; if the certificate is not trusted, set camera.ca_file or camera.tls_verify"
        return SourceUnavailableError(f"{name}: {reason}")
