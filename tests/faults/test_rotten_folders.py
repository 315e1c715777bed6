"""What the storage cannot read for a while, or in part, is neither forgotten nor counted on."""

import errno
import os
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_agent.buffer import layout
from edge_agent.buffer.disposal import Disposal
from edge_agent.buffer.index import Index
from edge_agent.buffer.index_file import INDEX_FILES
from edge_agent.buffer.keeper import Room
from edge_agent.buffer.layout import segment_file
from edge_agent.buffer.ring import Ring
from tests.support.polling import wait_until
from tests.support.rings import BOOT_IDS, RingBench
from tests.support.rotten import rot

pytestmark = pytest.mark.faults

SECOND_US = 1_000_000
FIRST_FOLDER = "segments/000000"


@pytest.fixture
def bench(tmp_path: Path) -> RingBench:
    return RingBench(tmp_path)


def record(bench: RingBench, seconds: float = 16) -> int:
    """The instant at which the footage begins, µs."""
    ring = bench.open()
    begin_us = bench.clock.wall_us()
    bench.record(ring, seconds)
    ring.close()
    return begin_us


def held(bench: RingBench, ring: Ring) -> list[int]:
    return sorted(number for number in bench.files() if ring._holdings.holds(number))


def fail(monkeypatch: pytest.MonkeyPatch, name: str, path: Path, times: int = 1) -> None:
    """Have one function of `os` fail so often for a path."""
    real: Callable[..., Any] = getattr(os, name)
    left = [times]

    def call(where: object = ".", *args: object, **more: object) -> object:
        if str(where) == str(path) and left[0]:
            left[0] -= 1
            raise OSError(errno.EIO, "Input/output error", str(path))
        return real(where, *args, **more)

    monkeypatch.setattr(os, name, call)


def test_a_folder_that_could_not_be_listed_once_is_not_forgotten(
    bench: RingBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin_us = record(bench)
    with monkeypatch.context() as patched:
        fail(patched, "listdir", bench.directory / FIRST_FOLDER)
        ring = bench.open()
    assert held(bench, ring) == [1, 2, 3, 4]
    assert bench.ask(ring, begin_us, begin_us + 16 * SECOND_US).parts == 1
    bench.record(ring, 4)
    ring.close()
    assert sorted(bench.files()) == [1, 2, 3, 4, 1000]
    ring = bench.open(record=False)
    assert held(bench, ring) == [1, 2, 3, 4, 1000]
    ring.close()


def test_no_number_is_used_twice_when_the_index_cannot_be_read_either(
    bench: RingBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(bench)
    for number in (1, 2):
        bench.files()[number].unlink()
    bench.reboot(60, BOOT_IDS[1])
    with monkeypatch.context() as patched:
        fail(patched, "stat", bench.directory / "index.db")
        fail(patched, "listdir", bench.directory / FIRST_FOLDER, times=2)
        ring = bench.open()
    bench.record(ring, 4)
    ring.close()
    assert sorted(bench.files()) == [3, 4, 1000]


def test_plans_that_could_not_be_listed_once_pin_what_they_did(
    bench: RingBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin_us = record(bench)
    ring = bench.open(record=False)
    bench.ask(ring, begin_us, begin_us + 6 * SECOND_US)
    pinned = ring._holdings.pins.sequences()
    ring.close()
    with monkeypatch.context() as patched:
        fail(patched, "scandir", bench.directory / "plans")
        ring = bench.open(record=False)
    assert pinned
    assert ring._holdings.pins.sequences() == pinned
    ring.close()
    ring = bench.open(record=False)
    assert ring._holdings.pins.sequences() == pinned
    ring.close()


def spoil_table(path: Path, table: str) -> None:
    """Overwrite the first page of a table of the index."""
    with sqlite3.connect(path) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
        (size_bytes,) = connection.execute("PRAGMA page_size").fetchone()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    with path.open("r+b") as file:
        file.seek((page - 1) * size_bytes)
        file.write(b"\xff" * size_bytes)


TABLES = ["meta", "boots", "anchors", "segments", "stretches", "lives", "plans", "pins", "deletions"]


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("is_read_only", [False, True])
def test_a_page_of_the_index_that_is_no_page_stops_no_start(bench: RingBench, table: str, is_read_only: bool) -> None:
    begin_us = record(bench)
    ring = bench.open(record=False)
    bench.ask(ring, begin_us, begin_us + 6 * SECOND_US)
    ring.close()
    spoil_table(bench.directory / "index.db", table)
    if is_read_only:
        ring = bench.open(record=False)
        assert bench.ask(ring, begin_us, begin_us + 16 * SECOND_US, 2).parts == 1
        ring.close()
    else:
        record(bench, 4)
        assert len(bench.files()) == 5


def spoil_directory(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """A folder whose inode is well, and whose blocks are not: nothing in it can be listed, found or made."""

    def failing(real: Callable[..., Any], *, itself: bool) -> Callable[..., Any]:
        def call(name: object = ".", *args: object, **more: object) -> object:
            inside = isinstance(name, str | Path) and os.fspath(name).startswith(f"{folder}/")
            if inside or (itself and str(name) == str(folder)):
                raise OSError(errno.EIO, "Input/output error", str(name))
            return real(name, *args, **more)

        return call

    for name in ("stat", "lstat", "open", "unlink"):
        monkeypatch.setattr(os, name, failing(getattr(os, name), itself=False))
    for name in ("listdir", "scandir"):
        monkeypatch.setattr(os, name, failing(getattr(os, name), itself=True))


@pytest.mark.parametrize("is_running", [False, True])
def test_recording_goes_on_behind_a_folder_that_takes_nothing(
    bench: RingBench, monkeypatch: pytest.MonkeyPatch, is_running: bool
) -> None:
    record(bench)
    ring = bench.open() if is_running else None
    spoil_directory(monkeypatch, bench.directory / FIRST_FOLDER)
    ring = ring or bench.open()
    bench.start(ring)

    def is_recorded() -> bool:
        bench.play(ring, 1)
        return ring._holdings.holds(1000)

    wait_until(is_recorded, what="footage in the next folder", timeout_s=60)
    ring.close()
    monkeypatch.undo()
    assert {1, 2, 3, 4, 1000} <= set(bench.files())
    assert max(bench.files()) < 2000


def test_another_index_is_used_for_good(bench: RingBench, monkeypatch: pytest.MonkeyPatch) -> None:
    record(bench)
    with monkeypatch.context() as patched:
        rot(patched, bench.directory / "index.db")
        patched.setattr(Path, "replace", refuse)
        ring = bench.open()
        assert ring._index.path.name == INDEX_FILES[1]
        bench.record(ring, 4)
        ring.close()
    stale = Index(bench.directory / "index.db")
    stale.decide_deletion([2])  # as if it had not come to it any more
    stale.close()
    ring = bench.open(record=False)
    assert ring._index.path.name == INDEX_FILES[1]
    assert held(bench, ring) == [1, 2, 3, 4, 5]
    ring.close()


def refuse(path: Path, target: Path) -> None:
    raise OSError(errno.EIO, "so the test wants it", str(path), None, str(target))


def test_what_the_storage_refuses_to_remove_is_not_removed_first(
    bench: RingBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = Index(bench.data_dir / "index.db")
    refused, other = range(1000, 1100), 2500
    for number in (*refused, other):
        path = bench.data_dir / segment_file(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        if number != other:
            rot(monkeypatch, path)
    disposal = Disposal(bench.data_dir, index)
    disposal.remove(refused)
    disposal.remove([other])
    assert not (bench.data_dir / segment_file(other)).exists()
    assert disposal.owed() == set(refused)
    index.close()


def test_space_is_not_looked_for_in_a_folder_that_lets_nothing_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = RingBench(tmp_path)
    monkeypatch.setattr(layout, "_FILES_A_FOLDER", 25)
    record(bench, 4 * 40)
    spoil_directory(monkeypatch, bench.directory / FIRST_FOLDER)
    ring = bench.open(record=False)
    freed = [ring._keeper.free_space(1) for _ in range(3)]
    assert all(freed), freed
    assert not {25, 26, 27} & set(bench.files())
    free_bytes = iter(range(10**6, 10**9, 10**5))
    monkeypatch.setattr(ring._keeper, "room", lambda: Room(next(free_bytes), 10**12))
    monkeypatch.setattr(ring._keeper, "_limits", replace(ring._keeper._limits, min_free_bytes=10**11))
    rounds = 0
    while 35 in bench.files():
        ring._keeper.round()
        rounds += 1
        assert rounds < 10
    held = [number for number in range(1, 25) if ring._holdings.holds(number)]
    assert len(held) >= 20
    ring.close()
    monkeypatch.undo()
    assert bench.files().keys() >= set(held)


def test_a_mark_beside_an_index_that_stays_is_obeyed_once(bench: RingBench, monkeypatch: pytest.MonkeyPatch) -> None:
    record(bench)
    for file in INDEX_FILES:
        (bench.directory / file).touch()
    (bench.directory / "index.damaged").touch()
    real = Path.replace

    def replace_others(path: Path, target: Path) -> Path:
        if path.name == INDEX_FILES[0]:
            refuse(path, target)
        return real(path, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", replace_others)
        record(bench, 4)
    assert not (bench.directory / "index.damaged").exists()
    assert sorted(bench.files()) == [1, 2, 3, 4, 5]
