"""What goes when: by age whatever waits for it, by bytes and free space never what a clip waits for."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.buffer import keeper as keeper_module
from edge_agent.buffer.catalogue import Catalogue, Stretch
from edge_agent.buffer.freed_space import LONGEST_PAUSE_S
from edge_agent.buffer.keeper import MAX_VICTIMS, Keeper, Room
from edge_agent.buffer.retention import (
    KEPT_SEGMENTS,
    SPARED_SEGMENTS,
    Limits,
    below_floor,
    expired,
    for_a_write,
    over_limits,
)
from edge_agent.buffer.ring import Ring
from tests.support.polling import wait_until
from tests.support.rings import BOOT_IDS, RingBench, clip_id, held_segments

SECOND_US = 1_000_000


def catalogue(count: int, size_bytes: int = 100) -> Catalogue:
    made = Catalogue()
    for sequence in range(1, count + 1):
        row = Stretch(sequence, "b", "r", sequence * SECOND_US, (sequence + 1) * SECOND_US, "rotation")
        made.add([row], sequence, size_bytes)
    return made


def test_the_oldest_unpinned_go_until_both_limits_hold() -> None:
    victims = over_limits(catalogue(30), {2}, excess_bytes=150, lacking_bytes=250, at_most=16)
    assert [(victim.sequence, victim.reason) for victim in victims] == [(1, "bytes"), (3, "bytes"), (4, "free-space")]


def test_a_disk_that_others_filled_leaves_the_newest() -> None:
    victims = over_limits(catalogue(KEPT_SEGMENTS + 2), (), 0, 1 << 60, at_most=100)
    assert [victim.sequence for victim in victims] == [1, 2]


def test_only_so_many_at_once() -> None:
    assert len(over_limits(catalogue(30), (), 1 << 60, 0, at_most=5)) == 5
    assert len(expired(catalogue(30), lambda _: True, at_most=5)) == 5


def test_a_write_without_space_takes_pinned_ones_last_of_all() -> None:
    assert [victim.sequence for victim in for_a_write(catalogue(3), {1}, 150)] == [2, 3]
    assert [victim.sequence for victim in for_a_write(catalogue(3), {1, 2, 3}, 150)] == [1]
    assert for_a_write(Catalogue(), (), 150) == []


def test_what_the_next_writes_need_is_kept_free_by_any_unpinned_segment_but_the_newest() -> None:
    few = catalogue(SPARED_SEGMENTS + 3)
    assert [victim.sequence for victim in below_floor(few, {1}, 101, 9)] == [2, 3]
    assert [victim.sequence for victim in below_floor(few, (), 101, 1)] == [1]
    assert [victim.sequence for victim in below_floor(few, (), 1 << 60, 9)] == [1, 2, 3]
    assert not below_floor(few, (), 0, 9)
    limits = Limits(None, 0, 1)
    assert limits.floor_bytes(500_000, 64_000_000) == 6_500_000
    assert limits.floor_bytes(500_000, 8_000_000) == 1_000_000


def test_age_spares_nothing_and_ends_at_the_first_young_one() -> None:
    assert [victim.sequence for victim in expired(catalogue(9), lambda number: number < 4, 16)] == [1, 2, 3]


@pytest.fixture
def small(tmp_path: Path) -> Iterator[tuple[RingBench, Ring]]:
    """A ring of at most a megabyte whose segments count as 100 kB each."""
    bench = RingBench(tmp_path, {"max_bytes": 1_000_000, "max_age_h": 1})
    ring = bench.open()
    yield bench, ring
    ring.close()
    assert not bench.fatal


def weigh(ring: Ring, size_bytes: int) -> None:
    """Let every segment held count as so many bytes: real ones of that size would take long to draw."""
    held = ring._holdings._catalogue
    for sequence in list(held.oldest_first()):
        held.add(held.rows_of(sequence), sequence, size_bytes)


def test_the_ring_keeps_within_its_bytes_and_files_follow(small: tuple[RingBench, Ring]) -> None:
    bench, ring = small
    bench.record(ring, 60)
    weigh(ring, 200_000)
    wait_until(lambda: len(bench.files()) < 5, what="files removed")
    wait_until(lambda: not ring._index.deletions_owed(), what="removals done")
    kept = [segment.sequence for segment in held_segments(ring)]
    assert kept == sorted(bench.files())
    assert kept[-1] == 15


def test_what_a_clip_waits_for_stays(small: tuple[RingBench, Ring], monkeypatch: pytest.MonkeyPatch) -> None:
    bench, ring = small
    begin_us = bench.clock.wall_us()
    bench.record(ring, 60)
    monkeypatch.setattr(ring._live, "capacity_bytes", lambda: 1 << 40)
    bench.ask(ring, begin_us, begin_us + 6 * SECOND_US)
    weigh(ring, 200_000)
    wait_until(lambda: len(bench.files()) <= 5, what="files removed")
    assert {1, 2} <= set(bench.files())
    ring.release(clip_id(1))
    bench.record(ring, 8)
    weigh(ring, 300_000)
    wait_until(lambda: not {1, 2} & set(bench.files()), what="released files removed")


def test_a_full_disk_removes_the_oldest(small: tuple[RingBench, Ring], monkeypatch: pytest.MonkeyPatch) -> None:
    bench, ring = small
    bench.record(ring, 60)
    monkeypatch.setattr(Keeper, "room", lambda _: Room(-len(bench.files()), 1))
    ring._keeper.wake()
    wait_until(lambda: len(bench.files()) == KEPT_SEGMENTS, what="all but the newest removed")
    assert max(bench.files()) == 15


@pytest.fixture
def lying_still(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[RingBench, Ring]]:
    """A ring of twenty segments whose housekeeping is done by hand; the parameter is `min_free_bytes`."""
    bench = RingBench(tmp_path, {"min_free_bytes": request.param})
    ring = bench.open()
    bench.record(ring, 80)
    ring.close()
    ring = bench.open(record=False)
    assert len(bench.files()) == 20
    yield bench, ring
    ring.close()


def tidy(ring: Ring, rounds: int = 30) -> None:
    for _ in range(rounds):
        ring._keeper.round()


both_limits = pytest.mark.parametrize(
    ("lying_still", "free_bytes", "kept"),
    [(2 << 30, 1 << 30, KEPT_SEGMENTS), (0, 0, SPARED_SEGMENTS)],
    indirect=["lying_still"],
)


@both_limits
def test_free_space_that_does_not_rise_is_believed_once_in_a_while(
    lying_still: tuple[RingBench, Ring], free_bytes: int, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, ring = lying_still
    monkeypatch.setattr(Keeper, "room", lambda _: Room(free_bytes, 1 << 40))
    tidy(ring)
    assert sorted(bench.files()) == list(range(2, 21))
    bench.clock.advance(LONGEST_PAUSE_S)
    tidy(ring)
    assert sorted(bench.files()) == list(range(3, 21))
    for _ in range(30):
        bench.clock.advance(LONGEST_PAUSE_S)
        tidy(ring, 1)
    assert sorted(bench.files()) == list(range(21 - kept, 21))
    assert ring._keeper.free_space(1 << 40) > 0
    assert not bench.files()


@both_limits
def test_free_space_that_rises_late_is_waited_for(
    lying_still: tuple[RingBench, Ring], free_bytes: int, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, ring = lying_still
    seen = len(bench.files())
    monkeypatch.setattr(Keeper, "room", lambda _: Room(free_bytes - seen, 1 << 40))
    for left in range(19, kept - 1, -1):
        tidy(ring, 3)
        assert len(bench.files()) == left
        seen = left
    tidy(ring)
    assert sorted(bench.files()) == list(range(21 - kept, 21))


def test_age_removes_everything_that_is_older_pinned_or_not(small: tuple[RingBench, Ring]) -> None:
    bench, ring = small
    begin_us = bench.clock.wall_us()
    bench.record(ring, 8)
    bench.ask(ring, begin_us, begin_us + 6 * SECOND_US)
    bench.clock.advance(1800)
    bench.record(ring, 4)
    young = max(bench.files())
    bench.clock.advance(1801)
    ring._keeper.wake()
    wait_until(lambda: set(bench.files()) == {young}, what="expired files removed")


def test_age_counts_days_powered_off_once_the_clock_is_vouched_for(tmp_path: Path) -> None:
    bench = RingBench(tmp_path, {"max_age_h": 1})
    ring = bench.open()
    bench.record(ring, 8)
    ring.close()
    bench.reboot(7200, BOOT_IDS[1])
    bench.probe.source = "unknown"
    ring = bench.open()
    ring._keeper.round()
    assert len(bench.files()) == 2
    bench.probe.source = "chrony"
    ring._keeper.sample()
    ring._keeper.wake()
    wait_until(lambda: not bench.files(), what="expired files removed")
    ring.close()


def test_a_clock_nobody_vouches_for_destroys_nothing_on_its_word(tmp_path: Path) -> None:
    bench = RingBench(tmp_path, {"max_age_h": 1})
    ring = bench.open()
    bench.record(ring, 8)
    bench.probe.source = "unknown"
    ring.close()
    bench.reboot(1_000 * 3600, BOOT_IDS[1])
    bench.probe.source = "unknown"
    ring = bench.open()
    ring._keeper.round()
    assert len(bench.files()) == 2
    bench.clock.advance(3600)
    ring._keeper.wake()
    wait_until(lambda: not bench.files(), what="removed when so much time certainly passed")
    ring.close()


def test_removals_that_were_owed_are_done_at_the_next_start(tmp_path: Path) -> None:
    bench = RingBench(tmp_path)
    ring = bench.open()
    bench.record(ring, 8)
    ring._index.decide_deletion([1])
    ring.close()
    assert 1 in bench.files()
    ring = bench.open(record=False)
    assert sorted(bench.files()) == [2]
    assert [segment.sequence for segment in held_segments(ring)] == [2]
    ring.close()


def test_files_set_aside_go_at_the_age_limit_too(tmp_path: Path) -> None:
    bench = RingBench(tmp_path, {"max_age_h": 1})
    ring = bench.open()
    aside = bench.directory / "damaged" / "000000007.mp4"
    aside.write_bytes(b"what was a segment once")
    wall_us = aside.stat().st_mtime_ns // 1000
    bench.clock.step_wall((wall_us - bench.clock.wall_us()) / 1e6)
    ring._keeper.sample()
    bench.clock.advance(keeper_module._DAMAGED_INTERVAL_S + 1)
    ring._keeper.wake()
    wait_until(lambda: not aside.exists(), what="the file set aside removed")
    ring.close()


def test_a_ring_that_is_all_expired_is_emptied_without_long_pauses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = RingBench(tmp_path, {"max_age_h": 1})
    ring = bench.open()
    bench.record(ring, 4 * 3 * MAX_VICTIMS)
    ring.close()
    bench.clock.advance(2 * 3600)
    monkeypatch.setattr(keeper_module, "TICK_S", 3600.0)
    ring = bench.open()
    ring._keeper.wake()
    wait_until(lambda: not bench.files(), what="expired footage gone")
    ring.close()
