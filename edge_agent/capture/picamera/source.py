"""`picamera2:0` a Raspberry Pi's camera, by picamera2's own encoders.

    sensor ─► libcamera ─► look: time, masks ─► picamera2's encoder ─► own output ─► queue ─► normaliser ─► ring
                                           ├──► the same for the small stream ─────────────► proxy's ring
                                           └──► copied when somebody asks ─► masks ─► still

Run with picamera2 0.3.38 on libcamera's virtual camera (scripts/test-picamera2), with its software encoder. The
board's encoder, real sensors and two sensors of a Pi 5 were never run here: on fakes alone.
"""

import logging
import threading
from collections.abc import Callable

from edge_agent.capture.picamera.address import sensor_number
from edge_agent.capture.picamera.choice import kind_for
from edge_agent.capture.picamera.coded_recording import CodedRecording
from edge_agent.capture.picamera.library import Library, load_library
from edge_agent.capture.picamera.pipeline_recording import PipelineRecording
from edge_agent.capture.picamera.session import opened
from edge_agent.capture.source import SourceContext
from edge_agent.contract.access_unit import StreamSink
from edge_agent.errors import SettingsError
from edge_agent.settings import CameraSettings

_log = logging.getLogger(__name__)


class PicameraSource:
    """One sensor; each `run` opens it anew."""

    def __init__(
        self, settings: CameraSettings, context: SourceContext, load: Callable[[], Library] = load_library
    ) -> None:
        """Nothing is loaded or opened yet.

        Raises:
            SettingsError: the address names no camera.
        """
        try:
            self._number = sensor_number(settings.source)
        except ValueError as error:
            raise SettingsError(f"camera {settings.name!r}: source: {error}") from error
        self._settings = settings
        self._context = context
        self._load = load

    def run(self, sink: StreamSink, stop: threading.Event) -> None:  # noqa: ARG002 -- pictures go through the hook
        """Record until `stop` is set.

        When the camera falls silent it is flushed, stopped and closed here, and the attempt ends; where that hangs,
        the supervisor ends the process.

        Raises:
            SourceUnavailableError: picamera2 is not installed, the camera is not there or in use, nothing encodes.
            SourceStalledError: no picture comes any more.
            SourceFormatError: what the camera gives cannot be encoded.
        """
        library = self._load()
        now_us = self._context.clock.monotonic_us()
        kind, why = kind_for(self._settings, library, self._context.report, now_us)
        _log.info("camera %s: encoder: %s: %s", self._settings.name, kind, why)
        recording: CodedRecording | PipelineRecording
        if kind == "pipeline":
            recording = PipelineRecording(self._settings, self._context, library)
        else:
            recording = CodedRecording(self._settings, self._context, library, kind, why)
        try:
            with opened(library, self._number, self._settings) as camera:
                recording.run(camera, stop)
        finally:
            recording.finish()
