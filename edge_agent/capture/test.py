"""`test:` a drawn street, encoded here: for the demo, for tests, and for a unit whose camera is not there yet.

Each picture shows, as text and as a time code (`timecode`), the UTC of the monotonic instant that is its capture
time, so that what a clip shows can be checked against what it claims.
"""

import threading
from fractions import Fraction

import av

from edge_agent.capture import timecode
from edge_agent.capture.pipeline import FramePipeline
from edge_agent.capture.report import Configured
from edge_agent.capture.scene import Scene
from edge_agent.capture.source import SourceContext
from edge_agent.contract.access_unit import StreamSink
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

    def run(self, sink: StreamSink, stop: threading.Event) -> None:  # noqa: ARG002 -- nothing here is encoded already
        """Draw until `stop` is set.

        Raises:
            CaptureError: nothing encodes what is asked for.
        """
        context = self._context
        pipeline = FramePipeline(
            self._settings, context, self._width_px, self._height_px, float(self._fps), effort="least"
        )
        scene = Scene(self._width_px, self._height_px, f"{context.unit_id}  {self._settings.name}")
        context.report.configured(
            Configured("test:", "yuv420p", self._width_px, self._height_px, float(self._fps), "drawn here")
        )
        try:
            self._draw(pipeline, scene, stop)
        finally:
            pipeline.finish()

    def _draw(self, pipeline: FramePipeline, scene: Scene, stop: threading.Event) -> None:
        clock = self._context.clock
        start_us = clock.monotonic_us()
        number = 0
        while not stop.is_set():
            due_us = start_us + int(number * 1_000_000 / self._fps)
            wait_us = due_us - clock.monotonic_us()
            if wait_us > 0:
                clock.wait(stop, wait_us / 1e6)
                continue
            utc_us = clock.wall_us() - (clock.monotonic_us() - due_us)
            pipeline.push(av.VideoFrame.from_ndarray(scene.draw(utc_us, number), format="yuv420p"), due_us)
            late_us = clock.monotonic_us() - start_us
            # A machine that is too slow for the rate leaves pictures out, as a camera does, and stays in real time.
            number = max(number + 1, int(late_us * self._fps / 1_000_000))
