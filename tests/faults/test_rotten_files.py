"""One file that the storage cannot read any more costs its own footage, and nothing else: no start, no other file."""

import errno
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_agent.buffer.clip.reader import read_plan
from edge_agent.buffer.layout import segment_file
from edge_agent.buffer.recovery import make_room
from edge_agent.buffer.ring import Ring
from edge_agent.contract.ring_protocol import PlanResult
from edge_agent.errors import RingRequestError, RingStorageError
from tests.support.polling import wait_until
from tests.support.rings import BOOT_IDS, RingBench
from tests.support.rotten import rot

pytestmark = pytest.mark.faults

SECOND_US = 1_000_000
SEGMENT_S = 4
MANY = 60


@pytest.fixture
def bench(tmp_path: Path) -> RingBench:
    return RingBench(tmp_path)


def record(bench: RingBench, segments: int = MANY) -> int:
    """The instant at which the footage begins, µs."""
    ring = bench.open()
    begin_us = bench.clock.wall_us()
    bench.record(ring, segments * SEGMENT_S)
    ring.close()
    return begin_us


def lose_index(bench: RingBench) -> None:
    for suffix in ("", "-wal", "-shm"):
        (bench.directory / f"index.db{suffix}").unlink(missing_ok=True)


def rebuilt(bench: RingBench) -> Ring:
    ring = bench.open(record=False)
    rounds = 0
    while ring._keeper.files_to_index:
        ring._keeper.round()
        rounds += 1
        assert rounds < 100
    return ring


def ask(bench: RingBench, ring: Ring, begin_us: int, first: int, last: int) -> PlanResult:
    """A clip over these segments, counted from 1."""
    return bench.ask(
        ring, begin_us + (first - 1) * SEGMENT_S * SECOND_US, begin_us + last * SEGMENT_S * SECOND_US, first
    )


def sequences_of(bench: RingBench, result: PlanResult) -> list[int]:
    plan = read_plan(bench.data_dir / result.plan_file)
    return [piece.sequence for part in plan.parts for piece in part.ranges]


@pytest.mark.parametrize("rotten", [1, 10, 34, 35, 36, 58, 59, MANY])
def test_a_rotten_segment_stops_no_rebuild(bench: RingBench, monkeypatch: pytest.MonkeyPatch, rotten: int) -> None:
    begin_us = record(bench)
    lose_index(bench)
    rot(monkeypatch, bench.directory / segment_file(rotten))
    ring = rebuilt(bench)
    assert sequences_of(bench, ask(bench, ring, begin_us, 20, 22)) == [20, 21, 22]
    first = min(max(rotten - 1, 1), MANY - 2)
    found = ask(bench, ring, begin_us, first, first + 2)
    assert sequences_of(bench, found) == [number for number in range(first, first + 3) if number != rotten]
    ring.close()
    monkeypatch.undo()
    assert len(bench.files()) == MANY


def test_a_ring_with_a_rotten_segment_goes_on_recording(bench: RingBench, monkeypatch: pytest.MonkeyPatch) -> None:
    record(bench)
    lose_index(bench)
    rot(monkeypatch, bench.directory / segment_file(MANY - 1))
    assert len(bench.files()) == MANY
    record(bench, 2)
    assert len(bench.files()) == MANY + 2


def test_a_segment_that_rots_costs_a_clip_no_other(bench: RingBench, monkeypatch: pytest.MonkeyPatch) -> None:
    begin_us = record(bench, 5)
    ring = bench.open(record=False)
    rot(monkeypatch, bench.directory / segment_file(3))
    for _ in range(2):
        result = ask(bench, ring, begin_us, 1, 5)
        assert sequences_of(bench, result) == [1, 2, 4, 5]
        assert ring.release(f"0197a1b2-0000-7000-8000-{1:012x}")
    ring.close()
    monkeypatch.undo()
    ring = bench.open(record=False)
    assert sequences_of(bench, ask(bench, ring, begin_us, 1, 5)) == [1, 2, 3, 4, 5]
    ring.close()


@pytest.mark.parametrize("file", ["plans/.a.plan.1.tmp", ".ring.tmp", f"plans/0197a1b2-0000-7000-8000-{1:012x}.plan"])
@pytest.mark.parametrize("is_index_lost", [False, True])
def test_what_rots_beside_the_footage_stops_no_start(
    bench: RingBench, monkeypatch: pytest.MonkeyPatch, file: str, is_index_lost: bool
) -> None:
    begin_us = record(bench, 5)
    ring = bench.open(record=False)
    ask(bench, ring, begin_us, 1, 2)
    ring.close()
    if is_index_lost:
        lose_index(bench)
    (bench.directory / file).touch()
    rot(monkeypatch, bench.directory / file)
    record(bench, 1)
    assert len(bench.files()) == 6


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
def test_what_the_system_lacks_for_a_moment_makes_no_hole(
    bench: RingBench, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    begin_us = record(bench)
    lose_index(bench)
    rot(monkeypatch, bench.directory / segment_file(8), number, times=3)
    ring = rebuilt(bench)
    plan = read_plan(bench.data_dir / ask(bench, ring, begin_us, 7, 9).plan_file)
    assert [piece.sequence for part in plan.parts for piece in part.ranges] == [7, 8, 9]
    assert plan.gaps == ()
    ring.close()


def lacking_then_well(real: Callable[[], object], times: int) -> Callable[[], object]:
    left = [times]

    def call() -> object:
        if left[0]:
            left[0] -= 1
            raise RingStorageError("so the test wants it")
        return real()

    return call


@pytest.mark.parametrize("name", ["boots", "anchors"])
def test_a_read_that_fails_at_the_end_of_a_rebuild_leaves_no_boot_without_clock(
    bench: RingBench, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    begin_us = record(bench, 10)
    bench.reboot(60, BOOT_IDS[1])
    record(bench, 40)
    bench.reboot(60, BOOT_IDS[2])
    lose_index(bench)
    ring = bench.open(record=False)
    monkeypatch.setattr(ring._index, name, lacking_then_well(getattr(ring._index, name), 2))
    rounds = 0
    while ring._keeper.files_to_index:
        try:
            ask(bench, ring, begin_us, 1, 2)
        except RingRequestError as refusal:
            assert refusal.code == "storage-error"  # noqa: PT017 -- an early answer would do as well
        ring.state_figures()
        ring._keeper.round()
        rounds += 1
        assert rounds < 100
    assert sequences_of(bench, ask(bench, ring, begin_us, 1, 2)) == [1, 2]
    ring.close()


def test_a_storage_that_refuses_removals_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bench = RingBench(tmp_path, {"max_age_h": 1})
    record(bench, 100)
    files = list(bench.files().values())
    bench.clock.advance(2 * 3600)
    for path in files[:40]:
        rot(monkeypatch, path)
    with caplog.at_level(logging.WARNING):
        ring = bench.open(record=False)
        for _ in range(20):
            ring._keeper.round()
    assert len(caplog.records) < 10
    assert "40 segments" in ring._keeper.trouble
    assert sorted(bench.files()) == list(range(1, 41))
    monkeypatch.undo()
    for _ in range(5):
        ring._keeper.round()
    assert ring._keeper.trouble == ""
    wait_until(lambda: not bench.files(), what="the rest of it removed")
    ring.close()


def test_a_rotten_file_keeps_a_full_disk_from_no_room(bench: RingBench, monkeypatch: pytest.MonkeyPatch) -> None:
    record(bench, 20)
    rot(monkeypatch, bench.directory / segment_file(1))

    def free_bytes(_path: Path) -> int:
        return (20 - len(bench.files())) * 300_000

    assert make_room(bench.directory, free_bytes, spared=0) > 0
    assert 1 in bench.files()
    assert 2 not in bench.files()
