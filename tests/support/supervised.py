"""A camera recorded in this process: supervised in a thread, or in one attempt; and what was recorded, decoded."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import av

from edge_agent.capture.outputs import make_outputs
from edge_agent.capture.report import CaptureReport
from edge_agent.capture.source import SourceContext
from edge_agent.capture.supervisor import CaptureState, CaptureSupervisor
from edge_agent.capture.table import open_source
from edge_agent.capture.timeline import MediaTimeline
from edge_agent.clock import SystemClock
from edge_agent.contract.access_unit import AccessUnit, CodecConfig
from edge_agent.settings import CameraSettings
from tests.support.polling import wait_until
from tests.unit.capture.fakes import RecordingSink

_PATIENCE_S = 60.0
_END_S = 20.0
StartCapture = Callable[..., "Capture"]
"""Takes a source and settings of the camera."""


def _settings(source: str, settings: dict[str, object]) -> CameraSettings:
    fields = {"connect_timeout_s": 15.0, "stall_timeout_s": 2.0} | settings
    return CameraSettings.model_validate({"name": "main", "source": source} | fields)


class Capture:
    """A supervised camera in a thread."""

    def __init__(self, source: str, **settings: object) -> None:
        self.clock = SystemClock()
        camera = _settings(source, settings)
        self.sink = RecordingSink()
        self.report = CaptureReport("main")
        context = SourceContext(
            "nomad-07",
            self.clock,
            MediaTimeline(self.clock.monotonic_us()),
            report=self.report,
            frames=make_outputs(camera, self.clock, self.sink),
        )
        self.supervisor = CaptureSupervisor(camera, context, self.sink, self.clock)
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.supervisor.run, args=(self.stop,))
        self.thread.start()

    def until(self, probe: Callable[[CaptureState], object], what: str) -> CaptureState:
        """Wait for a state."""
        wait_until(lambda: probe(self.supervisor.state()), what=what, timeout_s=_PATIENCE_S)
        return self.supervisor.state()

    def until_units(self, count: int) -> list[AccessUnit]:
        """Wait until so many pictures were recorded since it began."""
        wait_until(lambda: len(self.sink.units) >= count, what=f"{count} pictures", timeout_s=_PATIENCE_S)
        return self.sink.units

    def end(self) -> float:
        """Stop it; how many seconds that took."""
        began_us = self.clock.monotonic_us()
        self.stop.set()
        self.thread.join(_END_S)
        assert not self.thread.is_alive()
        return (self.clock.monotonic_us() - began_us) / 1e6


@contextmanager
def captures() -> Iterator[StartCapture]:
    """Starts cameras, and ends them all when the block is left."""
    started: list[Capture] = []

    def start(source: str, **settings: object) -> Capture:
        started.append(Capture(source, **settings))
        return started[-1]

    yield start
    for one in started:
        one.end()


def run_once(
    source: str, stop: threading.Event | None = None, sink: RecordingSink | None = None, **settings: object
) -> None:
    """One attempt, without a supervisor."""
    clock = SystemClock()
    context = SourceContext("nomad-07", clock, MediaTimeline(clock.monotonic_us()))
    open_source(_settings(source, settings), context).run(sink or RecordingSink(), stop or threading.Event())


def decode_all(config: CodecConfig, units: list[AccessUnit]) -> list[av.VideoFrame]:
    """The pictures of a stream."""
    decoder = av.CodecContext.create(config.codec, "r")
    assert isinstance(decoder, av.VideoCodecContext)
    decoder.extradata = config.extradata
    frames = [frame for unit in units for frame in decoder.decode(av.Packet(unit.data))]
    return frames + decoder.decode(None)
