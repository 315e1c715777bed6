"""The recorder process: one camera, its capture, its ring and the ring's socket.

    capture thread ──► ring's intake ──► ring's writer thread ──► disk
    event loop: the ring's socket, signals, heartbeat

The event loop never touches camera or disk, so signs of life are sent from the first moment, also while a large ring
is being recovered. A storage that refuses is waited for under a supervisor: whenever it is back, footage is recorded.
When the camera's library hangs for good, or one of the ring's threads ended of a defect, the
process closes what it can and leaves: its supervisor starts it again.
"""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import threading
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edge_agent import __version__
from edge_agent.buffer.hooks import RingHooks
from edge_agent.buffer.ring import Ring, RingContext
from edge_agent.buffer.server import RingServer
from edge_agent.capture.outputs import make_outputs
from edge_agent.capture.report import CaptureReport
from edge_agent.capture.source import FrameOutputs, SourceContext
from edge_agent.capture.supervisor import CaptureSupervisor
from edge_agent.capture.table import open_source
from edge_agent.capture.timeline import MediaTimeline
from edge_agent.capture_figures import capture_figures, warnings_of
from edge_agent.clock import Clock, read_boot_id
from edge_agent.contract.access_unit import StreamSink
from edge_agent.contract.deployment import BENCH
from edge_agent.contract.local_time import load_zone
from edge_agent.contract.ring_protocol import CaptureFigures
from edge_agent.deployment.record import load_or_create
from edge_agent.doorkeeper import Doorkeeper
from edge_agent.errors import RingBusyError, RingStorageError, SettingsError
from edge_agent.logs import drain_logs
from edge_agent.notify import Notifier
from edge_agent.paths import ring_directory, ring_lock, ring_socket
from edge_agent.position.last_known import starting_stamp
from edge_agent.retry import backoff_s, jittered
from edge_agent.second_ring import SecondRing
from edge_agent.settings import CameraSettings, Settings
from edge_agent.still_maker import StillMaker
from edge_agent.storage_fault import require_writable, storage_fault
from edge_agent.takeover import retire_holder

logger = logging.getLogger(__name__)

HEARTBEAT_S = 2.0
CAPTURE_END_S = 1.2
"""How long the end of the process waits for the camera's library; the ring's close needs the rest of 5 s."""
SECOND_CLOSE_S = 2.5
"""How long the end waits for the proxy's ring, while the main one is closed."""
STORAGE_WAIT_S = 30.0
"""The longest between two looks at a storage that refuses; the first ones come quickly, as mounts do at a start."""
_STORAGE_WAIT = jittered(1.0, STORAGE_WAIT_S)
EXIT_FAILED = 1
EXIT_HUNG = 75
"""The camera's library does not come back (sysexits(3) EX_TEMPFAIL)."""


def find_camera(settings: Settings, name: str) -> CameraSettings:
    """The settings of one recorder's camera.

    Raises:
        SettingsError: there is none of this name.
    """
    return _named(settings.recorders, name)


def find_ring(settings: Settings, name: str) -> CameraSettings:
    """The settings of one ring: a camera's, or a proxy's.

    Raises:
        SettingsError: there is none of this name.
    """
    return _named(settings.rings, name)


def _named(cameras: Sequence[CameraSettings], name: str) -> CameraSettings:
    for camera in cameras:
        if camera.name == name:
            return camera
    known = ", ".join(camera.name for camera in cameras)
    raise SettingsError(f"no camera {name!r} in the settings; there is: {known}")


def ring_context(settings: Settings, clock: Clock) -> RingContext:
    """Who records, where, and a new run id."""
    deployment = load_or_create(settings, clock)
    data_dir = settings.unit.data_dir
    return RingContext(
        unit_id=settings.unit.id,
        boot_id=read_boot_id(),
        run_id=uuid.uuid4().hex,
        software_version=__version__,
        deployment_id=deployment.deployment_id,
        position=starting_stamp(data_dir, settings.position, deployment.position),
    )


def run_recorder(settings: Settings, name: str, clock: Clock, *, take_over: bool) -> int:
    """Record one camera until SIGTERM or SIGINT; the exit code.

    Raises:
        SettingsError: no such camera, or a source that cannot be used as it is set.
        RingBusyError: another process records this camera.
        RingStorageError: the data directory cannot be used.
    """
    recorder = Recorder(
        settings, find_camera(settings, name), clock, Notifier.from_environment(), take_over=take_over
    )
    code = asyncio.run(recorder.run())
    if recorder.left_behind:
        drain_logs()
        os._exit(code)  # a thread inside the camera's library, or one that waits for the disk, would hold the end up
    return code


class Recorder:
    """One camera's capture and ring, in this process.

    Raises:
        SettingsError: the source cannot be used as it is set.
    """

    def __init__(
        self, settings: Settings, camera: CameraSettings, clock: Clock, notifier: Notifier, *, take_over: bool = False
    ) -> None:
        self._settings = settings
        self._camera = camera
        self._clock = clock
        self._notifier = notifier
        self._take_over = take_over
        self._fatal = threading.Event()
        self._stop_capture = threading.Event()
        self._capture: CaptureSupervisor | None = None
        self._report = CaptureReport(camera.name)
        self._outputs: FrameOutputs | None = None
        open_source(camera, self._source_context())
        self.left_behind = False
        """A thread of the camera's library, or of the opening of the ring, did not end."""

    def _source_context(self) -> SourceContext:
        timeline = MediaTimeline(self._clock.monotonic_us())
        return SourceContext(self._settings.unit.id, self._clock, timeline, report=self._report, frames=self._outputs)

    def _capture_figures(self) -> CaptureFigures:
        return capture_figures(self._report.state, None if self._outputs is None else self._outputs.hook)

    def _warnings(self) -> tuple[str, ...]:
        quality = () if self._capture is None else self._capture.state().warnings
        return (*quality, *warnings_of(self._report.state, None if self._outputs is None else self._outputs.hook))

    def _ailment(self) -> str:
        state = None if self._capture is None else self._capture.state()
        return "" if state is None or state.connected else state.detail

    def _hand_over(self) -> None:
        if self._capture is not None:
            self._capture.hand_over()

    def _note_fatal(self, error: BaseException) -> None:
        logger.critical("the ring failed: %s: %s", type(error).__name__, error)
        self._fatal.set()

    def _open_ring(self) -> Ring:
        data_dir = self._settings.unit.data_dir
        require_writable(ring_directory(data_dir, self._camera.name))  # which may be a disk of its own
        if self._take_over:
            self._retire_holder(ring_lock(data_dir, self._camera.name))
        return Ring.open(
            data_dir,
            self._camera,
            ring_context(self._settings, self._clock),
            self._clock,
            hooks=RingHooks(self._warnings, self._hand_over, self._note_fatal, self._capture_figures),
        )

    def _second_ring(self) -> SecondRing | None:
        """The ring of a proxy that is made here; None when there is none."""
        camera = self._camera.proxy_ring
        if camera is None or self._camera.has_own_recorder_for_proxy:
            return None
        data_dir, name = self._settings.unit.data_dir, camera.name

        def open_ring(hooks: RingHooks) -> Ring:
            require_writable(ring_directory(data_dir, name))
            if self._take_over:
                self._retire_holder(ring_lock(data_dir, name))
            return Ring.open(data_dir, camera, ring_context(self._settings, self._clock), self._clock, hooks=hooks)

        return SecondRing(name, open_ring, lambda ring: RingServer(ring, ring_socket(data_dir, name)), self._clock)

    def _make_outputs(self, ring: Ring, second: SecondRing | None) -> FrameOutputs:
        unit = self._settings.unit
        deployment = load_or_create(self._settings, self._clock)
        label = unit.id if deployment.deployment_id == BENCH else f"{unit.id}  {deployment.deployment_id}"
        proxy = None if second is None else second.sink
        zone = load_zone(unit.timezone)
        return make_outputs(self._camera, self._clock, ring, proxy, label=label, zone=zone)

    def _make_supervisor(self, sink: StreamSink) -> CaptureSupervisor:
        is_judged = self._camera.name not in self._settings.proxies
        return CaptureSupervisor(self._camera, self._source_context(), sink, self._clock, is_judged=is_judged)

    def _retire_holder(self, path: Path) -> None:
        try:
            is_free = retire_holder(path, self._clock)
        except OSError as error:
            raise RingBusyError(f"{path} is held, and its holder cannot be ended: {error}") from error
        if not is_free:
            raise RingBusyError(f"{path} is held by a process that does not end")

    async def run(self) -> int:
        """Record until a signal, a hang or a defect; the exit code.

        Raises:
            RingBusyError: another process records this camera.
            RingStorageError: the data directory cannot be used, and no supervisor told us to wait for it.
        """
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        ring = await self._opened_at_last(stop)
        if ring is None:
            return 0
        second = self._second_ring()
        outputs = self._outputs = await asyncio.to_thread(self._make_outputs, ring, second)
        unit = self._settings.unit
        take_still = StillMaker(outputs.stills, ring, unit.id, self._camera.name, self._clock, self._ailment)
        server = RingServer(ring, ring_socket(unit.data_dir, self._camera.name), take_still=take_still)
        if second is not None:
            second.start()
        capture = self._capture = self._make_supervisor(ring)
        thread = threading.Thread(target=self._run_capture, args=(capture,), name="capture", daemon=True)
        try:
            thread.start()
            doorkeeper = Doorkeeper(server, self._clock)
            await doorkeeper.keep_open()
            self._notifier.ready()
            return await self._beat(stop, capture, doorkeeper)
        finally:
            self._notifier.stopping()
            await self._close(thread, server, ring, second)

    async def _opened_at_last(self, stop: asyncio.Event) -> Ring | None:
        """As `_opened`, whenever the storage lets it; a supervisor waits for nothing else than that."""
        failures, said = 0, ""
        while not stop.is_set():
            try:
                return await self._opened(stop)
            except RingStorageError as error:
                if not self._take_over:
                    raise
                fault = str(error)
            failures += 1
            if fault != said:
                logger.error("nothing is recorded: %s; tried again every %.0f s or sooner", fault, STORAGE_WAIT_S)
            said = fault
            await self._pause(stop, backoff_s(_STORAGE_WAIT, failures))
        return None

    async def _pause(self, stop: asyncio.Event, wait_s: float) -> None:
        """Let time pass, with signs of life."""
        end_us = self._clock.monotonic_us() + round(wait_s * 1e6)
        while not stop.is_set() and (left_us := end_us - self._clock.monotonic_us()) > 0:
            self._notifier.heartbeat()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), min(left_us / 1e6, HEARTBEAT_S))

    async def _opened(self, stop: asyncio.Event) -> Ring | None:
        """The ring, with signs of life while it is being recovered; None when the process is to end meanwhile."""
        opened: asyncio.Future[Ring] = asyncio.get_running_loop().create_future()
        threading.Thread(target=self._open_into, args=(opened,), name="open-ring", daemon=True).start()
        stopping = asyncio.create_task(stop.wait())
        waited_for: set[asyncio.Future[Any]] = {opened, stopping}
        while not stop.is_set() and not opened.done():
            self._notifier.heartbeat()
            await asyncio.wait(waited_for, timeout=HEARTBEAT_S, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if opened.done():
            gc.freeze()  # what is loaded stays: a collection during a plan does not walk it again
            return opened.result()
        logger.info("told to end while the ring is being opened: what that began, the next start finishes")
        self.left_behind = True
        return None

    def _open_into(self, opened: "asyncio.Future[Ring]") -> None:
        loop = opened.get_loop()
        try:
            ring = self._open_ring()
        except RingStorageError as error:
            explained = RingStorageError(storage_fault(self._settings.unit.data_dir, error))
            explained.__cause__ = error
            _hand_over(loop, opened.set_exception, explained)
        except BaseException as error:  # noqa: BLE001 -- handed to the event loop, which raises it
            _hand_over(loop, opened.set_exception, error)
        else:
            _hand_over(loop, opened.set_result, ring)

    def _run_capture(self, capture: CaptureSupervisor) -> None:
        try:
            capture.run(self._stop_capture)
        except Exception:
            # A defect between camera and ring: the process ends with its segment closed and is started again.
            logger.exception("capture failed")
            self._fatal.set()

    async def _beat(self, stop: asyncio.Event, capture: CaptureSupervisor, doorkeeper: Doorkeeper) -> int:
        """Tell the supervisor that we live, until there is a reason to end."""
        stopping = asyncio.create_task(stop.wait())
        while not stop.is_set():
            if self._fatal.is_set():
                return EXIT_FAILED
            if capture.state().hung:
                return EXIT_HUNG
            self._notifier.heartbeat()
            await doorkeeper.keep_open()
            await asyncio.wait({stopping}, timeout=HEARTBEAT_S)
        return 0

    async def _close(
        self, thread: threading.Thread, server: RingServer, ring: Ring, second: SecondRing | None
    ) -> None:
        self._stop_capture.set()
        await asyncio.to_thread(thread.join, CAPTURE_END_S)
        self.left_behind = True  # libav's threads may outlive ours; nothing of them is needed any more
        await server.close()
        closing = asyncio.create_task(asyncio.to_thread(ring.close))
        if second is not None:
            await second.close(SECOND_CLOSE_S)
        await closing


def _hand_over(loop: asyncio.AbstractEventLoop, take: Callable[[Any], None], value: object) -> None:
    """Give a thread's outcome to the loop; one that has ended does not wait for it any more."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(take, value)
