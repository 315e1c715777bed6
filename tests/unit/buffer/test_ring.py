"""A ring from end to end: record, close, open again, plan, release, lose the clock, find it."""

import os
from pathlib import Path

import pytest

from edge_agent import durable
from edge_agent.buffer.ring import Ring
from edge_agent.contract.clip import Interval
from edge_agent.contract.messages import CoverageInterval
from edge_agent.contract.ring_protocol import CoveragePageRequest
from edge_agent.durable import fsync_directory
from edge_agent.errors import RingBusyError, RingRequestError
from tests.support.polling import wait_until
from tests.support.rings import BOOT_IDS, FPS, RingBench, held_segments, synced

SECOND_US = 1_000_000


def test_what_was_recorded_is_there_after_closing_and_opening(bench: RingBench) -> None:
    ring = bench.open()
    bench.record(ring, 10, end=None)
    ring.close()
    again = bench.open(record=False)
    segments = held_segments(again)
    again.close()
    assert [segment.sequence for segment in segments] == [1, 2, 3]
    assert [segment.header.opened_cause for segment in segments] == ["start", "rotation", "rotation"]
    assert sum(len(segment.samples) for segment in segments) == 10 * FPS
    assert all(segment.closed for segment in segments)


def test_the_index_says_what_the_files_say(bench: RingBench, ring: Ring) -> None:
    bench.record(ring, 10)
    indexed = held_segments(ring)
    (bench.directory / "index.damaged").touch()
    ring.close()
    again = bench.open(record=False)
    assert held_segments(again) == indexed
    again.close()
    assert (bench.directory / "damaged" / "index.db").exists()


@pytest.mark.parametrize("mode", [None, 0o644])
def test_only_owner_and_group_may_read_the_index(bench: RingBench, mode: int | None) -> None:
    path = bench.directory / "index.db"
    if mode is not None:
        bench.open().close()
        path.chmod(mode)
    ring = bench.open()
    bench.record(ring, 4)
    modes = {file.name: file.stat().st_mode & 0o777 for file in bench.directory.glob("index.db*")}
    ring.close()
    assert modes.keys() == {"index.db", "index.db-wal", "index.db-shm"}
    assert not any(found & ~0o640 for found in modes.values())


def test_a_second_owner_is_refused_and_told_who_holds_it(bench: RingBench, ring: Ring) -> None:
    with pytest.raises(RingBusyError, match=str(os.getpid())):
        bench.open()


def test_folders_that_an_earlier_process_may_not_have_synced_are_once_a_process(
    bench: RingBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    (bench.directory / "segments" / "000000").mkdir(parents=True)
    (bench.directory / "plans").mkdir(parents=True)
    synced_folders: list[str] = []

    def sync(path: Path) -> None:
        synced_folders.append(path.relative_to(bench.data_dir).as_posix())
        fsync_directory(path)

    monkeypatch.setattr(durable, "fsync_directory", sync)
    ring = bench.open()
    ring_folder = bench.directory.relative_to(bench.data_dir).as_posix()
    assert {".", "ring", ring_folder} <= set(synced_folders)
    begin_us = bench.clock.wall_us()
    bench.record(ring, 20)
    assert synced_folders.count(f"{ring_folder}/segments") == 1
    bench.ask(ring, begin_us, begin_us + 4 * SECOND_US)
    assert f"{ring_folder}/plans" in synced_folders
    ring.close()


def test_causes_of_gaps_across_runs_and_boots(bench: RingBench) -> None:
    begin_us = bench.clock.wall_us()
    ring = bench.open()
    bench.record(ring, 4)
    ring.close()
    bench.clock.advance(10)
    ring = bench.open()
    bench.record(ring, 4)
    ring.close()
    bench.reboot(100, BOOT_IDS[1])
    ring = bench.open()
    bench.record(ring, 4, end=None)
    wait_until(synced(ring, 12 * FPS - FPS), what="footage of three runs")
    coverage = ring.coverage(50)
    ring.close()
    assert [(span.held, span.cause) for span in coverage.last_24h] == [
        (True, None),
        (False, "restart"),
        (True, None),
        (False, "boot"),
        (True, None),
    ]
    assert coverage.oldest_us == begin_us
    assert sum(day.lost_s for day in coverage.days) == 110


def test_a_board_without_a_clock_dates_its_footage_when_it_learns_the_time(bench: RingBench) -> None:
    true_us = bench.clock.wall_us()
    bench.clock.step_wall(-true_us / 1e6)
    bench.probe.source = "unknown"
    ring = bench.open()
    bench.record(ring, 4)
    first = ring.coverage(10)
    assert first.oldest_us is not None
    assert first.oldest_us < 1_000_000_000
    assert ring.state_figures().clock.source == "unknown"
    bench.clock.step_wall(true_us / 1e6)
    bench.probe.source = "kernel"
    ring._keeper.sample()
    corrected = ring.coverage(10)
    assert corrected.oldest_us == true_us
    result = bench.ask(ring, true_us, true_us + 2 * SECOND_US)
    assert result.delivered is not None
    assert result.delivered.start_us == true_us
    ring.close()
    again = bench.open(record=False)
    assert again.coverage(10).oldest_us == true_us
    again.close()


def test_a_clock_step_neither_loses_nor_doubles_footage(bench: RingBench, ring: Ring) -> None:
    bench.record(ring, 4, end=None)
    bench.clock.step_wall(-3600)
    ring._keeper.sample()
    bench.play(ring, 4)
    ring.end_stream("stopped", "")
    bench.wait_recorded(ring)
    spans = ring.coverage(10).last_24h
    held = [span for span in spans if span.held]
    assert len(held) == 1
    assert held[0].end_us - held[0].start_us == pytest.approx(8 * SECOND_US, rel=0.002)


def test_the_state_tells_what_happens(bench: RingBench, ring: Ring) -> None:
    before = ring.state_figures()
    assert (before.recording, before.cause) == (False, "start")
    bench.record(ring, 4, end=None)
    wait_until(synced(ring, 3 * FPS), what="fragments")
    state = ring.state_figures()
    assert (state.recording, state.cause, state.codec) == (True, None, "h264")
    assert state.frames_per_second == pytest.approx(FPS, rel=0.3)
    assert state.storage_ok
    bench.clock.advance(6)
    silent = ring.state_figures()
    assert (silent.recording, silent.cause) == (False, "camera-lost")
    assert silent.last_frame_age_s == pytest.approx(6.2)
    ring.end_stream("camera-lost", "no route to host")
    assert ring.state_figures().detail == "no route to host"


def test_units_without_a_stream_are_not_written(bench: RingBench, ring: Ring) -> None:
    bench.play(ring, 2)
    bench.record(ring, 2)
    assert sum(len(segment.samples) for segment in held_segments(ring)) == 2 * FPS
    assert not bench.fatal


def test_a_silence_within_a_segment_is_a_gap(tmp_path: Path) -> None:
    bench = RingBench(tmp_path, {"segment_s": 60})
    ring = bench.open()
    bench.record(ring, 2, end=None)
    wait_until(bench.while_time_passes(synced(ring, 2 * FPS)), what="the last pictures before the silence written")
    bench.clock.advance(4)
    bench.play(ring, 2)
    ring.end_stream("stopped", "")
    bench.wait_recorded(ring)
    spans = ring.coverage(10).last_24h
    assert [(span.held, span.cause) for span in spans] == [(True, None), (False, "camera-lost"), (True, None)]
    assert len(bench.files()) == 1
    ring.close()


def test_coverage_comes_in_pages(bench: RingBench, ring: Ring) -> None:
    begin_us = bench.clock.wall_us()
    for _ in range(4):
        bench.record(ring, 2)
        bench.clock.advance(10)
    interval = Interval(start_us=begin_us, end_us=bench.clock.wall_us())
    whole = ring.coverage_page(CoveragePageRequest(interval=interval, max_intervals=100))
    assert whole.cursor is None
    paged: list[CoverageInterval] = []
    cursor = None
    while True:
        page = ring.coverage_page(CoveragePageRequest(interval=interval, cursor=cursor, max_intervals=2))
        paged += page.intervals
        cursor = page.cursor
        if cursor is None:
            break
    assert tuple(paged) == whole.intervals
    with pytest.raises(RingRequestError):
        ring.coverage_page(CoveragePageRequest(interval=interval, cursor="yesterday"))


def test_sequence_numbers_are_never_used_again(bench: RingBench) -> None:
    ring = bench.open()
    bench.record(ring, 8)
    ring.close()
    highest = max(bench.files())
    for path in bench.files().values():
        path.unlink()
    ring = bench.open()
    bench.record(ring, 2)
    ring.close()
    assert min(bench.files()) > highest


def test_a_camera_that_is_absent_from_the_start_is_told_and_is_the_cause_when_it_lasted_longest(
    bench: RingBench,
) -> None:
    ring = bench.open()
    bench.record(ring, 4)
    ring.close()
    bench.clock.advance(10)
    ring = bench.open()
    ring.end_stream("camera-lost", "no route to host")
    state = ring.state_figures()
    assert (state.recording, state.cause, state.detail) == (False, "camera-lost", "no route to host")
    assert ring.coverage(10).last_24h[-1].cause == "restart"
    bench.clock.advance(60)
    assert ring.coverage(10).last_24h[-1].cause == "camera-lost"
    bench.record(ring, 4)
    assert held_segments(ring)[-1].header.opened_cause == "camera-lost"
    ring.close()
