"""A recorder's second ring: that of a proxy stream which is made from the main stream's pictures.

It may be late, fail, or be away for good: none of it reaches the main ring. What comes while there is no ring is let
go; with the next key frame after it opened, footage begins. It is opened and closed in threads that nobody waits for
at the end of the process: its storage may hang.
"""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from edge_agent.buffer.hooks import RingHooks
from edge_agent.buffer.ring import Ring
from edge_agent.buffer.server import RingServer
from edge_agent.clock import Clock
from edge_agent.contract.access_unit import AccessUnit, CodecConfig, GapCause
from edge_agent.doorkeeper import Doorkeeper
from edge_agent.errors import RingError
from edge_agent.retry import backoff_s, jittered

logger = logging.getLogger(__name__)

OpenRing = Callable[[RingHooks], Ring]
Outcome = TypeVar("Outcome")

_AGAIN = jittered(1.0, 60.0)
_LOOK_S = 1.0
_STABLE_US = 60_000_000
"""A ring that lasted so long had not failed before."""


class LateSink:
    """A `StreamSink` whose ring comes and goes; any thread may bind, one writes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # protects what follows
        self._ring: Ring | None = None
        self._config: CodecConfig | None = None
        self._cause: GapCause = "start"
        self._ended: tuple[GapCause, str] | None = None
        self._is_started = False

    def bind(self, ring: Ring | None) -> None:
        """The ring is there, or gone; one that comes while there is no stream is told why there is none."""
        with self._lock:
            self._ring = ring
            self._is_started = False
            if ring is not None and self._ended is not None:
                ring.end_stream(*self._ended)

    def start_stream(self, config: CodecConfig, cause: GapCause) -> None:
        """As `StreamSink`."""
        with self._lock:
            self._config, self._cause, self._ended = config, cause, None
            if self._ring is not None:
                self._ring.start_stream(config, cause)
                self._is_started = True

    def write(self, unit: AccessUnit) -> None:
        """As `StreamSink`."""
        with self._lock:
            if self._ring is None or self._config is None:
                return
            if not self._is_started and unit.is_key:
                self._ring.start_stream(self._config, self._cause)
                self._is_started = True
            if self._is_started:
                self._ring.write(unit)

    def end_stream(self, cause: GapCause, detail: str) -> None:
        """As `StreamSink`."""
        with self._lock:
            self._config, self._ended = None, (cause, detail)
            self._is_started = False
            if self._ring is not None:
                self._ring.end_stream(cause, detail)


class SecondRing:
    """Keeps the proxy's ring open and served, for as long as it is told."""

    def __init__(self, name: str, open_ring: OpenRing, serve: Callable[[Ring], RingServer], clock: Clock) -> None:
        """Nothing is opened yet.

        Args:
            name: of the ring, for people.
            open_ring: opens it; may hang with its storage.
            serve: makes the server of its socket.
            clock: the clocks.
        """
        self.sink = LateSink()
        self._name = name
        self._open_ring = open_ring
        self._serve = serve
        self._clock = clock
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, on the running event loop."""
        self._task = asyncio.create_task(self._keep(), name=f"second-ring-{self._name}")

    async def close(self, timeout_s: float) -> None:
        """Close what is open; a storage that hangs is not waited for any longer than so."""
        self._stopping.set()
        if self._task is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._task), timeout_s)

    async def _keep(self) -> None:
        """Whatever goes wrong is this ring's alone, and is tried again; people are told when it changes."""
        failures, said = 0, ""
        stopping = asyncio.create_task(self._stopping.wait())
        while not stopping.done():
            opened_us: int | None = None
            try:
                ring, failed = await self._opened()
                opened_us = self._clock.monotonic_us()
                if said:
                    logger.info("the ring %s is open", self._name)
                said = ""
                await self._hold(ring, failed, stopping)
            except Exception as error:  # noqa: BLE001 -- told; the main ring goes on
                said = self._tell_of(error, said)
            lasted_us = 0 if opened_us is None else self._clock.monotonic_us() - opened_us
            failures = 1 if lasted_us > _STABLE_US else failures + 1
            await asyncio.wait({stopping}, timeout=backoff_s(_AGAIN, failures))

    def _tell_of(self, error: Exception, said: str) -> str:
        """Say why there is no ring, unless it was said last; what is said now."""
        fault = str(error) or type(error).__name__
        if fault != said:
            is_defect = not isinstance(error, RingError | OSError)
            logger.error("nothing is recorded in %s: %s; tried again", self._name, fault, exc_info=is_defect)
        return fault

    async def _opened(self) -> "tuple[Ring, asyncio.Future[None]]":
        """The ring, and what is done once one of its threads ended of a defect."""
        loop = asyncio.get_running_loop()
        failed: asyncio.Future[None] = loop.create_future()

        def note_fatal(error: BaseException) -> None:
            logger.critical("the ring %s failed: %s: %s", self._name, type(error).__name__, error)
            _settle(loop, failed, lambda: failed.set_result(None))

        return await _in_thread(partial(self._open_ring, RingHooks(on_fatal=note_fatal)), "open-second-ring"), failed

    async def _hold(self, ring: Ring, failed: "asyncio.Future[None]", stopping: "asyncio.Task[bool]") -> None:
        """Serve a ring until it fails or is to be closed."""
        try:
            if not stopping.done():
                await self._serve_until({failed, stopping}, ring)
        finally:
            await _in_thread(ring.close, "close-second-ring")

    async def _serve_until(self, ends: "set[asyncio.Future[Any]]", ring: Ring) -> None:
        server = self._serve(ring)
        doorkeeper = Doorkeeper(server, self._clock)
        self.sink.bind(ring)
        try:
            while not any(end.done() for end in ends):
                await doorkeeper.keep_open()
                await asyncio.wait(ends, timeout=_LOOK_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.sink.bind(None)
            await server.close()


async def _in_thread(work: Callable[[], Outcome], name: str) -> Outcome:
    """As `asyncio.to_thread`, in a thread of its own that no end of the process waits for."""
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[Outcome] = loop.create_future()

    def run() -> None:
        try:
            found = work()
        except BaseException as error:  # noqa: BLE001 -- handed to the event loop, which raises it
            failure = error
            _settle(loop, outcome, lambda: outcome.set_exception(failure))
        else:
            _settle(loop, outcome, lambda: outcome.set_result(found))

    threading.Thread(target=run, name=name, daemon=True).start()
    return await outcome


def _settle(loop: asyncio.AbstractEventLoop, future: "asyncio.Future[Any]", settle: Callable[[], None]) -> None:
    """Have the loop settle a future; who has ended does not wait for it any more."""

    def unless_done() -> None:
        if not future.done():
            settle()

    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(unless_done)
