"""A disk that refuses, fills or crawls: recording goes on as well as it can, says so, and comes back by itself."""

import errno
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from edge_agent.buffer.clip.reader import PartReader, read_plan
from edge_agent.buffer.keeper import Keeper, Room
from edge_agent.buffer.retention import over_limits
from edge_agent.buffer.ring import Ring
from edge_agent.buffer.segment_writer import StorageCalls
from edge_agent.errors import RingRequestError
from tests.support.polling import wait_until
from tests.support.rings import FPS, RingBench, held_segments, synced

pytestmark = pytest.mark.faults

SECOND_US = 1_000_000


class FaultyDisk:
    """Stands before the writes and syncs of segments and refuses as it is told."""

    def __init__(self, ring: Ring, directory: Path) -> None:
        self.write_error: int | None = None
        self.sync_error: int | None = None
        self.room_bytes: int | None = None
        self.refusals = self.headers_refused = 0
        self.blocked: threading.Event | None = None
        self.is_waiting = False
        self._directory = directory
        ring.storage = StorageCalls(write=self.write, sync=self.sync)

    def write(self, descriptor: int, data: bytes, offset: int) -> int:
        self._refuse(self.write_error)
        if self.headers_refused and not offset:
            self.headers_refused -= 1
            self._refuse(errno.ENOSPC)
        if self.room_bytes is not None and self._used_bytes() + len(data) > self.room_bytes:
            self._refuse(errno.ENOSPC)
        return os.pwrite(descriptor, data, offset)

    def sync(self, descriptor: int) -> None:
        if self.blocked is not None:
            self.is_waiting = True
            self.blocked.wait(60)
        self._refuse(self.sync_error)
        os.fdatasync(descriptor)

    def _refuse(self, number: int | None) -> None:
        if number is not None:
            self.refusals += 1
            raise OSError(number, os.strerror(number))

    def _used_bytes(self) -> int:
        used_bytes = 0
        for path in self._directory.glob("segments/*/*.mp4"):
            with suppress(FileNotFoundError):  # retention has just removed it
                used_bytes += path.stat().st_size
        return used_bytes


@pytest.fixture
def bench(tmp_path: Path) -> RingBench:
    return RingBench(tmp_path)


@pytest.fixture
def ring(bench: RingBench) -> Iterator[Ring]:
    ring = bench.open()
    yield ring
    ring.close()
    assert not bench.fatal


@pytest.fixture
def disk(bench: RingBench, ring: Ring) -> FaultyDisk:
    return FaultyDisk(ring, bench.directory)


def held_samples(ring: Ring) -> int:
    return sum(len(info.samples) for info in held_segments(ring))


def test_a_full_disk_gives_up_the_oldest_and_loses_nothing_new(
    bench: RingBench, ring: Ring, disk: FaultyDisk
) -> None:
    bench.record(ring, 20)
    disk.room_bytes = disk._used_bytes() + 1000
    bench.record(ring, 20)
    assert disk.refusals > 0
    assert 1 not in bench.files()
    newest = [info for info in held_segments(ring) if info.header.monotonic_us >= 80_000_000]
    assert sum(len(info.samples) for info in newest) == 20 * FPS
    state = ring.state_figures()
    assert state.storage_ok
    assert state.write_errors == 0
    assert state.space_errors > 0
    assert state.dropped_units == 0


def test_a_disk_smaller_than_the_limits_is_never_full(
    bench: RingBench, ring: Ring, disk: FaultyDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.record(ring, 40)
    room_bytes = disk._used_bytes() * 2
    disk.room_bytes = room_bytes

    def room(_: Keeper) -> Room:
        return Room(room_bytes - disk._used_bytes(), room_bytes)

    def has_room() -> bool:
        return room(ring._keeper).free_bytes >= room_bytes // 8

    monkeypatch.setattr(Keeper, "room", room)
    for _ in range(20):
        bench.record(ring, 4)
        wait_until(has_room, what="room for the next segment")
    assert 1 not in bench.files()
    assert len(bench.files()) > 10
    state = ring.state_figures()
    assert disk.refusals == state.write_errors == state.space_errors == 0
    assert state.storage_ok


def test_a_disk_that_stays_full_whatever_is_given_up_is_a_failure(
    bench: RingBench, ring: Ring, disk: FaultyDisk
) -> None:
    bench.record(ring, 20)
    disk.room_bytes = 0
    bench.record(ring, 4, end=None)
    wait_until(lambda: not ring.state_figures().storage_ok, what="the failure in the state")
    assert ring.state_figures().write_errors > 0
    disk.room_bytes = None
    bench.play(ring, 4)
    wait_until(lambda: ring.state_figures().storage_ok, what="the recovery in the state")


def test_a_full_disk_takes_what_a_clip_waits_for_last_of_all(bench: RingBench, ring: Ring, disk: FaultyDisk) -> None:
    begin_us = bench.clock.wall_us()
    bench.record(ring, 20)
    bench.ask(ring, begin_us, begin_us + 4 * SECOND_US)
    disk.room_bytes = disk._used_bytes() + 1000
    bench.record(ring, 12)
    assert 1 in bench.files()
    disk.room_bytes = bench.files()[1].stat().st_size + 2000
    bench.record(ring, 20)
    assert 1 not in bench.files()
    assert bench.files()


def test_an_index_without_space_gives_up_the_oldest_and_goes_on(bench: RingBench, ring: Ring) -> None:
    bench.record(ring, 40)
    index = ring._index._writer
    (pages,) = index.execute("PRAGMA page_count").fetchone()
    index.execute(f"PRAGMA max_page_count={pages}")
    bench.record(ring, 40, end=None)
    ring.end_stream("stopped", "")
    wait_until(lambda: "full" in ring.state_figures().storage_detail, what="the trouble in the state")
    wait_until(lambda: 1 not in bench.files(), what="the oldest given up")
    index.execute("PRAGMA max_page_count=1000000")
    bench.wait_recorded(ring)
    wait_until(lambda: ring.state_figures().storage_ok, what="the recovery in the state")
    kept = [info.sequence for info in held_segments(ring)]
    assert kept == sorted(bench.files())
    assert kept[-1] == 20


@pytest.mark.parametrize("fault", ["write_error", "sync_error"])
def test_a_failing_disk_is_told_and_recording_resumes(
    bench: RingBench, ring: Ring, disk: FaultyDisk, fault: str
) -> None:
    bench.record(ring, 4, end=None)
    wait_until(synced(ring, 3 * FPS), what="footage before the fault")
    setattr(disk, fault, errno.EIO)
    bench.play(ring, 4)
    wait_until(lambda: not ring.state_figures().storage_ok, what="the failure in the state")
    assert "Input/output error" in ring.state_figures().storage_detail
    before = held_samples(ring)
    assert before >= 3 * FPS
    setattr(disk, fault, None)
    bench.play(ring, 8)
    wait_until(lambda: ring.state_figures().storage_ok, what="the recovery in the state")
    ring.end_stream("stopped", "")
    bench.wait_recorded(ring)
    segments = held_segments(ring)
    assert "storage-error" in [info.header.opened_cause for info in segments]
    assert held_samples(ring) + ring.state_figures().dropped_units == 16 * FPS
    assert held_samples(ring) >= before + 8 * FPS
    assert all(info.fragments[0].record.is_key for info in segments)


def test_what_was_synced_before_a_failure_is_there_after_a_restart(
    bench: RingBench, ring: Ring, disk: FaultyDisk
) -> None:
    bench.record(ring, 6, end=None)
    wait_until(synced(ring, 5 * FPS), what="footage before the fault")
    before = held_segments(ring)
    disk.write_error = disk.sync_error = errno.EIO
    bench.play(ring, 3)
    wait_until(lambda: disk.refusals > 0, what="a refusal")
    ring.close()
    disk.write_error = disk.sync_error = None
    again = bench.open(record=False)
    after = {info.sequence: info for info in held_segments(again)}
    again.close()
    for info in before:
        assert after[info.sequence].fragments[: len(info.fragments)] == info.fragments


def test_a_crawling_disk_leaves_out_whole_groups_and_capture_never_waits(
    bench: RingBench, ring: Ring, disk: FaultyDisk
) -> None:
    ring._intake._max_bytes = 30_000
    disk.blocked = threading.Event()
    bench.record(ring, 4, end=None)
    wait_until(lambda: disk.is_waiting, what="a sync that takes long")
    bench.play(ring, 40)
    assert ring.state_figures().dropped_units > 0
    disk.blocked.set()
    ring.end_stream("stopped", "")
    bench.wait_recorded(ring)
    segments = held_segments(ring)
    assert "overload" in [info.header.opened_cause for info in segments]
    assert all(info.fragments[0].record.is_key for info in segments)
    assert held_samples(ring) + ring.state_figures().dropped_units == 44 * FPS
    newest = segments[-1].fragments[-1].record.monotonic_us
    assert bench.clock.monotonic_us() - newest <= 2 * SECOND_US
    causes = [span.cause for span in ring.coverage(50).last_24h if not span.held]
    assert "overload" in causes


def test_a_defect_in_the_writer_closes_the_segment_and_is_told(
    bench: RingBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring = bench.open()
    bench.record(ring, 4, end=None)
    wait_until(synced(ring, 3 * FPS), what="footage before the defect")

    def fail(_: object) -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(ring._writer, "_sync_when_due", fail)
    bench.play(ring, 2)
    wait_until(lambda: bench.fatal, what="the defect told")
    wait_until(lambda: not ring._holdings.unindexed(), what="the segment closed")
    assert held_samples(ring) >= 3 * FPS
    ring.close()


def test_a_disk_that_turns_read_only_is_met_again_by_the_same_process(
    bench: RingBench, ring: Ring, disk: FaultyDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk.sync_error = errno.EIO
    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", refuse)
        bench.record(ring, 2, end=None)
        wait_until(lambda: not ring.state_figures().storage_ok, what="the failure told")
        bench.play(ring, 2)
        disk.sync_error, disk.write_error = None, errno.EROFS
        bench.play(ring, 2)
    disk.write_error = None
    before = held_samples(ring)
    bench.play(ring, 4)
    wait_until(lambda: held_samples(ring) > before, what="footage after the failure")
    assert not bench.fatal


def test_a_segment_without_a_key_frame_is_not_given_up_for_a_moment_without_space(
    bench: RingBench, ring: Ring, disk: FaultyDisk
) -> None:
    bench.record(ring, 12)
    stream = bench.stream(12)
    ring.start_stream(stream.config, "camera-lost")
    for place, unit in enumerate(stream.units):
        if place == 4 * FPS:
            wait_until(synced(ring, 15 * FPS), what="most of the first segment")
            disk.headers_refused = 1
        ring.write(replace(unit, is_key=place == 0))
        bench.clock.advance(1 / FPS)
    ring.end_stream("stopped", "")
    bench.wait_recorded(ring)
    assert disk.refusals == 1
    assert ring.state_figures().dropped_units == 0


def refuse(path: Path, *, missing_ok: bool = False) -> None:
    raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))


def test_a_clip_asked_while_retention_runs_is_whole_or_refused(tmp_path: Path) -> None:
    """The oldest footage is asked for again and again while it is being removed."""
    bench = RingBench(tmp_path, {"segment_s": 1})
    ring = bench.open()
    begin_us = bench.clock.wall_us()
    bench.record(ring, 120)
    stop = threading.Event()

    def retire(keeper: Keeper) -> None:
        while not stop.is_set():
            keeper._dispose(lambda held, pins: over_limits(held, pins, 1, 0, 1))
            stop.wait(0.002)

    retiring = threading.Thread(target=retire, args=(ring._keeper,))
    retiring.start()
    planned = 0
    refusals: set[str] = set()
    try:
        for number in range(100):
            start_us = begin_us + number * SECOND_US
            try:
                result = bench.ask(ring, start_us, start_us + 3 * SECOND_US, number)
            except RingRequestError as refusal:
                refusals.add(refusal.code)
                continue
            planned += 1
            plan = read_plan(bench.data_dir / result.plan_file)
            for part in plan.parts:
                with PartReader(bench.directory, bench.data_dir / result.plan_file, part) as reader:
                    assert sum(map(len, reader.chunks())) == part.length_bytes
    finally:
        stop.set()
        retiring.join(30)
    assert planned > 0
    assert refusals <= {"interval-overwritten", "interval-empty", "storage-error"}
    ring.close()
    assert not bench.fatal
