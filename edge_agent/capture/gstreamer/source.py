"""`gstreamer:` a pipeline as a camera: what a technician writes, or a Jetson's own camera (`gstreamer:argus`).

The pipeline runs in a process of its own (`process`, `pipeline_child`), so that a library that hangs, crashes or
prints rubbish takes nothing of the recorder with it. What it encodes is recorded as it comes, other pictures are
encoded here. Tried with GStreamer 1.22 on x86; `gstreamer:argus` was never run on a Jetson.
"""

import logging
import signal
import threading

from edge_agent.capture.gstreamer.address import ArgusCamera, parse
from edge_agent.capture.gstreamer.faults import fault_of
from edge_agent.capture.gstreamer.framing import Kind, Record
from edge_agent.capture.gstreamer.messages import Caps, End, Event, read_message
from edge_agent.capture.gstreamer.outputs import CodedOutput, Output, PictureOutput
from edge_agent.capture.gstreamer.pictures import picture_reader
from edge_agent.capture.gstreamer.process import Child, Order, running
from edge_agent.capture.gstreamer.stamps import StampJudge
from edge_agent.capture.gstreamer.telling import Teller
from edge_agent.capture.gstreamer.trial import working_pipeline
from edge_agent.capture.pipeline import FramePipeline
from edge_agent.capture.redact import redact
from edge_agent.capture.source import SourceContext
from edge_agent.contract.access_unit import Codec, StreamSink
from edge_agent.contract.errors import FormatError
from edge_agent.errors import SettingsError, SourceFormatError, SourceUnavailableError
from edge_agent.settings import CameraSettings

_log = logging.getLogger(__name__)

_RECORDED: dict[str, Codec] = {"h264": "h264", "hevc": "hevc"}
_DEFAULT_FPS = 25.0
_MAX_WARNINGS = 8
"""That are logged an attempt, each once."""


class GstreamerSource:
    """One pipeline; each `run` starts it anew."""

    def __init__(self, settings: CameraSettings, context: SourceContext) -> None:
        """Nothing is started yet.

        Raises:
            SettingsError: the address names no pipeline.
        """
        try:
            self._address = parse(settings.source)
        except ValueError as error:
            raise SettingsError(f"camera {settings.name!r}: source: gstreamer: {error}") from error
        self._settings = settings
        self._context = context
        self._child: Child | None = None
        """While one runs. One reference, swapped whole."""

    def run(self, sink: StreamSink, stop: threading.Event) -> None:
        """Run the pipeline, and hand on what it gives until `stop` is set.

        Raises:
            SourceUnavailableError: the camera, GStreamer, a device is not there; the pipeline failed or ended.
            SourceFormatError: the pipeline cannot be built, or what comes cannot be recorded.
        """
        description = self._description(stop)
        if stop.is_set():
            return
        with running(Order(description, settle_s=self._settings.connect_timeout_s)) as child:
            self._child = child
            self._context.activity.interrupt = child.kill
            self._context.activity.request_key_frame = self.request_key_frame
            try:
                _Attempt(self._name, self._turned(), self._context, child, sink).run(stop)
            finally:
                self._child = None

    def request_key_frame(self) -> None:
        """Ask the pipeline's encoder for a key frame; any thread may call it, and it promises nothing."""
        child = self._child
        if child is not None:
            child.ask_key()

    @property
    def _name(self) -> str:
        return "gstreamer:argus" if isinstance(self._address, ArgusCamera) else "gstreamer"

    def _turned(self) -> CameraSettings:
        """The settings as they are left for the pictures that come: Argus' were turned by the board."""
        if isinstance(self._address, str):
            return self._settings
        return self._settings.model_copy(update={"rotation_deg": 0, "hflip": False, "vflip": False})

    def _description(self, stop: threading.Event) -> str:
        if isinstance(self._address, str):
            return self._address
        return working_pipeline(self._address, self._settings, self._context, stop)


class _Attempt:
    """What one run of a pipeline says, acted upon."""

    def __init__(
        self, name: str, settings: CameraSettings, context: SourceContext, child: Child, sink: StreamSink
    ) -> None:
        self._name = name
        self._settings = settings
        self._context = context
        self._child = child
        self._sink = sink
        self._judge = StampJudge(context.clock.boottime_of_monotonic_us)
        self._output: Output | None = None
        self._codec = ""
        self._teller = Teller(settings, context.report)
        self._fault: Event | None = None
        """The first error; what follows it are consequences."""
        self._warned: set[tuple[str, int | str, str]] = set()

    def run(self, stop: threading.Event) -> None:
        """Until the pipeline ends, or until it ended because `stop` was set."""
        try:
            end = self._follow(stop)
        except FormatError as error:
            raise SourceUnavailableError(self._said(f"what its process says is not understood: {error}")) from error
        finally:
            if self._output is not None:
                self._output.finish()
        if stop.is_set():
            return
        if self._fault is not None:
            raise fault_of(self._name, self._fault, self._child.words)
        if end is None:
            raise SourceUnavailableError(self._said(f"its process {_manner_of(self._child.wait())}"))
        raise SourceUnavailableError(self._said("the pipeline came to its end"))

    def _follow(self, stop: threading.Event) -> End | None:
        """Act on records until the last one; None when it is missing."""
        asked = False
        while (record := self._child.reader.read()) is not None:
            if record.kind is Kind.UNIT:
                self._take(record)
            elif record.kind is Kind.CAPS:
                self._begin(read_message(Caps, record.payload))
            elif record.kind is Kind.EVENT:
                self._note(read_message(Event, record.payload))
            elif record.kind is Kind.END:
                return read_message(End, record.payload)
            elif record.kind is Kind.PICTURE:
                raise FormatError("a picture for an encoder came out of a pipeline")
            if stop.is_set() and not asked:
                self._child.ask_end()
                asked = True
        return None

    def _take(self, unit: Record) -> None:
        if self._output is None:
            raise FormatError("a unit came before it was said what it is")
        arrival_us = self._context.clock.monotonic_us()
        self._context.activity.touch(arrival_us)
        if unit.payload:
            self._output.take(unit, arrival_us)
        pace = self._teller.counted(arrival_us, self._judge.doubt)
        if pace is not None and pace.runs_free:
            raise SourceFormatError(
                self._said(f"{pace.fps:.0f} pictures a second come: it runs free; put ! clocksync at its end")
            )

    def _begin(self, caps: Caps) -> None:
        """Units of this kind follow."""
        if self._output is not None:
            if caps.codec != self._codec or caps.codec == "raw":
                raise SourceUnavailableError(self._said(f"its pictures changed to {caps.caps[:200]}"))
            return  # parameter sets come in band
        self._codec = caps.codec
        self._teller.begun(self._name, caps)
        self._output = self._output_for(caps)

    def _output_for(self, caps: Caps) -> Output:
        codec = _RECORDED.get(caps.codec)
        if codec is not None:
            return CodedOutput(self._sink, self._context, codec, caps, self._judge)
        reader = picture_reader(self._name, caps)
        fps = caps.fps or self._settings.fps or _DEFAULT_FPS
        frames = FramePipeline(self._settings, self._context, caps.width, caps.height, fps)
        return PictureOutput(reader, frames, self._judge)

    def _note(self, event: Event) -> None:
        if event.severity == "error":
            self._fault = self._fault or event
            return
        key = (event.domain, event.code, event.element)
        if key not in self._warned and len(self._warned) < _MAX_WARNINGS:
            self._warned.add(key)
            _log.warning("camera %s: %s: %s", self._settings.name, event.element, redact(event.message))

    def _said(self, sentence: str) -> str:
        words = self._child.words
        return redact(f"{self._name}: {sentence}" + (f"; it printed: {words}" if words else ""))


def _manner_of(code: int) -> str:
    """How a process ended, for people."""
    if code >= 0:
        return f"ended with {code} and without a word"
    known = {number.value for number in signal.Signals}
    return f"was ended by {signal.Signals(-code).name if -code in known else f'signal {-code}'}"
