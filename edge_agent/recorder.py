"""The recorder process: one camera, its capture, its ring and the ring's socket.

    capture thread ──► ring's intake ──► ring's writer thread ──► disk
    event loop: the ring's socket, signals, heartbeat

The event loop never touches camera or disk. When the camera's library hangs for good, or one of the ring's threads
ended of a defect, the process closes what it can and leaves: its supervisor starts it again.
"""

import asyncio
import logging
import os
import signal
import threading
import uuid

from edge_agent import __version__
from edge_agent.buffer.ring import Ring, RingContext
from edge_agent.buffer.server import RingServer
from edge_agent.capture.source import SourceContext
from edge_agent.capture.supervisor import CaptureSupervisor
from edge_agent.capture.timeline import MediaTimeline
from edge_agent.clock import Clock, read_boot_id
from edge_agent.deployment.record import load_or_create
from edge_agent.errors import RingBusyError, RingStorageError, SettingsError
from edge_agent.notify import Notifier
from edge_agent.paths import ring_lock, ring_socket
from edge_agent.settings import CameraSettings, Settings
from edge_agent.takeover import retire_holder

logger = logging.getLogger(__name__)

HEARTBEAT_S = 2.0
CAPTURE_END_S = 1.2
"""How long the end of the process waits for the camera's library; the ring's close needs the rest of 5 s."""
EXIT_FAILED = 1
EXIT_HUNG = 75
"""The camera's library does not come back (sysexits(3) EX_TEMPFAIL)."""


def find_camera(settings: Settings, name: str) -> CameraSettings:
    """The settings of one camera.

    Raises:
        SettingsError: there is none of this name.
    """
    for camera in settings.camera:
        if camera.name == name:
            return camera
    known = ", ".join(camera.name for camera in settings.camera)
    raise SettingsError(f"no camera {name!r} in the settings; there is: {known}")


def ring_context(settings: Settings, clock: Clock) -> RingContext:
    """Who records, where, and a new run id.

    Raises:
        RingStorageError: the deployment record cannot be read or made.
    """
    try:
        deployment = load_or_create(settings, clock)
    except OSError as error:
        raise RingStorageError(f"deployment record under {settings.unit.data_dir}: {error}") from error
    return RingContext(
        unit_id=settings.unit.id,
        boot_id=read_boot_id(),
        run_id=uuid.uuid4().hex,
        software_version=__version__,
        deployment_id=deployment.deployment_id,
        position=deployment.position,
    )


def run_recorder(settings: Settings, name: str, clock: Clock, *, take_over: bool) -> int:
    """Record one camera until SIGTERM or SIGINT; the exit code.

    Raises:
        SettingsError: no such camera, or a source that cannot be used as it is set.
        RingBusyError: another process records this camera.
        RingStorageError: the data directory cannot be used.
    """
    camera = find_camera(settings, name)
    if take_over and not retire_holder(ring_lock(settings.unit.data_dir, name), clock):
        raise RingBusyError(f"the ring of {name} is held by a process that does not end")
    recorder = Recorder(settings, camera, clock, Notifier.from_environment())
    code = asyncio.run(recorder.run())
    if recorder.left_behind:
        logging.shutdown()
        os._exit(code)  # a thread inside the camera's library would hold the interpreter's end up
    return code


class Recorder:
    """One camera's capture and ring, in this process.

    Raises:
        SettingsError: the source cannot be used as it is set.
        RingError: the ring cannot be opened.
    """

    def __init__(self, settings: Settings, camera: CameraSettings, clock: Clock, notifier: Notifier) -> None:
        self._clock = clock
        self._notifier = notifier
        self._fatal = threading.Event()
        self._stop_capture = threading.Event()
        context = ring_context(settings, clock)
        source = SourceContext(context.unit_id, clock, MediaTimeline(clock.monotonic_us()))
        self._ring = Ring.open(
            settings.unit.data_dir, camera, context, clock, warnings=self._warnings, on_fatal=self._note_fatal
        )
        self._capture = CaptureSupervisor(camera, source, self._ring, clock)
        self._capture_thread = threading.Thread(target=self._run_capture, name="capture", daemon=True)
        self._server = RingServer(self._ring, ring_socket(settings.unit.data_dir, camera.name))
        self.left_behind = False
        """A thread of the camera's library did not end."""

    def _warnings(self) -> tuple[str, ...]:
        return self._capture.state().warnings

    def _note_fatal(self, error: BaseException) -> None:
        logger.critical("the ring failed: %s: %s", type(error).__name__, error)
        self._fatal.set()

    def _run_capture(self) -> None:
        try:
            self._capture.run(self._stop_capture)
        except Exception:
            # A defect between camera and ring: the process ends with its segment closed and is started again.
            logger.exception("capture failed")
            self._fatal.set()

    async def run(self) -> int:
        """Record until a signal, a hang or a defect; the exit code."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        try:
            self._capture_thread.start()
            await self._server.start()
            self._notifier.ready()
            return await self._beat(stop)
        finally:
            self._notifier.stopping()
            await self._close()

    async def _beat(self, stop: asyncio.Event) -> int:
        """Tell the supervisor that we live, until there is a reason to end."""
        while not stop.is_set():
            if self._fatal.is_set():
                return EXIT_FAILED
            if self._capture.state().hung:
                return EXIT_HUNG
            self._notifier.heartbeat()
            waiting = asyncio.create_task(stop.wait())
            await asyncio.wait({waiting}, timeout=HEARTBEAT_S)
            waiting.cancel()
        return 0

    async def _close(self) -> None:
        self._stop_capture.set()
        await asyncio.to_thread(self._capture_thread.join, CAPTURE_END_S)
        self.left_behind = True  # libav's threads may outlive ours; nothing of them is needed any more
        await self._server.close()
        await asyncio.to_thread(self._ring.close)
