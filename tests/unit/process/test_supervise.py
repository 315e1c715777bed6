"""The supervisor over real children that misbehave on request."""

import asyncio
import errno
import os
import signal
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest
from tenacity import wait_fixed

from edge_agent import supervise
from edge_agent.clock import SystemClock
from edge_agent.errors import SettingsError
from edge_agent.notify import Notifier
from edge_agent.settings import CameraSettings, Settings, UnitSettings
from edge_agent.supervise import ChildSpec, Supervisor
from tests.support.polling import until
from tests.support.service_manager import ServiceManager

CHILD = """
import os, signal, sys, time
from edge_agent.clock import SystemClock
from edge_agent.notify import Notifier
mode = sys.argv[1]
if mode == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if mode.startswith("refuse"):
    sys.exit(2)
if mode == "crash":
    sys.exit(7)
if mode == "once":
    if os.path.exists(sys.argv[2]):
        sys.exit(2)
    open(sys.argv[2], "w").close()
if mode == "until" and not os.path.exists(sys.argv[2]):
    sys.exit(2)
if mode == "never":
    while True:
        Notifier.from_environment().heartbeat()
        SystemClock().sleep(0.05)
notifier = Notifier.from_environment()
notifier.ready()
while True:
    notifier.heartbeat()
    SystemClock().sleep(0.05)
"""


class Unit:
    """A supervisor under test, with the pids that it started."""

    def __init__(self, *modes: str, notifier: Notifier | None = None, needed: Sequence[str] | None = None) -> None:
        self.pids: dict[str, list[int]] = {mode: [] for mode in modes}
        self.ends: list[tuple[str, str]] = []
        self.supervisor = Supervisor(
            [ChildSpec(mode, ("-c", CHILD, *mode.split(" ", 1)), mode in (needed or modes)) for mode in modes],
            SystemClock(),
            notifier or Notifier(None, None),
            wait_fixed(0.05),
            lambda name, pid: self.pids[name].append(pid),
            lambda name, reason: self.ends.append((name, reason)),
        )
        self.task = asyncio.create_task(self.supervisor.run())

    async def started(self, mode: str, times: int = 1) -> int:
        await until(lambda: len(self.pids[mode]) >= times, what=f"{mode} started {times} times")
        return self.pids[mode][times - 1]

    async def end(self) -> int:
        self.supervisor.stop()
        return await asyncio.wait_for(self.task, 10)

    def alive(self) -> list[int]:
        return [pid for pids in self.pids.values() for pid in pids if psutil.pid_exists(pid)]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervise, "HEARTBEAT_S", 0.1)
    monkeypatch.setattr(supervise, "SILENCE_LIMIT_S", 2.0)
    monkeypatch.setattr(supervise, "START_LIMIT_S", 5.0)
    monkeypatch.setattr(supervise, "STOP_GRACE_S", 1.0)


async def test_a_killed_child_starts_again_and_the_other_is_left_alone() -> None:
    unit = Unit("good", "other")
    first = await unit.started("good")
    await unit.started("other")
    os.kill(first, signal.SIGKILL)
    assert await unit.started("good", 2) != first
    assert len(unit.pids["other"]) == 1
    assert await unit.end() == 0
    assert unit.alive() == []
    assert unit.ends == [("good", "signal SIGKILL")]


async def test_a_stopped_child_is_killed_and_started_again() -> None:
    unit = Unit("good")
    os.kill(await unit.started("good"), signal.SIGSTOP)
    await unit.started("good", 2)
    assert await unit.end() == 0
    assert unit.ends == [("good", "fell silent and was killed")]


async def test_a_child_that_crashes_is_started_again_and_again() -> None:
    unit = Unit("crash")
    await unit.started("crash", 3)
    assert unit.ends[:2] == [("crash", "exit code 7")] * 2
    assert await unit.end() == 0


async def test_a_signal_without_a_name_ends_a_child_and_not_the_supervisor() -> None:
    unit = Unit("good")
    os.kill(await unit.started("good"), signal.SIGRTMIN + 5)
    await unit.started("good", 2)
    assert unit.ends == [("good", f"signal {signal.SIGRTMIN + 5}")]
    assert await unit.end() == 0


async def test_a_child_that_does_not_hear_is_killed_at_the_end() -> None:
    unit = Unit("deaf")
    await unit.started("deaf")
    assert await unit.end() == 0
    assert unit.alive() == []


async def test_settings_that_every_recorder_refuses_end_the_unit() -> None:
    unit = Unit("refuse", "refuse too", "good", needed=("refuse", "refuse too"))
    assert await asyncio.wait_for(unit.task, 10) == 2
    assert unit.alive() == []


async def test_settings_that_one_recorder_refuses_stop_no_other(tmp_path: Path) -> None:
    with ServiceManager(tmp_path / "n") as manager:
        unit = Unit("refuse", "good", notifier=Notifier(str(manager.path), None))
        await unit.started("refuse", 3)
        await until(lambda: manager.count("READY=1") == 1, what="ready without it")
        told = "STATUS=1 of 2 processes; settings refused by: refuse"
        await until(lambda: manager.count(told) == 1, what="who refuses")
        assert len(unit.pids["good"]) == 1
        assert await unit.end() == 0


async def test_a_recorder_whose_settings_are_mended_runs_without_a_restart_of_the_unit(tmp_path: Path) -> None:
    mark = tmp_path / "mended"
    with ServiceManager(tmp_path / "n") as manager:
        unit = Unit("good", f"until {mark}", notifier=Notifier(str(manager.path), None))
        await unit.started(f"until {mark}", 2)
        mark.touch()
        await until(lambda: manager.count("STATUS=2 of 2 processes") == 1, what="all run")
        assert len(unit.pids["good"]) == 1
        assert await unit.end() == 0


async def test_settings_that_the_link_refuses_stop_no_recording() -> None:
    unit = Unit("refuse", "good", needed=("good",))
    await unit.started("refuse", 3)
    assert len(unit.pids["good"]) == 1
    assert await unit.end() == 0


async def test_settings_that_are_refused_later_are_one_failure_more(tmp_path: Path) -> None:
    mark = tmp_path / "refuse"
    unit = Unit(f"once {mark}")
    first = await unit.started(f"once {mark}")
    await until(mark.exists, what="the first life")
    os.kill(first, signal.SIGKILL)
    await unit.started(f"once {mark}", 3)
    assert not unit.task.done()
    assert await unit.end() == 0


async def test_a_system_that_gives_no_process_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    spawn = asyncio.create_subprocess_exec
    refusals = [OSError(errno.EAGAIN, "no process"), OSError(errno.ENOMEM, "no memory")]

    async def spawn_later(*arguments: Any, **options: Any) -> asyncio.subprocess.Process:  # noqa: ANN401 -- passed on
        if refusals:
            raise refusals.pop()
        return await spawn(*arguments, **options)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", spawn_later)
    unit = Unit("good")
    await unit.started("good")
    assert await unit.end() == 0


async def test_a_system_that_gives_no_socket_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    make = socket.socket
    refusals = [OSError(errno.ENFILE, "no file"), OSError(errno.EMFILE, "no descriptor")]

    def make_later(family: int = -1, kind: int = -1, *more: Any, **named: Any) -> socket.socket:  # noqa: ANN401 -- passed on
        if refusals and family == socket.AF_UNIX and kind & socket.SOCK_DGRAM:
            raise refusals.pop()
        return make(family, kind, *more, **named)

    monkeypatch.setattr(socket, "socket", make_later)
    unit = Unit("good")
    await unit.started("good")
    assert not refusals
    assert await unit.end() == 0


async def test_a_slow_start_is_no_hung_start_and_the_service_manager_is_asked_for_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervise, "START_LIMIT_S", 0.5)
    with ServiceManager(tmp_path / "n") as manager:
        unit = Unit("never ready", notifier=Notifier(str(manager.path), None))
        await unit.started("never ready")
        await until(lambda: manager.count("EXTEND_TIMEOUT_USEC=60000000") > 10, what="asking for time")
        assert manager.count("READY=1") == 0
        assert len(unit.pids["never ready"]) == 1
        assert await unit.end() == 0


async def test_the_service_manager_hears_readiness_and_heartbeats(tmp_path: Path) -> None:

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as ears:
        ears.bind(str(tmp_path / "n"))
        unit = Unit("good", notifier=Notifier(str(tmp_path / "n"), 1.0))
        heard: list[str] = []

        def hear() -> bool:
            try:
                heard.extend(ears.recv(200).decode().splitlines())
            except BlockingIOError:
                return False
            return "READY=1" in heard and heard.count("WATCHDOG=1") > 2

        await until(hear, what="READY=1 and heartbeats")
        assert await unit.end() == 0
        await until(lambda: hear() or "STOPPING=1" in heard, what="STOPPING=1")


def test_a_source_whose_library_a_unit_lacks_ends_it_before_anything_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_agent.capture.table.find_spec", lambda name: None)
    unit = UnitSettings(id="nomad-07", data_dir=tmp_path / "data")
    settings = Settings(unit=unit, camera=(CameraSettings(name="main", source="test:"),))
    with pytest.raises(SettingsError, match="scripts/setup demo"):
        supervise.run_unit(settings, tmp_path / "unit.toml", SystemClock())
    assert not (tmp_path / "data").exists()


def needy_settings(folder: Path, *sources: str) -> Settings:
    cameras = tuple(CameraSettings(name=f"camera-{n}", source=source) for n, source in enumerate(sources))
    tables = {
        "mqtt": {"url": "mqtt://127.0.0.1", "password_file": folder / "password"},
        "upload": {"url": "http://127.0.0.1/files/"},
        "trust": {"command_keys_file": folder / "keys.json"},
    }
    unit = {"id": "nomad-07", "data_dir": folder / "data"}
    return Settings.model_validate({"unit": unit, "camera": cameras} | tables)


def test_a_file_that_one_camera_or_the_link_lacks_does_not_keep_the_unit_from_starting(tmp_path: Path) -> None:
    supervise.say_what_is_missing(needy_settings(tmp_path, "test:", f"file:{tmp_path}/nope.mp4"))


def test_files_that_every_camera_lacks_are_all_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"(?s)camera-0.*a\.mp4.*camera-1.*b\.mp4"):
        supervise.say_what_is_missing(needy_settings(tmp_path, f"file:{tmp_path}/a.mp4", f"file:{tmp_path}/b.mp4"))
