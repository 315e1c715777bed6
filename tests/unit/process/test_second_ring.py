"""A proxy's ring that is late, fails, goes and comes; what happens to it is nobody else's matter."""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import cast

import pytest
from tenacity import wait_fixed

from edge_agent import second_ring
from edge_agent.buffer.hooks import RingHooks
from edge_agent.buffer.ring import Ring
from edge_agent.buffer.server import RingServer
from edge_agent.clock import SystemClock
from edge_agent.contract.access_unit import AccessUnit
from edge_agent.errors import RingStorageError
from edge_agent.second_ring import LateSink, SecondRing
from tests.builders import Stream, make_units
from tests.support.polling import until
from tests.unit.capture.fakes import RecordingSink

STREAM = make_units(2.0, fps=10, gop=5)


class FakeRing(RecordingSink):
    """A ring in memory; its storage may hang while it is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.may_close = threading.Event()
        self.may_close.set()
        self.closed = 0
        self.hooks = RingHooks()

    def close(self) -> None:
        self.may_close.wait(60)
        self.closed += 1


class FakeServer:
    """Counts who listens."""

    socket_path = Path("main-proxy.sock")

    def __init__(self) -> None:
        self.is_listening = False
        self.fault: Exception | None = None

    async def start(self) -> None:
        if self.fault is not None:
            raise self.fault
        self.is_listening = True

    async def close(self) -> None:
        self.is_listening = False


class Bench:
    """A second ring whose storage does what the test says; every opening is a ring of its own."""

    def __init__(self) -> None:
        self.answers: list[Exception | threading.Event] = []
        """What the next openings do before one succeeds: raise, or hang until the event is set."""
        self.rings: list[FakeRing] = []
        self.servers: list[FakeServer] = []
        self.server_faults: list[Exception] = []
        self.openings = 0
        self.second = SecondRing("main-proxy", self._open, self._serve, SystemClock())

    def _open(self, hooks: RingHooks) -> Ring:
        self.openings += 1
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, threading.Event):
            answer.wait(60)
        elif answer is not None:
            raise answer
        ring = FakeRing()
        ring.hooks = hooks
        self.rings.append(ring)
        return cast("Ring", ring)

    def _serve(self, ring: Ring) -> RingServer:
        assert ring is cast("Ring", self.rings[-1])
        server = FakeServer()
        server.fault = self.server_faults.pop(0) if self.server_faults else None
        self.servers.append(server)
        return cast("RingServer", server)

    async def until_open(self, rings: int = 1) -> FakeRing:
        await until(lambda: len(self.servers) == rings and self.servers[-1].is_listening, what="an open ring")
        return self.rings[-1]

    def play(self, stream: Stream = STREAM) -> None:
        for unit in stream.units:
            self.second.sink.write(unit)


@pytest.fixture(autouse=True)
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(second_ring, "_AGAIN", wait_fixed(0.02))


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    for answer in bench.answers:
        if isinstance(answer, threading.Event):
            answer.set()
    for ring in bench.rings:
        ring.may_close.set()


def keys(units: list[AccessUnit]) -> list[int]:
    return [unit.pts_90k for unit in units if unit.is_key]


# -- the sink


def test_what_comes_before_the_ring_is_let_go_and_footage_begins_with_a_key_frame() -> None:
    sink, ring = LateSink(), RecordingSink()
    sink.start_stream(STREAM.config, "start")
    for unit in STREAM.units[:7]:
        sink.write(unit)
    sink.bind(cast("Ring", ring))
    for unit in STREAM.units[7:]:
        sink.write(unit)
    assert ring.starts == [(STREAM.config, "start")]
    assert ring.units == list(STREAM.units[10:])


def test_a_stream_that_ended_without_a_ring_is_not_begun_for_it() -> None:
    sink, ring = LateSink(), RecordingSink()
    sink.start_stream(STREAM.config, "start")
    sink.end_stream("camera-lost", "the camera was switched off")
    sink.bind(cast("Ring", ring))
    for unit in STREAM.units:
        sink.write(unit)
    assert (ring.starts, ring.units) == ([], [])
    assert ring.ends == [("camera-lost", "the camera was switched off")], "why there is none, it is told"


def test_a_stream_that_was_begun_anew_without_a_ring_is_recorded_as_the_newer_one() -> None:
    small = make_units(2.0, fps=10, gop=5, width=64, height=48)
    sink, ring = LateSink(), RecordingSink()
    sink.start_stream(STREAM.config, "start")
    sink.end_stream("camera-lost", "")
    sink.start_stream(small.config, "camera-lost")
    sink.bind(cast("Ring", ring))
    for unit in small.units:
        sink.write(unit)
    assert ring.starts == [(small.config, "camera-lost")]
    assert ring.units == list(small.units)
    assert ring.ends == []


def test_with_a_ring_all_is_passed_on_as_it_comes() -> None:
    sink, ring = LateSink(), RecordingSink()
    sink.bind(cast("Ring", ring))
    for cause in ("start", "parameters-changed"):
        sink.start_stream(STREAM.config, "start" if cause == "start" else "parameters-changed")
        sink.write(STREAM.units[0] if cause == "start" else STREAM.units[5])
    sink.end_stream("stopped", "that was all")
    assert ring.causes == ["start", "parameters-changed"]
    assert [len(stream) for stream in ring.streams] == [1, 1]
    assert ring.ends == [("stopped", "that was all")]


def test_a_ring_that_is_gone_gets_nothing_more() -> None:
    sink, first, second = LateSink(), RecordingSink(), RecordingSink()
    sink.bind(cast("Ring", first))
    sink.start_stream(STREAM.config, "start")
    for unit in STREAM.units[:3]:
        sink.write(unit)
    sink.bind(None)
    for unit in STREAM.units[3:8]:
        sink.write(unit)
    sink.bind(cast("Ring", second))
    for unit in STREAM.units[8:]:
        sink.write(unit)
    assert first.units == list(STREAM.units[:3])
    assert second.units == list(STREAM.units[10:])


# -- the ring's life


async def test_a_storage_that_refuses_and_then_hangs_is_waited_for(bench: Bench) -> None:
    comes = threading.Event()
    bench.answers = [RingStorageError("not mounted"), OSError(5, "Input/output error"), comes]
    bench.second.start()
    bench.second.sink.start_stream(STREAM.config, "start")
    await until(lambda: bench.openings == 3, what="the third opening")
    bench.play()
    assert not bench.rings
    comes.set()
    ring = await bench.until_open()
    later = make_units(1.0, fps=10, gop=5, first_dts_90k=STREAM.units[-1].dts_90k + 9000)
    bench.play(Stream(later.config, later.units[2:]))
    await bench.second.close(5)
    assert keys(ring.units) == [later.units[5].pts_90k]
    assert ring.units == list(later.units[5:])
    assert (ring.closed, bench.servers[0].is_listening) == (1, False)


async def test_a_storage_that_fails_for_good_is_told_once(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.answers = [*([RingStorageError("no such disk")] * 8), *([RingStorageError("read-only")] * 8)]
    with caplog.at_level(logging.INFO, second_ring.__name__):
        bench.second.start()
        bench.second.sink.start_stream(STREAM.config, "start")
        await until(lambda: not bench.answers, what="sixteen refusals")
        bench.play()  # raises nothing, blocks nobody
        assert len(caplog.records) == 2, "each reason once"
        await bench.until_open()
        assert len(caplog.records) == 3, "and that it is over"
        await bench.second.close(5)


async def test_a_defect_while_opening_is_no_end(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.answers = [ValueError("a defect"), ValueError("a defect"), RuntimeError()]
    bench.second.start()
    await bench.until_open()
    told = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert [record.exc_info is not None for record in told] == [True, True]
    await bench.second.close(5)


async def test_a_ring_that_failed_is_closed_and_opened_anew(bench: Bench) -> None:
    bench.second.start()
    first = await bench.until_open()
    bench.second.sink.start_stream(STREAM.config, "start")
    bench.second.sink.write(STREAM.units[0])
    threading.Thread(target=first.hooks.on_fatal, args=(AssertionError("a defect"),)).start()
    second = await bench.until_open(2)
    assert (first.closed, bench.servers[0].is_listening) == (1, False)
    bench.play(Stream(STREAM.config, STREAM.units[1:]))
    await bench.second.close(5)
    assert first.units == [STREAM.units[0]]
    assert second.units == list(STREAM.units[5:])
    assert second.closed == 1


async def test_a_ring_that_fails_while_it_is_being_opened_is_not_kept(bench: Bench) -> None:
    opening = bench.second._open_ring

    def open_and_fail(hooks: RingHooks) -> Ring:
        ring = opening(hooks)
        if len(bench.rings) == 1:
            hooks.on_fatal(AssertionError("its first thread ended at once"))
        return ring

    bench.second._open_ring = open_and_fail
    bench.second.start()
    await bench.until_open(2)
    assert bench.rings[0].closed == 1
    await bench.second.close(5)


async def test_words_of_a_ring_that_is_gone_do_not_end_the_next(bench: Bench) -> None:
    bench.second.start()
    first = await bench.until_open()
    first.hooks.on_fatal(AssertionError("its writer"))
    await bench.until_open(2)
    first.hooks.on_fatal(AssertionError("its keeper, late"))
    bench.second.sink.start_stream(STREAM.config, "start")
    await asyncio.sleep(0)
    await bench.second.close(5)
    assert len(bench.rings) == 2
    assert bench.rings[1].starts == [(STREAM.config, "start")]


async def test_a_socket_that_makes_trouble_closes_the_ring_and_is_tried_again(bench: Bench) -> None:
    bench.server_faults = [RuntimeError("a defect of the server")]
    bench.second.start()
    await bench.until_open(2)
    assert bench.rings[0].closed == 1
    await bench.second.close(5)


async def took_less_than(limit_s: float, work: Callable[[], Awaitable[None]]) -> None:
    async with asyncio.timeout(limit_s):
        await work()


async def test_the_end_waits_for_no_opening_that_hangs_and_what_opens_later_is_closed(bench: Bench) -> None:
    comes = threading.Event()
    bench.answers = [comes]
    bench.second.start()
    await until(lambda: bench.openings == 1, what="the opening")
    await took_less_than(5, lambda: bench.second.close(0.1))
    comes.set()
    await until(lambda: bench.rings and bench.rings[0].closed, what="the late ring closed")
    assert not bench.servers, "it was not served any more"


async def test_the_end_waits_for_no_closing_that_hangs(bench: Bench) -> None:
    bench.second.start()
    ring = await bench.until_open()
    ring.may_close.clear()
    await took_less_than(5, lambda: bench.second.close(0.1))
    assert ring.closed == 0
    bench.second.sink.start_stream(STREAM.config, "start")
    assert not ring.starts, "nothing is given to it any more"


def test_a_storage_that_hangs_does_not_hold_up_the_end_of_the_event_loop(bench: Bench) -> None:
    async def run() -> None:
        bench.second.start()
        ring = await bench.until_open()
        ring.may_close.clear()
        await bench.second.close(0.1)

    begin_us = SystemClock().monotonic_us()
    asyncio.run(run())
    assert SystemClock().monotonic_us() - begin_us < 10_000_000


async def test_the_end_between_two_openings_is_at_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(second_ring, "_AGAIN", wait_fixed(600))
    bench.answers = [RingStorageError("not mounted")]
    bench.second.start()
    await until(lambda: not bench.answers, what="the refusal")
    await took_less_than(5, lambda: bench.second.close(60))
    assert bench.openings == 1


async def test_one_that_was_never_begun_can_be_closed(bench: Bench) -> None:
    await took_less_than(5, lambda: bench.second.close(60))


async def test_a_ring_that_fails_again_and_again_is_waited_for_longer_and_longer(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def remember(_strategy: object, attempt: int) -> float:
        asked.append(attempt)
        return 0.01

    monkeypatch.setattr(second_ring, "backoff_s", remember)
    bench.second.start()
    for number in range(1, 4):
        ring = await bench.until_open(number)
        ring.hooks.on_fatal(AssertionError("again"))
    await bench.until_open(4)
    assert asked == [1, 2, 3]
    await bench.second.close(5)
