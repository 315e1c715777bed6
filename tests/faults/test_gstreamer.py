"""A pipeline whose process is killed, stopped, prints rubbish or floods: the recorder records again, and lives on."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from edge_agent.capture.gstreamer import process, source
from edge_agent.capture.gstreamer.process import Order, running
from edge_agent.clock import SystemClock
from tests.real.test_gstreamer import LIVE, X264, children
from tests.support.polling import wait_until
from tests.support.processes import Processes
from tests.support.supervised import StartCapture, captures
from tests.support.unit import Unit, camera_of
from tests.support.unit import running as running_unit
from tests.unit.capture.fakes import EXTRADATA, KEY

pytestmark = pytest.mark.faults

PIPELINE = f"{LIVE} ! {X264}"


@pytest.fixture
def capture() -> Iterator[StartCapture]:
    """Starts pipelines."""
    with captures() as start:
        yield lambda pipeline=PIPELINE, **settings: start(f"gstreamer:{pipeline}", **settings)


def only_child() -> psutil.Process:
    return wait_until(lambda: next(iter(children()), None), what="a pipeline's process")


@pytest.mark.parametrize(
    ("number", "said"), [(signal.SIGKILL, "ended by SIGKILL"), (signal.SIGSEGV, "ended by SIGSEGV")]
)
def test_a_pipeline_that_dies_is_started_again(capture: StartCapture, number: signal.Signals, said: str) -> None:
    camera = capture(stall_timeout_s=20.0)
    camera.until_units(10)
    only_child().send_signal(number)
    state = camera.until(lambda state: state.cause, "its end noticed")
    assert said in state.detail
    seen = len(camera.sink.units)
    camera.until_units(seen + 10)
    assert camera.sink.causes == ["start", "camera-lost"]
    assert not camera.supervisor.state().hung


def test_a_pipeline_that_hangs_is_ended_and_started_again(capture: StartCapture) -> None:
    camera = capture(stall_timeout_s=1.0)
    camera.until_units(10)
    hung = only_child()
    hung.suspend()
    state = camera.until(lambda state: state.cause, "silence noticed")
    assert "nothing came from the source" in state.detail
    seen = len(camera.sink.units)
    camera.until_units(seen + 10)
    assert not hung.is_running()
    assert not camera.supervisor.state().hung, "the recorder itself need not be started again"


def test_a_hung_pipeline_holds_up_no_end(capture: StartCapture) -> None:
    camera = capture(stall_timeout_s=60.0)
    camera.until_units(10)
    hung = only_child()
    hung.suspend()
    assert camera.end() < 5.0
    wait_until(lambda: not hung.is_running() or hung.status() == psutil.STATUS_ZOMBIE, what="its end")


def scripted(body: str) -> Sequence[str]:
    """A command that stands in for the process of a pipeline."""
    return sys.executable, "-c", body


@pytest.fixture
def instead(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Have sources start a script instead of a pipeline."""

    def replace(body: str) -> None:
        monkeypatch.setattr(source, "running", lambda order: running(order, scripted(body)))

    return replace


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("import os, sys; os.write(int(sys.argv[1]), b'** ERROR **: no bus\\n' * 40)", "is not understood"),
        ("import os, sys; os.write(int(sys.argv[1]), os.urandom(1 << 20))", "is not understood"),
        ("import sys; sys.exit('cannot open display')", "cannot open display"),
        ("print('Setting pipeline to PLAYING ...')", "ended with 0"),
    ],
)
def test_a_process_that_says_nonsense_is_told_in_its_words(
    capture: StartCapture, instead: Callable[[str], None], body: str, said: str
) -> None:
    instead(body)
    camera = capture()
    state = camera.until(lambda state: state.cause, "nonsense noticed")
    assert said in state.detail
    camera.until(lambda state: state.restarts, "another attempt")


def test_a_pipeline_that_leaves_a_process_behind_is_over_with_its_own_end() -> None:
    """A daemon with a session of its own keeps every pipe open; nobody waits for it."""
    body = (
        "import os, signal\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork():\n"
        "        os._exit(0)\n"
        "    print('left behind', os.getpid(), flush=True)\n"
        "    signal.alarm(60)\n"  # its end, should the test not come to it
        "    signal.pause()\n"
        "signal.pause()\n"
    )
    known, descriptors = threading.active_count(), psutil.Process().num_fds()
    with running(Order("unused"), scripted(body)) as child:
        left = wait_until(lambda: child.words.split()[2:], what="a process is left behind")[0]
        try:
            child.kill()
            assert child.reader.read() is None
            wait_until(lambda: threading.active_count() <= known, what="what it printed is no longer waited for")
        finally:
            os.kill(int(left), signal.SIGKILL)
    wait_until(lambda: psutil.Process().num_fds() <= descriptors, what="its pipes are closed")


def test_what_a_pipeline_prints_without_end_is_read_and_forgotten() -> None:
    """Ten megabytes of rubbish on both outputs: the process is not held up, and what is kept is little."""
    body = (
        "import os\n"
        "for _ in range(80):\n"
        "    os.write(1, os.urandom(65536)); os.write(2, b'\\xff\\x00rubbish\\n' * 8000)\n"
        "os.write(2, b'last words of rtsp://admin:geheim@camera/\\n')\n"
    )
    with running(Order("unused"), scripted(body)) as child:
        assert child.reader.read() is None
        assert child.wait() == 0
        wait_until(lambda: "last words" in child.words, what="what it printed last")
        assert "geheim" not in child.words
        assert len(child.words) <= 600


FLOOD = f"""
import sys
sys.path.append({str(process.CHILD.parent)!r})
from pipeline_child.records import CAPS, KEY, UNIT, Records
records = Records(int(sys.argv[1]))
records.tell(CAPS, codec="h264", caps="video/x-h264", width=704, height=576, rate=[25, 1])
while True:
    records.write(UNIT, {EXTRADATA + KEY!r} + bytes(2000), KEY)
"""


def test_a_flood_is_held_back_and_told_to_keep_time(
    capture: StartCapture, instead: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pictures without stamps, as fast as a pipe takes them; what waits for the recorder stays little."""
    instead(FLOOD)
    camera = capture()
    camera.until_units(10)
    monkeypatch.setattr(camera.sink, "write", lambda unit: None)
    before_bytes = psutil.Process().memory_info().rss
    state = camera.until(lambda state: state.cause, "the flood noticed")
    assert "runs free" in state.detail
    assert psutil.Process().memory_info().rss - before_bytes < 50_000_000


def test_a_reader_that_does_not_read_holds_the_pipeline_back() -> None:
    """What waits is bounded: the pipe, and the few pictures of the sink's queue."""
    with running(
        Order(f"videotestsrc ! video/x-raw,format=I420,width=640,height=480 ! {X264}", is_free=True)
    ) as child:
        for _ in range(5):
            assert child.reader.read() is not None
        pipeline = psutil.Process(child.pid)
        clock = SystemClock()
        sizes: list[int] = []

        def is_steady() -> bool:
            """Waits for the reader, and needs no more memory for it."""
            sizes.append(pipeline.memory_info().rss)
            return len(sizes) > 50 and len(set(sizes[-50:])) == 1

        wait_until(is_steady, what="a pipeline that waits", clock=clock)
        assert sizes[-1] < 300_000_000


@pytest.fixture
def unit(tmp_path: Path, processes: Processes) -> Iterator[Unit]:
    yield from running_unit(Unit(tmp_path / "unit", processes))


def pipeline_of(unit: Unit) -> psutil.Process | None:
    recorder = psutil.Process(unit.pid_of("record main"))
    for child in recorder.children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if str(process.CHILD.parent) in child.cmdline():
                return child
    return None


def test_a_recorder_outlives_its_pipelines_and_no_pipeline_outlives_its_recorder(unit: Unit) -> None:
    unit.cameras = [camera_of(f"gstreamer:{PIPELINE}", stall_timeout_s=1)]
    unit.write_settings()
    unit.start()
    recorder = unit.pid_of("record main")
    hung = wait_until(lambda: pipeline_of(unit), what="a pipeline")
    hung.suspend()
    wait_until(lambda: not hung.is_running(), what="the end of a stopped pipeline")
    unit.wait_recording("main")
    assert unit.pid_of("record main") == recorder
    pipeline = wait_until(lambda: pipeline_of(unit), what="a pipeline")
    pipeline.suspend()
    os.kill(recorder, signal.SIGKILL)
    wait_until(lambda: not pipeline.is_running(), what="the end of a stopped pipeline whose recorder was killed")
    unit.wait_recording("main")
    assert unit.pid_of("record main") != recorder
    assert {cause for _, cause in unit.gaps("main")} <= {"camera-lost", "restart"}
    assert unit.end() == 0
    assert unit.scanned("main")
