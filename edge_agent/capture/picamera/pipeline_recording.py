"""Recording with the recorder's own encoders.

For what picamera2's cannot do: H.265, quarter turns, another order, a proxy beside full-size stills.
"""

import contextlib
import threading
from typing import Any

from edge_agent.capture.picamera.configuration import configure
from edge_agent.capture.picamera.delivery import outputs_of
from edge_agent.capture.picamera.judge import CameraJudge
from edge_agent.capture.picamera.layout import blamed
from edge_agent.capture.picamera.library import Library
from edge_agent.capture.picamera.pictures import PictureCopier
from edge_agent.capture.picamera.still_taker import StillTaker
from edge_agent.capture.pipeline import FramePipeline
from edge_agent.capture.source import SourceContext
from edge_agent.settings import CameraSettings

_WAIT_S = 0.2


class PipelineRecording:
    """One attempt."""

    def __init__(self, settings: CameraSettings, context: SourceContext, library: Library) -> None:
        """Nothing is begun yet."""
        self._settings = settings
        self._context = context
        self._library = library
        self._pipeline: FramePipeline | None = None

    def run(self, camera: Any, stop: threading.Event) -> None:  # noqa: ANN401 -- picamera2 has no types
        """Record until `stop` is set.

        Raises:
            SourceUnavailableError: nothing encodes what is asked for.
            SourceStalledError: no picture comes.
            CaptureError: picamera2 or every encoder failed, or pictures cannot be masked.
        """
        from edge_agent.capture.picamera.event_loop import EventLoop

        settings, context = self._settings, self._context
        given = configure(camera, self._library, settings, context, with_lores=False, turns_here=False)
        pipeline = self._pipeline = FramePipeline(settings, context, *given.size, given.fps)
        copier = PictureCopier(context.clock, self._library.mapped, given.recorded)
        taker = StillTaker(settings, context, self._library, outputs_of(context).stills, turns_here=True)
        camera.pre_callback = lambda request: taker.look(request, copier.look(request))
        loop = EventLoop()
        with contextlib.ExitStack() as attempt:
            if given.has_large_stills:  # else they are what `FramePipeline` records
                attempt.enter_context(taker.at_work(given))
            attempt.enter_context(blamed(given.choice, context, copier.figures))
            camera.start_preview(loop)
            camera.start()
            judge = CameraJudge(
                context,
                copier.figures,
                copier.sensor_clock,
                given.fps,
                settings.stall_timeout_s,
                has_large_stills=given.has_large_stills,
            )
            while not stop.is_set():
                context.clock.wait(copier.ready, _WAIT_S)
                while (taken := copier.take()) is not None and not stop.is_set():
                    pipeline.push(*taken)
                judge.check(loop.failed, loop.fault)

    def finish(self) -> None:
        """The camera is closed: write what the encoders still hold.

        Raises:
            EdgeAgentError: from the sinks.
        """
        if self._pipeline is not None:
            self._pipeline.finish()
