"""A recorder's second ring: that of a proxy stream which is made from the main stream's pictures.

It may be late, fail, or be away for good: none of it reaches the main ring. What comes while there is no ring is let
go; with the next key frame after it opened, footage begins.
"""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable
from typing import Any

from edge_agent.buffer.hooks import RingHooks
from edge_agent.buffer.ring import Ring
from edge_agent.buffer.server import RingServer
from edge_agent.clock import Clock
from edge_agent.contract.access_unit import AccessUnit, CodecConfig, GapCause
from edge_agent.doorkeeper import Doorkeeper
from edge_agent.errors import RingError
from edge_agent.retry import backoff_s, jittered

logger = logging.getLogger(__name__)

_AGAIN = jittered(1.0, 60.0)
_LOOK_S = 1.0

OpenRing = Callable[[RingHooks], Ring]


class LateSink:
    """A `StreamSink` whose ring comes and goes; any thread may bind, one writes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # protects what follows
        self._ring: Ring | None = None
        self._config: CodecConfig | None = None
        self._cause: GapCause = "start"
        self._is_started = False

    def bind(self, ring: Ring | None) -> None:
        """The ring is there, or gone."""
        with self._lock:
            self._ring = ring
            self._is_started = False

    def start_stream(self, config: CodecConfig, cause: GapCause) -> None:
        """As `StreamSink`."""
        with self._lock:
            self._config, self._cause = config, cause
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
            self._config, self._cause = None, cause
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
        self._failed = asyncio.Event()
        self._stopping = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, on the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.create_task(self._keep(), name=f"second-ring-{self._name}")

    async def close(self, timeout_s: float) -> None:
        """Close what is open; a storage that hangs is not waited for any longer than so."""
        self._stopping.set()
        self._failed.set()
        if self._task is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._task), timeout_s)

    async def _keep(self) -> None:
        failures, said = 0, ""
        while not self._stopping.is_set():
            try:
                await self._hold(await self._opened())
                failures = 0
            except (RingError, OSError) as error:
                if str(error) != said:
                    logger.error("nothing is recorded in %s: %s; tried again", self._name, error)  # noqa: TRY400 -- expected of storage, no defect
                said = str(error)
            failures += 1
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), backoff_s(_AGAIN, failures))

    async def _opened(self) -> Ring:
        loop = asyncio.get_running_loop()
        opened: asyncio.Future[Ring] = loop.create_future()
        threading.Thread(target=self._open_into, args=(loop, opened), name="open-second-ring", daemon=True).start()
        return await opened

    def _open_into(self, loop: asyncio.AbstractEventLoop, opened: "asyncio.Future[Ring]") -> None:
        try:
            ring = self._open_ring(RingHooks(on_fatal=self._note_fatal))
        except BaseException as error:  # noqa: BLE001 -- handed to the event loop, which raises it
            _tell(loop, opened.set_exception, error)
        else:
            _tell(loop, opened.set_result, ring)

    def _note_fatal(self, error: BaseException) -> None:
        logger.critical("the ring %s failed: %s: %s", self._name, type(error).__name__, error)
        if self._loop is not None:
            _tell(self._loop, lambda _: self._failed.set(), None)

    async def _hold(self, ring: Ring) -> None:
        """Serve a ring until it fails or is to be closed."""
        if self._stopping.is_set():
            await asyncio.to_thread(ring.close)
            return
        self._failed.clear()
        server = self._serve(ring)
        doorkeeper = Doorkeeper(server, self._clock)
        self.sink.bind(ring)
        try:
            while not self._failed.is_set() and not self._stopping.is_set():
                await doorkeeper.keep_open()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._failed.wait(), _LOOK_S)
        finally:
            self.sink.bind(None)
            await server.close()
            await asyncio.to_thread(ring.close)


def _tell(loop: asyncio.AbstractEventLoop, take: Callable[[Any], None], value: object) -> None:
    """Give a thread's outcome to the loop; one that has ended does not wait for it any more."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(take, value)
