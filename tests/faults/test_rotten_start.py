"""One file that the storage cannot read, and that recording does not need, keeps no recorder from recording."""

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.clock import FakeClock, SystemClock
from edge_agent.deployment.record import FILE_NAME, load_or_create
from edge_agent.errors import RingBusyError, RingStorageError
from edge_agent.notify import Notifier
from edge_agent.paths import ring_directory, unit_lock
from edge_agent.recorder import Recorder
from edge_agent.settings import Settings
from edge_agent.unit_lock import hold_unit_lock
from tests.support.polling import until
from tests.support.rings import RingBench
from tests.support.rotten import rot
from tests.support.service_manager import ServiceManager

pytestmark = pytest.mark.faults

RING = "ring/main"
FILES = [
    FILE_NAME,
    "run/unit.lock",
    "run/main.sock",
    "link/link.lock",
    "link/link.db",
    "keys/unit.jwk",
    f"{RING}/lock",
    f"{RING}/index.damaged",
    f"{RING}/index.db",
    f"{RING}/index.db-wal",
    f"{RING}/index.db-shm",
    f"{RING}/plans",
    f"{RING}/damaged",
    f"{RING}/segments/000000",
]


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[ServiceManager]:
    with ServiceManager(tmp_path / "notify") as listening:
        yield listening


def settings_of(data_dir: Path) -> Settings:
    camera = {"name": "main", "source": "file:absent.mp4"}
    return Settings.model_validate({"unit": {"id": "nomad-07", "data_dir": data_dir}, "camera": [camera]})


@pytest.fixture(params=FILES)
def rotten(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory with footage, in which one file cannot be read."""
    bench = RingBench(tmp_path)
    record(bench)
    spoil(monkeypatch, bench.data_dir / request.param)
    return bench.data_dir


def spoil(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    if not path.exists():
        path.touch()
    rot(monkeypatch, path)


async def test_a_recorder_starts_beside_it(rotten: Path, manager: ServiceManager) -> None:
    settings = settings_of(rotten)
    camera, notifier = settings.camera[0], Notifier(str(manager.path), None)
    running = asyncio.create_task(Recorder(settings, camera, SystemClock(), notifier, take_over=True).run())
    await until(lambda: manager.count("READY=1") or running.done(), what="readiness")
    os.kill(os.getpid(), signal.SIGTERM)
    assert await asyncio.wait_for(running, 10) == 0
    assert manager.count("READY=1") == 1


def test_a_supervisor_starts_beside_its_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil(monkeypatch, unit_lock(tmp_path))
    with hold_unit_lock(tmp_path):
        pass  # what raises does not record


@pytest.mark.parametrize("file", [name for name in FILES if name.startswith(RING)])
@pytest.mark.parametrize("moves", [True, False], ids=["moves", "stays"])
def test_footage_goes_on_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, moves: bool) -> None:
    bench = RingBench(tmp_path)
    record(bench)
    before = set(bench.files())
    spoil(monkeypatch, bench.data_dir / file)
    if not moves:
        stick(monkeypatch, bench.data_dir / file)
    for _ in range(2):
        record(bench)
    monkeypatch.undo()
    after = bench.files()
    assert before < set(after)
    assert len(after) >= len(before) + 4


def stick(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """As the storage really does it: a name whose inode is rotten cannot be moved either."""
    replace = Path.replace

    def refuse(self: Path, target: Path) -> Path:
        if self == path:
            os.stat(path)  # noqa: PTH116 -- the call that is rotten
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", refuse)


def record(bench: RingBench) -> None:
    ring = bench.open()
    bench.record(ring, 8)
    ring.close()


def test_two_owners_are_kept_apart_by_the_folder_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = RingBench(tmp_path)
    ring = bench.open()
    rot(monkeypatch, ring_directory(bench.data_dir, "main") / "lock")
    with pytest.raises(RingBusyError):
        bench.open()
    ring.close()
    again = bench.open()
    with pytest.raises(RingBusyError):
        bench.open()
    again.close()


def test_an_unfinished_opening_leaves_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = RingBench(tmp_path)
    record(bench)
    with monkeypatch.context() as patch:
        rot(patch, bench.directory / "segments")
        with pytest.raises(RingStorageError):
            bench.open()
    bench.open().close()


def test_a_deployment_that_cannot_be_read_is_not_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / FILE_NAME
    first = load_or_create(settings_of(tmp_path), FakeClock())
    path.write_text(path.read_text(encoding="utf-8").replace('"bench"', '"dep-4"'), encoding="utf-8")
    kept = path.read_bytes()
    with monkeypatch.context() as patch:
        rot(patch, path)
        assert load_or_create(settings_of(tmp_path), FakeClock()).deployment_id == first.deployment_id
    assert path.read_bytes() == kept
    assert load_or_create(settings_of(tmp_path), FakeClock()).deployment_id == "dep-4"
