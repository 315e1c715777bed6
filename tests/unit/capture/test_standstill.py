"""What the recorder slept through is not put down to the camera."""

import threading

import pytest

from edge_agent.capture.gate import Gate
from edge_agent.capture.standstill import StandstillWatch
from edge_agent.clock import FakeClock
from edge_agent.contract.access_unit import AccessUnit, CodecConfig, GapCause
from tests.unit.capture.fakes import RecordingSink, make_config

AFTER_EFFECT_S = 20.0


class OversleepingClock(FakeClock):
    """A process that is stopped while it waits, and whose waiting thread goes on when `go_on` is set."""

    oversleep_s = 0.0

    def __init__(self) -> None:
        super().__init__()
        self.asleep = threading.Event()
        self.go_on = threading.Event()

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        super().wait(event, timeout_s + self.oversleep_s)
        if self.oversleep_s:
            self.asleep.set()
            assert self.go_on.wait(60)
        return event.is_set()


@pytest.fixture
def clock() -> OversleepingClock:
    made = OversleepingClock()
    made.go_on.set()
    return made


def test_a_wait_that_takes_its_time_is_no_standstill(clock: OversleepingClock) -> None:
    watch = StandstillWatch(clock, AFTER_EFFECT_S)
    clock.oversleep_s = 1.9
    assert not watch.wait(threading.Event(), 0.2)
    assert not watch.wait(threading.Event(), 30.0)
    clock.advance(60)  # not waited for: nothing is known of it
    assert watch.explanation() is None


def test_a_standstill_explains_what_shows_soon_after_it(clock: OversleepingClock) -> None:
    watch = StandstillWatch(clock, AFTER_EFFECT_S)
    clock.oversleep_s = 30.0
    watch.wait(threading.Event(), 0.2)
    clock.oversleep_s = 0.0
    assert watch.explanation() == "the recorder itself stood still for 30 s"
    watch.wait(threading.Event(), 19.0)
    assert watch.explanation() is not None
    watch.wait(threading.Event(), 2.0)
    assert watch.explanation() is None


def test_a_thread_that_goes_on_first_knows_it_too(clock: OversleepingClock) -> None:
    clock.go_on.clear()
    clock.oversleep_s = 30.0
    watch = StandstillWatch(clock, AFTER_EFFECT_S)
    thread = threading.Thread(target=watch.wait, args=(threading.Event(), 0.2))
    thread.start()
    try:
        assert clock.asleep.wait(60)
        assert watch.explanation() == "the recorder itself stood still for 30 s"
    finally:
        clock.go_on.set()
        thread.join(60)


class Observer:
    def __init__(self) -> None:
        self.why: str | None = None
        self.ends: list[GapCause] = []

    def on_start(self, config: CodecConfig) -> None:
        assert config == make_config()

    def on_write(self, unit: AccessUnit) -> None:
        assert unit.data

    def on_end(self, cause: GapCause, detail: str) -> None:
        assert detail
        self.ends.append(cause)

    def standstill(self) -> str | None:
        return self.why


def test_a_stream_that_ends_by_a_standstill_and_the_next_one_say_so() -> None:
    sink, observer = RecordingSink(), Observer()
    gate = Gate(sink, observer, "start")
    gate.start_stream(make_config(), "start")
    observer.why = "stood still"
    gate.end_stream("camera-lost", "silent")
    assert sink.ends == [("overload", "stood still; then: silent")]
    observer.why = None
    gate.start_stream(make_config(), "camera-lost")
    gate.shut("camera-lost", "hung up")
    assert sink.causes == ["start", "overload"]
    assert observer.ends == ["overload", "camera-lost"]
    assert gate.cause == "camera-lost"


def test_an_attempt_that_fails_after_a_standstill_says_so_while_that_explains_it() -> None:
    observer = Observer()
    observer.why = "stood still"
    second = Gate(RecordingSink(), observer, "overload")
    second.shut("camera-lost", "refused")
    observer.why = None
    third = Gate(RecordingSink(), observer, second.cause)
    third.shut("camera-lost", "refused")
    assert observer.ends == ["overload", "camera-lost"]


def test_a_camera_that_was_lost_before_stays_lost() -> None:
    sink, observer = RecordingSink(), Observer()
    observer.why = "stood still"
    gate = Gate(sink, observer, "camera-lost")
    gate.shut("camera-lost", "refused")
    assert sink.ends == [("camera-lost", "refused")]


def test_a_stop_is_a_stop() -> None:
    sink, observer = RecordingSink(), Observer()
    observer.why = "stood still"
    gate = Gate(sink, observer, "start")
    gate.start_stream(make_config(), "start")
    gate.shut("stopped", "recording was stopped")
    assert sink.ends == [("stopped", "recording was stopped")]
