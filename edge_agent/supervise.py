"""`edge-agent run`: one recorder a camera and one link, each its own process, kept alive.

A child is started, watched and started again with capped, jittered backoff. Its heartbeat comes over the service
manager's protocol (`notify`); a child that falls silent is stopped in its tracks or hangs, and is killed. The
supervisor itself does nothing else: whatever happens to it, the recorders go on, and the next supervisor's children
take their locks over (`takeover`).

Settings of which no recorder can make anything end the unit, before it has recorded anything. What one camera alone
or the link lacks (a file, a library, a usable address) stops no other: its process is started again and again, and
what is put there later is taken then.
"""

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tenacity.wait import wait_base

from edge_agent.capture.table import check_libraries
from edge_agent.clock import Clock, read_boot_id
from edge_agent.errors import SettingsError
from edge_agent.health.process_diary import ProcessDiary
from edge_agent.notify import Notifier
from edge_agent.paths import process_book
from edge_agent.retry import backoff_s, jittered
from edge_agent.settings import CameraSettings, Settings
from edge_agent.settings_file import check_camera_files, check_link_files
from edge_agent.unit_lock import hold_unit_lock

logger = logging.getLogger(__name__)

STOP_GRACE_S = 4.0
START_LIMIT_S = 60.0
"""A child that is not ready and silent for so long is taken for hung: the interpreter loads, a lock is taken over."""
SILENCE_LIMIT_S = 20.0
"""A ready child without heartbeat for so long is taken for hung."""
EXTEND_START_S = 60.0
"""While recorders start, the service manager is asked again and again for so much more time."""
HEARTBEAT_S = 2.0
STABLE_S = 60.0
"""A child that lived so long starts again at once, and its backoff anew."""
EXIT_SETTINGS = 2
EXIT_NOT_STARTED = 71
"""The system has no process or memory to give (sysexits(3) EX_OSERR)."""


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """One process of the unit.

    Attributes:
        name: for people: `record main`, `link`.
        arguments: command line after the interpreter.
        needed_for_ready: the unit counts as started only when this one is ready.
    """

    name: str
    arguments: tuple[str, ...]
    needed_for_ready: bool


def children_of(settings: Settings, settings_file: Path, *, verbose: bool = False) -> list[ChildSpec]:
    """The processes that a unit with these settings consists of."""
    common = ("--config", str(settings_file), "--take-over", *(("--verbose",) if verbose else ()))
    recorders = [
        ChildSpec(f"record {camera.name}", ("-m", "edge_agent", "record", camera.name, *common), True)
        for camera in settings.recorders
    ]
    return [*recorders, ChildSpec("link", ("-m", "edge_agent", "link", *common), False)]


@dataclass(slots=True)
class Child:
    """A running child's signs of life."""

    spec: ChildSpec
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    heard_us: int = 0
    starts: int = 0
    refused: bool = False
    """Its first start refused the settings, and none since was ready."""
    silent: bool = False
    """Its life ended because it fell silent."""


class Supervisor:
    """Starts, watches and ends the children.

    Args:
        specs: what to run.
        clock: injected clocks.
        notifier: the service manager above.
        backoff: wait strategy between two starts of the same child.
        on_start: told the name and the process id of each start.
        on_end: told the name and the reason of each end that nobody asked for; must not wait.
    """

    def __init__(
        self,
        specs: Sequence[ChildSpec],
        clock: Clock,
        notifier: Notifier,
        backoff: wait_base | None = None,
        on_start: Callable[[str, int], None] = lambda _name, _pid: None,
        on_end: Callable[[str, str], None] = lambda _name, _reason: None,
    ) -> None:
        self._children = [Child(spec) for spec in specs]
        self._clock = clock
        self._notifier = notifier
        self._backoff = backoff or jittered(0.5, 30.0)
        self._on_start = on_start
        self._on_end = on_end
        self._stop = asyncio.Event()
        self._refused = False

    def stop(self) -> None:
        """Ask for the end; `run` then ends every child within `STOP_GRACE_S`."""
        self._stop.set()

    async def run(self) -> int:
        """Keep the children alive until `stop`.

        Returns:
            Exit code: 0, or 2 when every recorder said at its first start that its settings cannot be used.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        async with asyncio.TaskGroup() as tasks:
            keepers = [
                tasks.create_task(self._keep(child), name=f"keep {child.spec.name}") for child in self._children
            ]
            herald = tasks.create_task(self._herald(), name="service manager")
            await self._stop.wait()
            self._notifier.stopping()
            herald.cancel()
            await asyncio.wait(keepers)
        return EXIT_SETTINGS if self._refused else 0

    async def _herald(self) -> None:
        """Tell the service manager once that the recorders are ready, and ever after that we live."""
        announced, said = False, ""
        interval_s = min(HEARTBEAT_S, (self._notifier.watchdog_s or 2 * HEARTBEAT_S) / 2)
        while True:
            self._notifier.heartbeat()
            status = self._status()
            if not announced and self._are_ready():
                announced = True
                self._notifier.send("READY=1", f"MAINPID={os.getpid()}")
                logger.info("ready: %s", status)
            if not announced:
                self._notifier.send(f"EXTEND_TIMEOUT_USEC={int(EXTEND_START_S * 1e6)}")
            elif status != said:
                self._notifier.send(f"STATUS={status}")
                said = status
            await self._clock.async_sleep(interval_s)

    def _are_ready(self) -> bool:
        """Whether every recorder runs but those that refuse their settings, and one does."""
        needed = [child for child in self._children if child.spec.needed_for_ready]
        return all(child.ready.is_set() or child.refused for child in needed) and not self._is_refused_by_all()

    def _is_refused_by_all(self) -> bool:
        needed = [child for child in self._children if child.spec.needed_for_ready]
        return bool(needed) and all(child.refused for child in needed)

    def _status(self) -> str:
        refused = [child.spec.name for child in self._children if child.refused]
        lacking = f"; settings refused by: {', '.join(refused)}" if refused else ""
        return f"{len(self._children) - len(refused)} of {len(self._children)} processes{lacking}"

    async def _keep(self, child: Child) -> None:
        attempt = 0
        while not self._stop.is_set():
            started_us = self._clock.monotonic_us()
            code = await self._live(child)
            if self._stop.is_set():
                return
            if code == EXIT_SETTINGS and child.starts == 1:
                child.refused = True
                logger.error("%s refuses its settings, see above; mend them: it is tried again", child.spec.name)
                if child.spec.needed_for_ready and self._is_refused_by_all():
                    logger.error("no camera can be recorded; the unit ends")
                    self._refused = True
                    self.stop()
                    return
            self._on_end(child.spec.name, _reason_of(code, child.silent))
            lived_s = (self._clock.monotonic_us() - started_us) / 1e6
            attempt = 1 if lived_s >= STABLE_S else attempt + 1
            wait_s = backoff_s(self._backoff, attempt)
            logger.warning("%s ended with %s after %.1f s; again in %.1f s", child.spec.name, code, lived_s, wait_s)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), wait_s)

    async def _live(self, child: Child) -> int:
        """One life of a child, from its start to its end, whoever ends it; its exit code."""
        child.starts += 1
        child.silent = False
        try:
            with _ears() as (name, ears):
                process = await asyncio.create_subprocess_exec(
                    sys.executable, *child.spec.arguments, env=_environment(name), stdin=asyncio.subprocess.DEVNULL
                )
                child.heard_us = self._clock.monotonic_us()
                self._on_start(child.spec.name, process.pid)
                logger.info("%s started as process %d", child.spec.name, process.pid)
                return await self._watch(child, process, ears)
        except OSError as error:
            logger.error("%s cannot be started: %s", child.spec.name, error)  # noqa: TRY400 -- the sentence says it all
            return EXIT_NOT_STARTED
        finally:
            child.ready.clear()

    async def _watch(self, child: Child, process: asyncio.subprocess.Process, ears: socket.socket) -> int:
        ended = asyncio.create_task(process.wait())
        asked = asyncio.create_task(self._stop.wait())
        listener = asyncio.create_task(self._listen(child, ears))
        looked_us = self._clock.monotonic_us()
        killed = False  # once is enough: one that waits for a dead disk ends when the disk lets go of it
        try:
            while not ended.done() and not self._stop.is_set():
                await asyncio.wait({ended, asked}, timeout=HEARTBEAT_S, return_when=asyncio.FIRST_COMPLETED)
                now_us = self._clock.monotonic_us()
                if now_us - looked_us > 2 * HEARTBEAT_S * 1e6:
                    child.heard_us = now_us  # this process itself was stopped: its children's messages wait unread
                looked_us = now_us
                if not (ended.done() or killed) and self._is_hung(child):
                    killed = child.silent = True
                    logger.error("%s fell silent: killed", child.spec.name)
                    with contextlib.suppress(ProcessLookupError):
                        process.kill()
            if not ended.done():
                await self._end(child, process)
            return await ended
        finally:
            for task in (listener, asked, ended):
                task.cancel()

    def _is_hung(self, child: Child) -> bool:
        limit_s = SILENCE_LIMIT_S if child.ready.is_set() else START_LIMIT_S
        return self._clock.monotonic_us() - child.heard_us > limit_s * 1e6

    async def _listen(self, child: Child, ears: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            lines = (await loop.sock_recv(ears, 4096)).decode(errors="replace").splitlines()
            child.heard_us = self._clock.monotonic_us()
            if "READY=1" in lines:
                child.ready.set()
                child.refused = False

    async def _end(self, child: Child, process: asyncio.subprocess.Process) -> None:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_GRACE_S)
        except TimeoutError:
            logger.error("%s did not end in %.0f s: killed", child.spec.name, STOP_GRACE_S)  # noqa: TRY400 -- expected
            with contextlib.suppress(ProcessLookupError):
                process.kill()


def _reason_of(code: int, silent: bool) -> str:
    """Why a child ended, for people."""
    if silent:
        return "fell silent and was killed"
    if code >= 0:
        return f"exit code {code}"
    names = {number.value: number.name for number in signal.Signals}  # real-time signals have none but the first
    return f"signal {names.get(-code, -code)}"


@contextlib.contextmanager
def _ears() -> Iterator[tuple[str, socket.socket]]:
    """A socket of its own for one life of a child, and its address as `NOTIFY_SOCKET` has it."""
    name = f"edge-agent-{os.getpid()}-{secrets.token_hex(8)}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC) as ears:
        ears.bind(f"\0{name}")
        yield f"@{name}", ears


def _environment(notify_socket: str) -> dict[str, str]:
    more = {"NOTIFY_SOCKET": notify_socket, "WATCHDOG_USEC": str(int(SILENCE_LIMIT_S * 1e6))}
    return {name: value for name, value in os.environ.items() if name != "WATCHDOG_PID"} | more


def say_what_is_missing(settings: Settings) -> None:
    """Look for files and libraries before anything is started; what one process alone lacks is logged.

    Raises:
        SettingsError: no camera has all that it needs.
    """
    faults = [
        fault for camera in settings.recorders if (fault := _fault_of(partial(_check_camera, camera))) is not None
    ]
    if len(faults) == len(settings.recorders):
        raise SettingsError("; ".join(faults))
    for fault in faults:
        logger.error("%s: this camera is not recorded until then, the others are", fault)
    link_fault = _fault_of(partial(check_link_files, settings))
    if link_fault is not None:
        logger.error("%s: until then there is no link; recording goes on", link_fault)


def _check_camera(camera: CameraSettings) -> None:
    check_camera_files(camera)
    check_libraries(camera)


def _fault_of(check: Callable[[], None]) -> str | None:
    try:
        check()
    except SettingsError as error:
        return str(error)
    return None


def run_unit(settings: Settings, settings_file: Path, clock: Clock, *, verbose: bool = False) -> int:
    """`edge-agent run`; the exit code.

    Raises:
        SettingsError: every camera lacks a file that the settings name, or a library that its source needs.
        UnitBusyError: the unit runs already.
    """
    say_what_is_missing(settings)
    notifier = Notifier.from_environment()

    specs = children_of(settings, settings_file, verbose=verbose)

    async def main() -> int:
        names = [spec.name for spec in specs]
        diary = ProcessDiary(process_book(settings.unit.data_dir), read_boot_id(), names, clock)
        return await Supervisor(specs, clock, notifier, on_end=diary.ended).run()

    with hold_unit_lock(settings.unit.data_dir):
        return asyncio.run(main())
