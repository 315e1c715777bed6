"""Recording with picamera2's encoders: one a stream, each into an output of the recorder's."""

import logging
import threading
from dataclasses import dataclass
from typing import Any

from edge_agent.capture.picamera.choice import NAMES, EncoderKind, note_failure
from edge_agent.capture.picamera.configuration import Given, configure, proxy_every
from edge_agent.capture.picamera.delivery import Delivery, outputs_of
from edge_agent.capture.picamera.judge import CameraJudge
from edge_agent.capture.picamera.layout import blamed
from edge_agent.capture.picamera.ledger import Ledger
from edge_agent.capture.picamera.library import Library
from edge_agent.capture.picamera.still_taker import StillTaker
from edge_agent.capture.picamera.unit_queue import StreamName, UnitQueue
from edge_agent.capture.picamera.watch import PictureWatch
from edge_agent.capture.source import SourceContext
from edge_agent.errors import SourceStalledError, SourceUnavailableError
from edge_agent.settings import CameraSettings

_log = logging.getLogger(__name__)

_WAIT_S = 0.4
_QUEUE_S = 10
_WEDGED_S = 3.0
_LEAST_OWED = 40
"""Pictures that an encoder with a thread a processor may hold back."""


@dataclass(slots=True)
class _Running:
    """An encoder and what it owes."""

    encoder: Any
    output: Any
    ledger: Ledger
    fps: float


class CodedRecording:
    """One attempt; `run` is its thread's, the rest any thread's."""

    def __init__(
        self, settings: CameraSettings, context: SourceContext, library: Library, kind: EncoderKind, why: str
    ) -> None:
        """`kind` is `board` or `software`, `why` says why."""
        self._settings = settings
        self._context = context
        self._library = library
        self._kind = kind
        self._why = why
        self._outputs = outputs_of(context)
        self._queue = UnitQueue(settings.bitrate_kbps * 125 * _QUEUE_S)
        self._running: list[_Running] = []
        self._delivery: Delivery | None = None

    def run(self, camera: Any, stop: threading.Event) -> None:  # noqa: ANN401 -- picamera2 has no types
        """Record until `stop` is set; the camera is still to be closed then, and `finish` called.

        Raises:
            SourceUnavailableError: an encoder does not start.
            SourceStalledError: no picture comes, from the camera or from its encoder.
            CaptureError: picamera2 failed, or pictures cannot be masked.
        """
        from edge_agent.capture.picamera.event_loop import EventLoop

        with_lores = self._outputs.proxy is not None
        given = configure(
            camera, self._library, self._settings, self._context, with_lores=with_lores, turns_here=True
        )
        every = proxy_every(self._settings, given.fps)
        self._delivery = Delivery(self._context, self._outputs, self._queue, given, every)
        self._context.activity.hand_over = self._delivery.hand_over
        streams: tuple[StreamName, ...] = (given.recorded,) if given.lores is None else (given.recorded, "lores")
        watch = PictureWatch(self._context.clock, self._outputs.hook, self._library.mapped, streams)
        stills = self._outputs.stills
        taker = StillTaker(self._settings, self._context, self._library, stills, turns_here=False)
        camera.pre_callback = lambda request: taker.look(request, watch.look(request))
        for stream in streams:
            self._start(camera, stream, watch, given, every)
        self._context.activity.request_key_frame = self._request_key_frame
        self._context.report.encoder(NAMES[self._kind], self._detail())
        loop = EventLoop()
        with taker.at_work(given), blamed(given.choice, self._context, watch.figures):
            camera.start_preview(loop)
            camera.start()
            judge = CameraJudge(
                self._context,
                watch.figures,
                watch.sensor_clock,
                given.fps,
                self._settings.stall_timeout_s,
                has_large_stills=given.has_large_stills,
            )
            while not stop.is_set():
                self._context.clock.wait(self._queue.urgent, _WAIT_S)
                self._delivery.deliver()
                judge.check(loop.failed, loop.fault)
                self._check_encoders()

    def finish(self) -> None:
        """The camera is closed: write what its encoders still gave.

        Raises:
            EdgeAgentError: from the sinks.
        """
        if self._delivery is not None:
            self._delivery.finish()
        left_out = {stream: self._queue.left_out(stream) for stream in ("main", "lores")}
        if any(left_out.values()):
            _log.warning("camera %s: left out for want of room: %s", self._settings.name, left_out)

    def _request_key_frame(self) -> None:
        """Have every stream begin a group of pictures soon: both of picamera2's encoders note it down."""
        for running in tuple(self._running):
            running.encoder.force_key_frame()

    def _start(
        self,
        camera: Any,  # noqa: ANN401 -- picamera2 has no types
        stream: StreamName,
        watch: PictureWatch,
        given: Given,
        every: int,
    ) -> None:
        from edge_agent.capture.picamera.encoders import BoardEncoder, EncodeWish, SoftwareEncoder
        from edge_agent.capture.picamera.outputs import QueueOutput

        settings, proxy = self._settings, self._settings.proxy
        is_main = stream == given.recorded or proxy is None
        gop_s = settings.gop_s if is_main or proxy is None else proxy.gop_s
        skip = 1 if is_main else every
        wish = EncodeWish(
            stream=stream,
            fps=given.fps,
            every=skip,
            bitrate_kbps=settings.bitrate_kbps if is_main or proxy is None else proxy.bitrate_kbps,
            gop_pictures=max(1, round(gop_s * given.fps / skip)),
            profile=settings.encoder.profile or "high",
            quality=settings.encoder.quality if is_main else None,
            has_ceiling=not is_main or settings.encoder.quality is not None,
        )
        ledger = Ledger()
        make = BoardEncoder if self._kind == "board" else SoftwareEncoder
        try:
            encoder = make(wish, watch.seen, ledger)
            output = QueueOutput(stream, self._queue, ledger, self._context.clock)
            camera.start_encoder(encoder, output, name=stream)
        except Exception as error:
            self._note_failure(f"it does not start: {type(error).__name__}: {error}")
            raise SourceUnavailableError(
                f"{NAMES[self._kind]} does not start: {error}; another program may use the board's encoder"
            ) from error
        self._running.append(_Running(encoder, output, ledger, given.fps))

    def _note_failure(self, detail: str) -> None:
        note_failure(self._context.report, self._kind, detail, self._context.clock.monotonic_us())

    def _detail(self) -> str:
        has_no_quality = self._kind == "board" and self._settings.encoder.quality is not None
        hint = "; it has no constant quality: camera.bitrate_kbps counts" if has_no_quality else ""
        return self._why + hint

    def _check_encoders(self) -> None:
        for running in self._running:
            owed = running.ledger.owed
            if owed > max(_LEAST_OWED, _WEDGED_S * running.fps):
                self._note_failure(f"it took {owed} pictures and gave none back")
                raise SourceStalledError(f"{NAMES[self._kind]} gives nothing any more; it is begun anew")
