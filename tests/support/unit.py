"""A whole unit for tests: `edge-agent run` with its recorders and link, and a look at what it does."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil

from edge_agent.buffer.client import call_sync
from edge_agent.buffer.segment import SegmentInfo
from edge_agent.buffer.segment_scan import scan_segment
from edge_agent.clock import SystemClock
from edge_agent.contract.messages import CameraCoverage
from edge_agent.contract.ring_protocol import RecorderState
from edge_agent.errors import RingError
from edge_agent.paths import link_lock, ring_directory, ring_lock, ring_socket
from edge_agent.takeover import is_locked, read_holder
from tests.support.link import write_settings
from tests.support.polling import wait_until
from tests.support.processes import Processes

UNIT_ID = "nomad-07"
START_TIMEOUT_S = 90.0

Camera = dict[str, Any]


def small_camera(name: str = "main", **more: object) -> Camera:
    """A drawn camera that costs little: 192×144 at 10 fps."""
    picture = {
        "width": 192,
        "height": 144,
        "fps": 10,
        "bitrate_kbps": 300,
        "segment_s": 5,
        "min_free_bytes": 1_000_000,
    }
    return {"name": name, "source": "test:"} | picture | more


def camera_of(source: str, name: str = "main", **more: object) -> Camera:
    return {"name": name, "source": source, "segment_s": 5, "min_free_bytes": 1_000_000} | more


def plain_environment(**more: str) -> dict[str, str]:
    """The test's environment without settings or a service manager of the caller's."""
    own = {key: value for key, value in os.environ.items() if not key.startswith("EDGE_") and key != "NOTIFY_SOCKET"}
    return own | more


class Unit:
    """One data directory and what runs on it; ends everything that it ever saw running, by id."""

    def __init__(self, directory: Path, processes: Processes, cameras: Sequence[Camera] = ()) -> None:
        self.directory = directory
        self.data_dir = directory / "data"
        self.settings_file = directory / "unit.toml"
        self.tables: dict[str, Any] = {"unit": {"id": UNIT_ID, "data_dir": "data"}}
        self.cameras = list(cameras or [small_camera()])
        self._processes = processes
        self._seen: dict[int, psutil.Process] = {}
        self._starts = 0
        self.process: subprocess.Popen[bytes] | None = None
        directory.mkdir(exist_ok=True)
        self.write_settings()

    def write_settings(self, **tables: Mapping[str, object]) -> None:
        """The settings file, these tables added to what it has."""
        self.tables |= tables
        text = ""
        for name, table in [*self.tables.items(), *(("camera", camera) for camera in self.cameras)]:
            write_settings(self.settings_file, {name: dict(table)})
            text += self.settings_file.read_text(encoding="utf-8")
        self.settings_file.write_text(text, encoding="utf-8")

    @property
    def camera_names(self) -> list[str]:
        return [camera["name"] for camera in self.cameras]

    # -- running

    def command(self, *words: str | Path) -> list[str]:
        return [sys.executable, "-m", "edge_agent", *map(str, words), "--config", str(self.settings_file)]

    def spawn(self, *words: str, prefix: Sequence[str] = (), **environment: str) -> "subprocess.Popen[bytes]":
        """Start a command of the unit; what it says goes to a file `log-N.txt`."""
        self._starts += 1
        with (self.directory / f"log-{self._starts}.txt").open("wb") as log:
            process = self._processes.start(
                [*prefix, *self.command(*words)], stdout=log, stderr=log, env=plain_environment(**environment)
            )
        self._seen[process.pid] = psutil.Process(process.pid)
        return process

    def start(self, *, wait: bool = True, **environment: str) -> "Unit":
        """`edge-agent run`, until every camera is recorded."""
        self.process = self.spawn("run", **environment)
        if wait:
            self.wait_recording()
        return self

    def wait_recording(self, *cameras: str, timeout_s: float = START_TIMEOUT_S) -> None:
        """Wait until each camera has synced footage of after this call."""
        for camera in cameras or self.camera_names:
            now_us = SystemClock().wall_us()
            self.wait_footage_after(camera, now_us, timeout_s)

    def end(self, timeout_s: float = 30.0) -> int:
        """SIGTERM to the supervisor; its exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(timeout_s)

    def cli(self, *words: str | Path, timeout_s: float = 60.0) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end, as a person does."""
        return subprocess.run(
            self.command(*words),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            stdin=subprocess.DEVNULL,
            env=plain_environment(),
        )

    # -- its processes

    def pids(self) -> dict[str, int]:
        """Process ids of the supervisor's children by what they do: `record main`, `link`."""
        found: dict[str, int] = {}
        if self.process is None:
            return found
        with suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self.process.pid).children():
                with suppress(psutil.NoSuchProcess):
                    words = child.cmdline()
                    if "edge_agent" in words and child.status() != psutil.STATUS_ZOMBIE:
                        place = words.index("edge_agent") + 1
                        found[" ".join(words[place : place + (2 if words[place] == "record" else 1)])] = child.pid
                        self._seen.setdefault(child.pid, child)
        return found

    def pid_of(self, name: str) -> int:
        return wait_until(lambda: self.pids().get(name), what=f"{name} running") or 0

    def wait_other_pid(self, name: str, old: int, timeout_s: float = START_TIMEOUT_S) -> int:
        """The id of the process that came after `old`."""
        return wait_until(lambda: self._other(name, old), what=f"{name} again", timeout_s=timeout_s)

    def _other(self, name: str, old: int) -> int:
        pid = self.pids().get(name, 0)
        return 0 if pid == old else pid

    def wait_link_ready(self, other_than: int = 0) -> int:
        """The id of a link that holds its lock; without a try of the lock, which could be in the link's way."""

        def holder() -> int:
            pid = read_holder(link_lock(self.data_dir)) or 0
            return pid if pid != other_than and is_alive(pid) else 0

        return wait_until(holder, what="link", timeout_s=START_TIMEOUT_S)

    def cut_power(self) -> None:
        """Supervisor and children die at the same instant."""
        assert self.process is not None
        victims = [psutil.Process(pid) for pid in (self.process.pid, *self.pids().values())]
        for victim in victims:
            victim.suspend()
        for victim in victims:
            victim.kill()
        self.process.wait(10)
        psutil.wait_procs(victims, timeout=10)

    def kill_everything(self) -> None:
        """SIGKILL whatever was seen, and the holders of locks; for the end of the test."""
        self.pids()
        locks = [link_lock(self.data_dir), *(ring_lock(self.data_dir, name) for name in self.camera_names)]
        for path in locks:
            holder = read_holder(path)
            if holder is not None and path.exists() and is_locked(path):
                with suppress(psutil.NoSuchProcess):
                    self._seen.setdefault(holder, psutil.Process(holder))
        for process in self._seen.values():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(list(self._seen.values()), timeout=10)

    # -- what it says

    def ask(self, camera: str, request: dict[str, Any]) -> dict[str, Any]:
        return call_sync(ring_socket(self.data_dir, camera), request, SystemClock())

    def state(self, camera: str = "main") -> RecorderState:
        return RecorderState.from_object(self.ask(camera, {"op": "state"}))

    def coverage(self, camera: str = "main") -> CameraCoverage:
        return CameraCoverage.from_object(self.ask(camera, {"op": "coverage", "max_intervals": 2000}))

    def gaps(self, camera: str = "main") -> list[tuple[float, str | None]]:
        """Length in seconds and cause of each gap of the last 24 hours."""
        intervals = self.coverage(camera).last_24h
        return [((gap.end_us - gap.start_us) / 1e6, gap.cause) for gap in intervals if not gap.held]

    def wait_footage_after(self, camera: str, utc_us: int, timeout_s: float = 60.0) -> None:
        """Wait until footage of this instant is synced."""
        wait_until(lambda: (self.newest_us(camera) or 0) > utc_us, what="footage", timeout_s=timeout_s)

    def newest_us(self, camera: str) -> int | None:
        try:
            return self.state(camera).newest_us
        except RingError:
            return None

    def wait_released(self, camera: str) -> None:
        """Wait until no clip pins anything."""
        wait_until(lambda: self._plans(camera) == [], what="pins released")

    def _plans(self, camera: str) -> list[str] | None:
        """Clips that pin something; None while the recorder does not answer."""
        try:
            return list(self.ask(camera, {"op": "plans"})["clip_ids"])
        except RingError:
            return None

    # -- what lies on disk

    def segment_files(self, camera: str = "main") -> list[Path]:
        return sorted((ring_directory(self.data_dir, camera) / "segments").rglob("*.mp4"), key=lambda path: path.stem)

    def scanned(self, camera: str = "main") -> list[SegmentInfo]:
        """Every segment, each good to its last byte."""
        root, infos = ring_directory(self.data_dir, camera), []
        for path in self.segment_files(camera):
            result = scan_segment(path, root)
            assert result.problem is None, f"{path}: {result.problem}"
            assert result.info is not None
            infos.append(result.info)
        return infos

    def check_unbroken(self, camera: str) -> None:
        """One life of a recorder, and no picture is missing in it: decode times run on from segment to segment."""
        infos = self.scanned(camera)
        assert len({info.header.run_id for info in infos}) == 1
        times = [time for info in infos for time in info.samples.dts_90k]
        # Without the first picture: a source counts from its start, and draws the first one for longer when busy.
        steps = {after - before for before, after in pairwise(times[1:])}
        slowest_s = max(steps, default=0) / 90_000
        assert slowest_s < 1.0, f"{camera}: {slowest_s:.2f} s between two pictures"


def is_alive(pid: int) -> bool:
    """False also for what has ended and is not waited for yet."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def make_noise_video(path: Path, *, seconds: int = 8, mbit_s: int = 16) -> Path:
    """A file that is large for its length, to be played as a camera."""
    subprocess.run(
        [
            *("ffmpeg", "-v", "error", "-y", "-f", "lavfi"),
            *("-i", f"testsrc2=size=480x272:rate=25:duration={seconds},noise=alls=90:allf=t"),
            *("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "25"),
            *("-b:v", f"{mbit_s}M", "-minrate", f"{mbit_s}M", "-maxrate", f"{mbit_s}M", "-bufsize", "4M", str(path)),
        ],
        check=True,
        stdin=subprocess.DEVNULL,
    )
    return path


def log_text(unit: Unit) -> str:
    """Everything that the unit's processes said, for the messages of failed tests."""
    return "\n".join(path.read_text(errors="replace") for path in sorted(unit.directory.glob("log-*.txt")))


def running(unit: Unit) -> Iterator[Unit]:
    """For fixtures: the unit, ended with the test; what it said goes to the test's output."""
    try:
        yield unit
    finally:
        unit.kill_everything()
        sys.stderr.write(log_text(unit))
