"""A ring from end to end: record, close, open again, plan, release, lose the clock, find it."""

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from edge_agent import durable
from edge_agent.buffer import planning
from edge_agent.buffer.clip.reader import read_plan
from edge_agent.buffer.keeper import Room
from edge_agent.buffer.ring import Ring
from edge_agent.buffer.segment_scan import scan_segment
from edge_agent.contract.access_unit import AccessUnit
from edge_agent.contract.clip import Interval
from edge_agent.contract.messages import CoverageInterval
from edge_agent.contract.ring_protocol import CoveragePageRequest
from edge_agent.durable import fsync_directory
from edge_agent.errors import RingBusyError, RingRequestError
from tests.support.polling import wait_until
from tests.support.rings import BOOT_IDS, FPS, RingBench, clip_id, held_segments, synced

SECOND_US = 1_000_000


@pytest.fixture
def bench(tmp_path: Path) -> RingBench:
    return RingBench(tmp_path)


@pytest.fixture
def ring(bench: RingBench) -> Iterator[Ring]:
    ring = bench.open()
    yield ring
    ring.close()
    assert not bench.fatal


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


def test_the_open_segment_is_planned_up_to_its_last_synced_fragment(bench: RingBench, ring: Ring) -> None:
    begin_us = bench.clock.wall_us()
    bench.record(ring, 3.4, end=None)
    wait_until(synced(ring, 3 * FPS), what="three fragments synced")
    result = bench.ask(ring, begin_us, begin_us + 2 * SECOND_US)
    assert result.state == "planned"
    plan = read_plan(bench.data_dir / result.plan_file)
    assert [piece.sequence for part in plan.parts for piece in part.ranges] == [1]
    assert plan.length_bytes == result.length_bytes > 0


def test_an_end_in_the_near_future_is_reserved_and_then_planned(bench: RingBench, ring: Ring) -> None:
    begin_us = bench.clock.wall_us()
    bench.record(ring, 3, end=None)
    first = bench.ask(ring, begin_us, begin_us + 6 * SECOND_US)
    assert first.state == "reserved"
    assert first.ready_at_us is not None
    assert first.ready_at_us >= begin_us + 6 * SECOND_US
    assert ring.plans() == [clip_id(1)]
    bench.play(ring, 5)
    wait_until(
        lambda: bench.ask(ring, begin_us, begin_us + 6 * SECOND_US).state == "planned", what="the clip is planned"
    )
    result = bench.ask(ring, begin_us, begin_us + 6 * SECOND_US)
    assert result.delivered is not None
    assert result.delivered.end_us - result.delivered.start_us == 6 * SECOND_US


def test_what_a_reserved_clip_waits_for_is_pinned_as_it_is_recorded(tmp_path: Path) -> None:
    bench = RingBench(tmp_path, {"max_bytes": 1_000_000})
    ring = bench.open()
    begin_us = bench.clock.wall_us()
    bench.record(ring, 3, end=None)
    bench.ask(ring, begin_us, begin_us + 6 * SECOND_US)
    bench.play(ring, 6)
    ring.end_stream("camera-lost", "")
    bench.wait_recorded(ring)
    assert {1, 2} <= set(ring._holdings.pins.sequences())
    ring.close()


def test_the_same_clip_again_is_the_same_plan_after_a_restart_too(bench: RingBench) -> None:
    ring = bench.open()
    begin_us = bench.clock.wall_us()
    bench.record(ring, 8)
    result = bench.ask(ring, begin_us, begin_us + 5 * SECOND_US)
    content = (bench.data_dir / result.plan_file).read_bytes()
    assert bench.ask(ring, begin_us + 1, begin_us + SECOND_US) == result
    ring.close()
    again = bench.open()
    repeated = bench.ask(again, begin_us, begin_us + 5 * SECOND_US)
    assert repeated.length_bytes == result.length_bytes
    assert (bench.data_dir / result.plan_file).read_bytes() == content
    assert set(again._holdings.pins.sequences()) == {1, 2}
    assert again.release(clip_id(1))
    assert not again.release(clip_id(1))
    assert not set(again._holdings.pins.sequences())
    again.close()


@pytest.mark.parametrize(
    ("start_s", "end_s", "code"),
    [
        (5, 5, "interval-invalid"),
        (6, 5, "interval-invalid"),
        (-90_000, 0, "interval-invalid"),
        (-60, -1, "interval-overwritten"),
        (10, 200, "interval-in-future"),
        (12, 15, "interval-empty"),
    ],
)
def test_bad_intervals_are_rejected_with_a_code(
    bench: RingBench, ring: Ring, start_s: int, end_s: int, code: str
) -> None:
    begin_us = bench.clock.wall_us()
    bench.record(ring, 10)
    bench.clock.advance(20)
    bench.record(ring, 2)
    with pytest.raises(RingRequestError) as refusal:
        bench.ask(ring, begin_us + start_s * SECOND_US, begin_us + end_s * SECOND_US)
    assert refusal.value.code == code
    assert ring.plans() == []
    assert not set(ring._holdings.pins.sequences())


def test_an_empty_interval_says_why(bench: RingBench, ring: Ring) -> None:
    begin_us = bench.clock.wall_us()
    bench.record(ring, 4)
    bench.clock.advance(30)
    with pytest.raises(RingRequestError, match="camera-lost"):
        bench.ask(ring, begin_us + 10 * SECOND_US, begin_us + 20 * SECOND_US)


def test_an_interval_between_two_pictures_is_not_called_unrecorded(bench: RingBench, ring: Ring) -> None:
    begin_us = bench.clock.wall_us()
    bench.record(ring, 4)
    with pytest.raises(RingRequestError, match="no picture was taken"):
        bench.ask(ring, begin_us + SECOND_US + 1000, begin_us + SECOND_US + 2000)


def test_a_gap_in_the_clip_has_its_cause(bench: RingBench, ring: Ring) -> None:
    begin_us = bench.clock.wall_us()
    bench.record(ring, 4, end="timestamp-jump")
    bench.clock.advance(10)
    bench.record(ring, 4)
    result = bench.ask(ring, begin_us, begin_us + 17 * SECOND_US)
    plan = read_plan(bench.data_dir / result.plan_file)
    assert result.parts == 2
    assert [gap.cause for gap in plan.gaps] == ["timestamp-jump"]


def test_clips_may_not_hold_more_than_their_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = RingBench(tmp_path, {"max_bytes": 1_000_000})
    ring = bench.open()
    begin_us = bench.clock.wall_us()
    bench.record(ring, 8)
    monkeypatch.setattr(ring._live, "capacity_bytes", lambda: 1_000)
    with pytest.raises(RingRequestError, match="500") as refusal:
        bench.ask(ring, begin_us, begin_us + 8 * SECOND_US)
    assert refusal.value.code == "storage-error"
    assert not set(ring._holdings.pins.sequences())
    ring.close()


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


def record_one_group(bench: RingBench, ring: Ring, seconds: int) -> None:
    """Footage with one key frame, its first picture."""
    stream = bench.stream(seconds)
    ring.start_stream(stream.config, "start")
    for place, unit in enumerate(stream.units):
        ring.write(replace(unit, is_key=place == 0))
        bench.clock.advance(1 / FPS)
    ring.end_stream("stopped", "")
    bench.wait_recorded(ring)


def test_footage_far_behind_its_key_frame_is_had(bench: RingBench, ring: Ring) -> None:
    begin_us = bench.clock.wall_us()
    record_one_group(bench, ring, 100)
    assert len(bench.files()) == 25
    result = bench.ask(ring, begin_us + 90 * SECOND_US, begin_us + 95 * SECOND_US)
    (part,) = read_plan(bench.data_dir / result.plan_file).parts
    assert part.interval.start_us == begin_us + 90 * SECOND_US
    assert part.duration_90k == 5 * 90_000
    assert part.preroll_90k == 90 * 90_000
    assert {piece.sequence for piece in part.ranges} == set(range(1, 25))
    assert set(ring._holdings.pins.sequences()) == set(range(1, 25))


def test_the_segment_before_is_enough_when_it_holds_a_key_frame(bench: RingBench, ring: Ring) -> None:
    begin_us = bench.clock.wall_us()
    bench.record(ring, 40)
    result = bench.ask(ring, begin_us + 30 * SECOND_US, begin_us + 31 * SECOND_US)
    (part,) = read_plan(bench.data_dir / result.plan_file).parts
    assert {piece.sequence for piece in part.ranges} == {8}


def test_a_key_frame_beyond_reach_is_told(bench: RingBench, ring: Ring, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "MAX_REACH_S", 60)
    begin_us = bench.clock.wall_us()
    record_one_group(bench, ring, 100)
    with pytest.raises(RingRequestError, match="in the 1 minutes of footage before") as refusal:
        bench.ask(ring, begin_us + 90 * SECOND_US, begin_us + 95 * SECOND_US)
    assert refusal.value.code == "interval-empty"
    assert not set(ring._holdings.pins.sequences())
    assert bench.ask(ring, begin_us + 50 * SECOND_US, begin_us + 55 * SECOND_US, 2).state == "planned"


def test_what_leads_to_a_far_key_frame_counts_for_the_share(
    bench: RingBench, ring: Ring, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin_us = bench.clock.wall_us()
    record_one_group(bench, ring, 100)
    capacity_bytes = ring._holdings.size_bytes()
    monkeypatch.setattr(ring._live, "capacity_bytes", lambda: capacity_bytes)
    with pytest.raises(RingRequestError, match="half of what the ring may take"):
        bench.ask(ring, begin_us + 90 * SECOND_US, begin_us + 95 * SECOND_US)
    assert not set(ring._holdings.pins.sequences())


def test_a_request_asks_the_disk_while_nobody_waits_for_the_ring(
    bench: RingBench, ring: Ring, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin_us = bench.clock.wall_us()
    bench.record(ring, 8)
    looked: list[bool] = []
    room = ring._keeper.room

    def look() -> Room:
        with ThreadPoolExecutor(1) as others:
            looked.append(others.submit(ring._holdings.lock.acquire, timeout=5).result())
            if looked[-1]:
                others.submit(ring._holdings.lock.release).result()
        return room()

    monkeypatch.setattr(ring._live._keeper, "room", look)
    assert bench.ask(ring, begin_us, begin_us + 8 * SECOND_US).state == "planned"
    assert looked
    assert all(looked)


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


def test_what_is_held_back_is_written_when_the_ring_is_closed(tmp_path: Path) -> None:
    bench = RingBench(tmp_path)
    held: list[AccessUnit] = []

    def hand_over() -> None:
        while held:
            opened.write(held.pop(0))

    opened: Ring = bench.open(before_flush=hand_over)
    bench.start(opened)
    first, *held[:] = bench.stream(0.8).units
    count = 1 + len(held)
    opened.write(first)
    opened.close()
    result = scan_segment(bench.files()[1], bench.directory)
    assert result.info is not None
    assert len(result.info.samples) == count


def test_the_last_picture_is_as_old_as_it_is_in_hand(bench: RingBench, ring: Ring) -> None:
    bench.start(ring)
    now_us = bench.clock.monotonic_us()
    ring.write(replace(bench.stream(0.2).units[0], received_us=now_us - 400_000))
    assert ring.state_figures().last_frame_age_s == pytest.approx(0.4)


def test_what_is_held_back_is_written_with_what_it_belongs_to(tmp_path: Path) -> None:
    bench = RingBench(tmp_path)
    held: list[AccessUnit] = []

    def hand_over() -> None:
        while held:
            opened.write(held.pop(0))

    opened: Ring = bench.open(before_flush=hand_over)
    bench.start(opened)
    first, *held[:] = bench.stream(0.8).units
    count = 1 + len(held)
    opened.write(first)
    wait_until(bench.while_time_passes(synced(opened, count)), what="all of it on the disk")
    (segment,) = held_segments(opened)
    assert list(segment.fragments.samples) == [count]
    opened.close()
    assert not bench.fatal


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


def test_a_plan_names_its_requester_and_says_so_on_disk(bench: RingBench, ring: Ring) -> None:
    begin_us = bench.clock.wall_us()
    bench.record(ring, 4)
    result = bench.ask(ring, begin_us, begin_us + SECOND_US)
    document = json.loads((bench.data_dir / result.plan_file).read_bytes().splitlines()[-1])
    assert document["requester"]["reference"] == "PV 2026/118"
    assert result.plan_file == f"ring/main/plans/{clip_id(1)}.plan"


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
