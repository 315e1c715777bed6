"""The recorder process while its ring is being opened."""

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
from tenacity import wait_fixed

import edge_agent.capture.file  # noqa: F401 -- libav is loaded before an event loop runs
from edge_agent import recorder
from edge_agent.buffer.ring import Ring
from edge_agent.clock import SystemClock
from edge_agent.contract.access_unit import CodecConfig
from edge_agent.errors import RingStorageError, SettingsError
from edge_agent.notify import Notifier
from edge_agent.recorder import Recorder, find_camera
from edge_agent.settings import CameraSettings, Settings
from tests.support.polling import until
from tests.support.service_manager import ServiceManager
from tests.unit.capture.fakes import RecordingSink


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ServiceManager]:
    monkeypatch.setattr(recorder, "HEARTBEAT_S", 0.05)
    with ServiceManager(tmp_path / "notify") as listening:
        yield listening


def make_recorder(
    tmp_path: Path, manager: ServiceManager, *, take_over: bool = False, name: str = "main", **camera: object
) -> Recorder:
    table = {"name": "main", "source": "file:absent.mp4"} | camera
    settings = Settings.model_validate({"unit": {"id": "nomad-07", "data_dir": tmp_path / "data"}, "camera": [table]})
    notifier = Notifier(str(manager.path), None)
    return Recorder(settings, find_camera(settings, name), SystemClock(), notifier, take_over=take_over)


async def test_signs_of_life_go_on_while_a_ring_takes_long_to_open(
    tmp_path: Path, manager: ServiceManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    recovered = threading.Event()
    open_ring = Recorder._open_ring

    def open_slowly(self: Recorder) -> object:
        recovered.wait(60)
        return open_ring(self)

    monkeypatch.setattr(Recorder, "_open_ring", open_slowly)
    running = asyncio.create_task(make_recorder(tmp_path, manager).run())
    await until(lambda: manager.count("WATCHDOG=1") > 5, what="signs of life")
    assert manager.count("READY=1") == 0
    recovered.set()
    await until(lambda: manager.count("READY=1"), what="readiness")
    os.kill(os.getpid(), signal.SIGTERM)
    assert await running == 0
    await until(lambda: manager.count("STOPPING=1"), what="farewell")


async def test_a_signal_ends_it_while_the_ring_does_not_open(
    tmp_path: Path, manager: ServiceManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    never = threading.Event()
    monkeypatch.setattr(Recorder, "_open_ring", lambda _self: never.wait(60))
    process = make_recorder(tmp_path, manager)
    running = asyncio.create_task(process.run())
    await until(lambda: manager.count("WATCHDOG=1") > 1, what="signs of life")
    os.kill(os.getpid(), signal.SIGTERM)
    assert await asyncio.wait_for(running, 5) == 0
    assert process.left_behind
    never.set()


async def test_a_ring_that_cannot_be_opened_is_an_error(
    tmp_path: Path, manager: ServiceManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_self: Recorder) -> NoReturn:
        raise RingStorageError("the disk refuses")

    monkeypatch.setattr(Recorder, "_open_ring", refuse)
    with pytest.raises(RingStorageError, match="refuses"):
        await make_recorder(tmp_path, manager).run()
    assert manager.count("READY=1") == 0


async def test_under_a_supervisor_storage_is_waited_for_with_signs_of_life(
    tmp_path: Path, manager: ServiceManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "_STORAGE_WAIT", wait_fixed(0.2))
    refusals = ["read-only", "read-only", "gone"]
    open_ring = Recorder._open_ring

    def refuse_first(self: Recorder) -> object:
        if refusals:
            raise RingStorageError(refusals.pop())
        return open_ring(self)

    monkeypatch.setattr(Recorder, "_open_ring", refuse_first)
    running = asyncio.create_task(make_recorder(tmp_path, manager, take_over=True).run())
    await until(lambda: manager.count("READY=1"), what="readiness")
    assert manager.count("WATCHDOG=1") > 5
    os.kill(os.getpid(), signal.SIGTERM)
    assert await running == 0


async def test_a_signal_ends_the_wait_for_storage(
    tmp_path: Path, manager: ServiceManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "_STORAGE_WAIT", wait_fixed(600))

    def refuse(_self: Recorder) -> NoReturn:
        raise RingStorageError("the disk refuses")

    monkeypatch.setattr(Recorder, "_open_ring", refuse)
    running = asyncio.create_task(make_recorder(tmp_path, manager, take_over=True).run())
    await until(lambda: manager.count("WATCHDOG=1") > 5, what="signs of life")
    os.kill(os.getpid(), signal.SIGTERM)
    assert await asyncio.wait_for(running, 5) == 0


def test_a_source_that_cannot_be_used_touches_no_disk(tmp_path: Path, manager: ServiceManager) -> None:
    with pytest.raises(SettingsError, match="main"):
        make_recorder(tmp_path, manager, source="file:")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("is_mounted", [True, False])
def test_a_ring_on_a_disk_of_its_own_is_asked_whether_it_can_be_written(
    tmp_path: Path, manager: ServiceManager, monkeypatch: pytest.MonkeyPatch, is_mounted: bool
) -> None:
    mount = tmp_path / "data" / "ring" / ("main" if is_mounted else "rear")
    mount.mkdir(parents=True)
    statvfs = os.statvfs

    def look(path: Path) -> object:
        found = statvfs(path)
        return found if path == mount else SimpleNamespace(f_flag=found.f_flag | os.ST_RDONLY)

    monkeypatch.setattr("edge_agent.storage_fault.os.statvfs", look)
    process = make_recorder(tmp_path, manager)
    if is_mounted:
        opened: list[str] = []
        monkeypatch.setattr(recorder, "Ring", SimpleNamespace(open=lambda *_given, **_more: opened.append("main")))
        process._open_ring()
        assert opened == ["main"]
    else:
        with pytest.raises(RingStorageError, match="ring/main is on read-only storage"):
            process._open_ring()


async def test_a_proxys_ring_that_does_not_open_holds_nobody_up(
    tmp_path: Path, manager: ServiceManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "SECOND_CLOSE_S", 0.2)
    hangs, begun = threading.Event(), threading.Event()

    def open_ring(data_dir: Path, camera: CameraSettings, *given: Any, **more: Any) -> Ring:  # noqa: ANN401 -- handed on
        if camera.name == "main-proxy":
            begun.set()
            hangs.wait(60)
        return Ring.open(data_dir, camera, *given, **more)

    monkeypatch.setattr(recorder, "Ring", SimpleNamespace(open=open_ring))
    process = make_recorder(tmp_path, manager, proxy={})
    running = asyncio.create_task(process.run())
    await until(lambda: manager.count("READY=1") and begun.is_set(), what="readiness")
    os.kill(os.getpid(), signal.SIGTERM)
    assert await asyncio.wait_for(running, 5) == 0
    hangs.set()


def warnings_of(process: Recorder) -> tuple[str, ...]:
    """What segments, state and health are told while the camera gives too few pixels, and another size than asked."""
    process._capture = process._make_supervisor(RecordingSink())
    process._capture.on_start(CodecConfig("h264", b"", 640, 360, 25.0))
    process._report.warn("size-not-as-asked", "ask for what the camera has")
    return process._warnings()


def test_what_the_law_asks_of_a_picture_is_not_asked_of_a_proxy(
    tmp_path: Path, manager: ServiceManager, caplog: pytest.LogCaptureFixture
) -> None:
    proxy = make_recorder(tmp_path, manager, name="main-proxy", source="test:", proxy={"source": "test:"})
    assert warnings_of(proxy) == ("size-not-as-asked",)
    assert "legal minimum" not in caplog.text
    main = make_recorder(tmp_path, manager, source="test:", proxy={"source": "test:"})
    assert warnings_of(main) == ("resolution-below-legal-minimum", "size-not-as-asked")
