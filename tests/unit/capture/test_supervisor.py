import threading
from collections.abc import Callable, Iterator, Sequence

import pytest

from edge_agent.capture.coded import CodedPath
from edge_agent.capture.source import Source, SourceContext
from edge_agent.capture.supervisor import CaptureState, CaptureSupervisor
from edge_agent.clock import SystemClock
from edge_agent.contract.access_unit import AccessUnit, StreamSink
from edge_agent.errors import (
    EncodersHangError,
    RingStorageError,
    SettingsError,
    SourceFormatError,
    SourceUnavailableError,
)
from edge_agent.settings import CameraSettings
from tests.support.polling import wait_until
from tests.unit.capture.fakes import RecordingSink, make_config, make_context, make_frame_context

Step = Callable[[SourceContext, StreamSink, threading.Event], None]
CAMERA = CameraSettings(name="main", source="file:unused", connect_timeout_s=0.2, stall_timeout_s=0.3)


class Script:
    """A source whose attempts are functions, one after the other; the last one repeats."""

    def __init__(self, *steps: Step) -> None:
        self._steps: Sequence[Step] = steps
        self.attempts = 0
        self.causes: list[str] = []

    def open(self, _camera: CameraSettings, context: SourceContext) -> Source:
        script = self

        class Scripted:
            def run(self, sink: StreamSink, stop: threading.Event) -> None:
                step = script._steps[min(script.attempts, len(script._steps) - 1)]
                script.attempts += 1
                script.causes.append(context.cause)
                step(context, sink, stop)

        return Scripted()


def play(context: SourceContext, sink: StreamSink, stop: threading.Event) -> None:
    """A camera that works."""
    sink.start_stream(make_config(), context.cause)
    while not stop.is_set():
        write_one(context, sink)
        stop.wait(0.01)


def write_one(context: SourceContext, sink: StreamSink) -> None:
    now_us = context.clock.monotonic_us()
    context.activity.touch(now_us)
    dts_90k = context.timeline.last_dts_90k + 900
    context.timeline.wrote(dts_90k, 900)
    sink.write(AccessUnit(b"\x00\x00\x01\x65", dts_90k, dts_90k, 900, True, now_us))


def absent(_context: SourceContext, _sink: StreamSink, _stop: threading.Event) -> None:
    raise SourceUnavailableError("192.0.2.7: no answer")


def play_one_then_end(context: SourceContext, sink: StreamSink, _stop: threading.Event) -> None:
    sink.start_stream(make_config(), context.cause)
    write_one(context, sink)


class Run:
    """A supervisor in a thread."""

    def __init__(
        self,
        script: Script,
        sink: RecordingSink | None = None,
        camera: CameraSettings = CAMERA,
        *,
        encodes_here: bool = False,
    ) -> None:
        self.sink = sink or RecordingSink()
        clock = SystemClock()
        context = make_frame_context(camera, self.sink, clock) if encodes_here else make_context(clock)
        self.supervisor = CaptureSupervisor(camera, context, self.sink, clock, script.open)
        self.stop = threading.Event()
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.supervisor.run(self.stop)
        except RingStorageError as error:
            self.error = error

    def until(self, probe: Callable[[CaptureState], object], what: str) -> CaptureState:
        wait_until(lambda: probe(self.supervisor.state()), what=what)
        return self.supervisor.state()

    def end(self) -> float:
        """Stop; how long it took, in seconds."""
        clock = SystemClock()
        began_us = clock.monotonic_us()
        self.stop.set()
        self.thread.join(20)
        assert not self.thread.is_alive()
        return (clock.monotonic_us() - began_us) / 1e6


@pytest.fixture
def start() -> Iterator[Callable[..., Run]]:
    runs: list[Run] = []

    def make(
        script: Script,
        sink: RecordingSink | None = None,
        camera: CameraSettings = CAMERA,
        *,
        encodes_here: bool = False,
    ) -> Run:
        runs.append(Run(script, sink, camera, encodes_here=encodes_here))
        return runs[-1]

    yield make
    for run in runs:
        run.end()


def test_a_working_camera_is_connected_until_it_is_stopped(start: Callable[..., Run]) -> None:
    run = start(Script(play))
    state = run.until(lambda state: state.connected, "connected")
    assert state.cause is None
    assert state.last_frame_us is not None
    assert state.config == make_config()
    assert run.end() < 1.0
    assert run.sink.causes == ["start"]
    assert run.sink.ends == [("stopped", "recording was stopped")]
    assert not run.supervisor.state().connected


def test_a_camera_that_is_absent_at_first_is_retried(start: Callable[..., Run]) -> None:
    script = Script(absent, absent, play)
    run = start(script)
    state = run.until(lambda state: state.connected, "connected")
    assert state.restarts == 2
    assert script.causes == ["start", "camera-lost", "camera-lost"]
    assert run.sink.ends[:2] == [("camera-lost", "192.0.2.7: no answer")] * 2
    assert run.sink.causes == ["camera-lost"]


def test_the_state_says_why_there_is_no_picture(start: Callable[..., Run]) -> None:
    run = start(Script(absent))
    state = run.until(lambda state: state.cause, "a cause")
    assert (state.connected, state.cause, state.detail) == (False, "camera-lost", "192.0.2.7: no answer")
    assert run.end() < 1.0


class StoppableClock(SystemClock):
    """The clock of a process that is stopped in the midst of a wait, once `stop_us` is set."""

    stop_us = 0

    def __init__(self) -> None:
        self.goes_on = threading.Event()
        self._stopped_us = 0

    def monotonic_us(self) -> int:
        return super().monotonic_us() + self._stopped_us

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        if self.stop_us and not self._stopped_us:
            self._stopped_us = self.stop_us
            self.goes_on.set()
        return super().wait(event, timeout_s)


def test_a_stream_that_a_standstill_of_the_recorder_ended_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = StoppableClock()
    monkeypatch.setattr("tests.unit.capture.test_supervisor.SystemClock", lambda: clock)

    def stopped(context: SourceContext, sink: StreamSink, _stop: threading.Event) -> None:
        sink.start_stream(make_config(), context.cause)
        write_one(context, sink)
        assert clock.goes_on.wait(60)
        write_one(context, sink)
        raise SourceUnavailableError("192.0.2.7: hung up")

    script = Script(stopped, play)
    run = Run(script)
    try:
        run.until(lambda state: state.connected, "connected")
        clock.stop_us = 30_000_000
        run.until(lambda state: state.connected and state.restarts == 1, "connected again")
    finally:
        run.end()
    cause, detail = run.sink.ends[0]
    assert cause == "overload"
    assert detail.startswith("the recorder itself stood still for ")
    assert run.sink.causes == ["start", "overload"]


def test_a_source_that_ends_is_started_again(start: Callable[..., Run]) -> None:
    run = start(Script(play_one_then_end, play))
    run.until(lambda state: state.connected and state.restarts == 1, "connected again")
    assert run.sink.ends[0] == ("camera-lost", "the source came to its end")
    assert run.sink.causes == ["start", "camera-lost"]


def test_a_format_error_is_retried_slowly(start: Callable[..., Run]) -> None:
    def unfit(_context: SourceContext, _sink: StreamSink, _stop: threading.Event) -> None:
        raise SourceFormatError("its video is mjpeg")

    script = Script(unfit)
    run = start(script)
    run.until(lambda state: state.cause, "a cause")
    assert not run.stop.wait(1.0)
    assert script.attempts == 1
    assert run.end() < 1.0


def test_a_library_that_hangs_is_cut_off_and_reported(
    start: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_agent.capture.supervisor._WATCHDOG_GRACE_S", 0.1)
    monkeypatch.setattr("edge_agent.capture.supervisor._HUNG_AFTER_US", 300_000)
    release = threading.Event()

    def hang(context: SourceContext, sink: StreamSink, _stop: threading.Event) -> None:
        sink.start_stream(make_config(), context.cause)
        write_one(context, sink)
        release.wait(60)  # deaf to `stop`
        write_one(context, sink)

    script = Script(hang, play)
    run = start(script)
    state = run.until(lambda state: state.hung, "hung")
    assert state.cause == "camera-lost"
    assert not state.connected
    assert script.attempts == 1, "no second attempt beside a thread that hangs"
    written = len(run.sink.units)
    release.set()
    run.until(lambda state: state.connected and not state.hung, "connected again")
    assert run.sink.ends[0][0] == "camera-lost"
    assert len(run.sink.streams[0]) == written, "what a cut-off attempt still writes goes nowhere"


def test_an_attempt_that_tries_encoders_out_is_not_cut_off(
    start: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_agent.capture.supervisor._WATCHDOG_GRACE_S", 0.1)

    def try_out_then_play(context: SourceContext, sink: StreamSink, stop: threading.Event) -> None:
        context.activity.excused_us = context.clock.monotonic_us() + 60_000_000
        context.clock.wait(stop, 4.0)
        context.activity.excused_us = context.clock.monotonic_us()
        play(context, sink, stop)

    camera = CAMERA.model_copy(update={"connect_timeout_s": 0.2, "stall_timeout_s": 0.5})
    script = Script(try_out_then_play, try_out_then_play)
    run = start(script, camera=camera)
    run.until(lambda state: state.connected, "connected")
    assert script.attempts == 1


def test_encoders_that_hang_need_a_new_process(start: Callable[..., Run]) -> None:
    def hang(context: SourceContext, sink: StreamSink, _stop: threading.Event) -> None:
        raise EncodersHangError("nothing encodes h264: 2 of it do not come back")

    run = start(Script(hang, hang))
    assert run.until(lambda state: state.hung, "hung").cause == "camera-lost"


def test_stopping_does_not_wait_for_a_library_that_hangs(start: Callable[..., Run]) -> None:
    release = threading.Event()

    def hang(context: SourceContext, sink: StreamSink, _stop: threading.Event) -> None:
        sink.start_stream(make_config(), context.cause)
        write_one(context, sink)
        release.wait(60)

    camera = CAMERA.model_copy(update={"stall_timeout_s": 60.0})
    run = start(Script(hang), camera=camera)
    run.until(lambda state: state.connected, "connected")
    assert run.end() < 1.5  # a second of its own, and what a loaded machine takes
    release.set()
    assert run.sink.ends == [("stopped", "recording was stopped")]


def holding(context: SourceContext, sink: StreamSink, stop: threading.Event) -> None:
    """A source that holds its second picture back, and hangs."""
    sink.start_stream(make_config(), context.cause)
    held = [write_one]

    def hand_over() -> None:
        while held:
            held.pop()(context, sink)

    context.activity.hand_over = hand_over
    write_one(context, sink)
    threading.Event().wait(2)
    assert stop.is_set()


def test_what_a_source_holds_back_is_had_for_the_asking(start: Callable[..., Run]) -> None:
    run = start(Script(holding), camera=CAMERA.model_copy(update={"stall_timeout_s": 60.0}))

    def asked() -> bool:
        run.supervisor.hand_over()
        return len(run.sink.units) == 2

    wait_until(asked, what="the second picture")


def test_what_a_source_holds_back_is_written_when_it_is_stopped(start: Callable[..., Run]) -> None:
    run = start(Script(holding), camera=CAMERA.model_copy(update={"stall_timeout_s": 60.0}))
    run.until(lambda state: state.connected, "connected")
    run.end()
    assert len(run.sink.units) == 2
    assert run.sink.ends == [("stopped", "recording was stopped")]


def test_what_is_coded_while_an_attempt_is_ended_is_recorded(
    start: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    coded: list[Callable[[], None]] = []

    def hand_over() -> None:
        while coded:
            coded.pop()()

    def encoding(context: SourceContext, sink: StreamSink, stop: threading.Event) -> None:
        assert context.frames is not None
        main = context.frames.main
        assert main is not None
        monkeypatch.setattr(CodedPath, "close", lambda _path: coded.append(lambda: write_one(context, main)))
        context.activity.hand_over = hand_over
        sink.start_stream(make_config(), context.cause)
        write_one(context, sink)
        stop.wait(20)

    run = start(Script(encoding), encodes_here=True)
    run.until(lambda state: state.connected, "connected")
    run.end()
    assert len(run.sink.units) == 2
    assert run.sink.ends == [("stopped", "recording was stopped")]


def test_what_a_silent_source_holds_back_is_written_before_it_is_cut_off(start: Callable[..., Run]) -> None:
    run = start(Script(holding, absent))
    run.until(lambda state: state.cause == "camera-lost", "cut off")
    assert len(run.sink.units) == 2


def test_an_error_of_the_ring_is_not_swallowed(start: Callable[..., Run]) -> None:
    class FullSink(RecordingSink):
        def write(self, unit: AccessUnit) -> None:
            raise RingStorageError("the disk is full")

    run = start(Script(play), FullSink())
    run.thread.join(20)
    assert isinstance(run.error, RingStorageError)


def test_a_bug_in_a_library_is_an_attempt_that_failed(
    start: Callable[..., Run], caplog: pytest.LogCaptureFixture
) -> None:
    password = "not-for-the-log"  # nowhere in the source lines that a traceback shows

    def broken(_context: SourceContext, _sink: StreamSink, _stop: threading.Event) -> None:
        raise ValueError(f"cannot parse rtsp://admin:{password}@192.0.2.7/x")

    run = start(Script(broken, play))
    run.until(lambda state: state.connected, "connected")
    assert "ValueError" in run.sink.ends[0][1]
    assert password not in run.sink.ends[0][1] + caplog.text


def test_warnings_come_and_go(start: Callable[..., Run]) -> None:
    def small(context: SourceContext, sink: StreamSink, _stop: threading.Event) -> None:
        config = make_config()
        sink.start_stream(type(config)(config.codec, config.extradata, 640, 480, 25.0), context.cause)
        write_one(context, sink)

    run = start(Script(small, play))
    run.until(lambda state: state.warnings == ("resolution-below-legal-minimum",), "a warning")
    run.until(lambda state: state.connected and state.warnings == (), "no warning")


def test_bad_settings_are_told_at_once() -> None:
    camera = CameraSettings(name="main", source="usb:0")
    clock = SystemClock()
    with pytest.raises(SettingsError, match="known sources"):
        CaptureSupervisor(camera, make_context(clock), RecordingSink(), clock)
