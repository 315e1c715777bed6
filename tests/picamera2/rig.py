"""One attempt at the virtual camera, into sinks that remember and check."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import av

from edge_agent.capture.frames.hook import FrameHook
from edge_agent.capture.outputs import make_outputs
from edge_agent.capture.picamera.library import Platform
from edge_agent.capture.picamera.source import PicameraSource
from edge_agent.capture.report import CaptureReport, ReportState
from edge_agent.capture.source import SourceContext
from edge_agent.capture.stills import TakenPicture
from edge_agent.capture.timeline import MediaTimeline
from edge_agent.clock import SystemClock
from edge_agent.contract.access_unit import AccessUnit
from edge_agent.settings import CameraSettings
from tests.picamera2.virtual import virtual_library
from tests.support.polling import wait_until
from tests.unit.capture.fakes import RecordingSink

SMALL = {"name": "main", "source": "picamera2:0", "width": 640, "height": 360, "fps": 25, "bitrate_kbps": 1000}


@dataclass
class Rig:
    """A source, and where it writes."""

    settings: CameraSettings
    platform: Platform = "pisp"
    main: RecordingSink = field(default_factory=RecordingSink)
    proxy: RecordingSink = field(default_factory=RecordingSink)
    stop: threading.Event = field(default_factory=threading.Event)
    error: BaseException | None = None

    def __post_init__(self) -> None:
        clock = SystemClock()
        self.context = SourceContext(
            "nomad-07",
            clock,
            MediaTimeline(clock.monotonic_us()),
            report=CaptureReport("main"),
            frames=make_outputs(self.settings, clock, self.main, self.proxy if self.settings.proxy else None),
        )
        self.source = self.new_source()
        self.thread: threading.Thread | None = None

    @property
    def hook(self) -> FrameHook:
        assert self.context.frames is not None
        return self.context.frames.hook

    def new_source(self) -> PicameraSource:
        return PicameraSource(self.settings, self.context, lambda: virtual_library(self.platform))

    @property
    def report(self) -> ReportState:
        return self.context.report.state

    def start(self) -> None:
        self.error = None
        self.source = self.new_source()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.source.run(self.main, self.stop)
        except BaseException as error:  # noqa: BLE001 -- the test looks at it
            self.error = error

    def wait_for(self, pictures: int, sink: RecordingSink | None = None) -> None:
        """Until so many pictures more were written."""
        sink = sink or self.main
        goal = len(sink.units) + pictures

        def are_there() -> bool:
            assert self.error is None, self.error
            return len(sink.units) >= goal

        wait_until(are_there, what=f"{pictures} pictures")

    def still(self, wait_s: float = 5.0) -> TakenPicture:
        """A still, as the recorder takes it."""
        assert self.context.frames is not None
        return self.context.frames.stills.take(wait_s)

    def end(self, timeout_s: float = 10.0) -> None:
        self.stop.set()
        self.join(timeout_s)

    def join(self, timeout_s: float = 10.0) -> BaseException | None:
        """Until the attempt has ended; why it did."""
        assert self.thread is not None
        self.thread.join(timeout_s)
        assert not self.thread.is_alive(), "the attempt does not end"
        return self.error


@contextmanager
def recording(platform: Platform = "pisp", **settings: object) -> Iterator[Rig]:
    """A running attempt."""
    rig = Rig(CameraSettings.model_validate(SMALL | settings), platform)
    rig.start()
    try:
        yield rig
    finally:
        rig.end()


def decoded(units: list[AccessUnit]) -> list[av.VideoFrame]:
    """The pictures of access units, parameter sets in band."""
    decoder = av.CodecContext.create("h264", "r")
    frames = [frame for unit in units for frame in decoder.decode(av.Packet(unit.data))]
    return [*frames, *decoder.decode(None)]
