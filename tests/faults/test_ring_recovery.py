"""A ring opened after a cut, a loss or damage: whatever was synced is there, nothing good is deleted."""

import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from edge_agent.buffer import ring as ring_module
from edge_agent.buffer.access import open_or_ask
from edge_agent.buffer.recovery import AT_ONCE, OpenedRing, make_room, open_ring
from edge_agent.buffer.retention import SPARED_SEGMENTS, Limits
from edge_agent.buffer.segment import SegmentInfo
from edge_agent.contract.clip import Interval
from edge_agent.contract.ring_protocol import PlanRequest
from edge_agent.errors import RingRequestError, RingStorageError
from tests.support.polling import wait_until
from tests.support.rings import REQUESTER, RingBench, clip_id, held_segments

pytestmark = pytest.mark.faults

SECOND_US = 1_000_000


def recorded(bench: RingBench, seconds: float = 12) -> list[SegmentInfo]:
    """Footage in closed segments, the ring closed."""
    ring = bench.open()
    bench.record(ring, seconds)
    segments = held_segments(ring)
    ring.close()
    return segments


def held(bench: RingBench) -> list[SegmentInfo]:
    ring = bench.open(record=False)
    segments = held_segments(ring)
    ring.close()
    return segments


def forget_last_row(bench: RingBench) -> None:
    """As if the recorder had died before its last segment came into the index."""
    ring = bench.open(record=False)
    ring._index.forget([max(bench.files())])
    ring.close()


@pytest.fixture
def bench(tmp_path: Path) -> RingBench:
    return RingBench(tmp_path)


@pytest.mark.parametrize("tail", ["cut", "zeros", "garbage", "flipped"])
def test_a_torn_tail_is_cut_off_and_all_before_it_kept(bench: RingBench, tail: str) -> None:
    before = recorded(bench)
    path = bench.files()[before[-1].sequence]
    whole = path.read_bytes()
    last = before[-1].fragments[-1]
    torn = {
        "cut": whole[: last.offset + last.length_bytes // 2],
        "zeros": whole[: last.offset + 100] + bytes(5000),
        "garbage": whole[: last.offset] + random.Random(1).randbytes(4000),
        "flipped": whole[:-200] + bytes([whole[-200] ^ 1]) + whole[-199:],
    }[tail]
    forget_last_row(bench)
    path.write_bytes(torn)
    after = held(bench)
    assert after[:-1] == before[:-1]
    assert after[-1].fragments == before[-1].fragments[:-1]
    assert path.read_bytes() == whole[: last.offset]


def test_a_header_alone_leaves_nothing_behind_and_its_number_is_not_used_again(bench: RingBench) -> None:
    before = recorded(bench)
    highest = before[-1].sequence
    forget_last_row(bench)
    path = bench.files()[highest]
    path.write_bytes(path.read_bytes()[: before[-1].header_bytes])
    ring = bench.open()
    assert highest not in bench.files()
    bench.record(ring, 2)
    assert min(bench.files().keys() - {info.sequence for info in before}) > highest
    ring.close()


def test_a_file_without_a_header_is_set_aside(bench: RingBench) -> None:
    before = recorded(bench)
    forget_last_row(bench)
    path = bench.files()[before[-1].sequence]
    content = random.Random(2).randbytes(3000)
    path.write_bytes(content)
    assert held(bench) == before[:-1]
    assert (bench.directory / "damaged" / path.name).read_bytes() == content


@pytest.mark.parametrize("loss", ["deleted", "garbage", "truncated", "empty", "of another version"])
def test_a_lost_index_is_rebuilt_from_the_files(bench: RingBench, loss: str) -> None:
    before = recorded(bench)
    utc_us = held_from(bench)
    index = bench.directory / "index.db"
    lose(index, loss)
    assert held(bench) == before
    assert held_from(bench) == utc_us
    if loss not in {"deleted", "empty"}:
        assert (bench.directory / "damaged" / "index.db").exists()


def held_from(bench: RingBench) -> int | None:
    ring = bench.open(record=False)
    oldest_us = ring.coverage(1).oldest_us
    ring.close()
    return oldest_us


def lose(index: Path, loss: str) -> None:
    content = index.read_bytes()
    if loss == "deleted":
        index.unlink()
    elif loss == "garbage":
        index.write_bytes(random.Random(3).randbytes(len(content)))
    elif loss == "truncated":
        index.write_bytes(content[: len(content) // 2])
    elif loss == "empty":
        index.write_bytes(b"")
    else:
        index.write_bytes(content[:60] + (999).to_bytes(4, "big") + content[64:])


def test_an_index_damaged_in_its_midst_is_replaced_and_the_files_serve_meanwhile(bench: RingBench) -> None:
    before = recorded(bench)
    index = bench.directory / "index.db"
    with closing(sqlite3.connect(index)) as connection:
        (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'contents'").fetchone()
    content = bytearray(index.read_bytes())
    content[4096 * (root - 1) : 4096 * root] = b"\xaa" * 4096
    index.write_bytes(content)
    ring = bench.open(record=False)
    assert held_segments(ring) == before
    ring._keeper.round()
    ring.close()
    assert held(bench) == before
    assert (bench.directory / "damaged" / "index.db").exists()


def test_many_unknown_files_are_indexed_while_recording_goes_on(bench: RingBench) -> None:
    before = recorded(bench, 4 * (AT_ONCE + 30))
    (bench.directory / "index.db").unlink()
    ring = bench.open()
    begin_us = bench.clock.wall_us()
    bench.record(ring, 4)
    assert ring.state_figures().size_bytes > sum(info.size_bytes for info in before)
    wait_until(lambda: ring._keeper.files_to_index == 0, what="the index rebuilt")
    after = held_segments(ring)
    assert after[: len(before)] == before
    assert bench.ask(ring, begin_us, begin_us + SECOND_US).state == "planned"
    ring.close()


def test_while_the_index_is_rebuilt_old_footage_is_asked_for_again_not_denied(bench: RingBench) -> None:
    begin_us = bench.clock.wall_us()
    recorded(bench, 4 * (AT_ONCE + 2))
    (bench.directory / "index.db").unlink()
    ring = bench.open(record=False)
    with pytest.raises(RingRequestError) as refusal:
        bench.ask(ring, begin_us, begin_us + SECOND_US)
    assert refusal.value.code == "storage-error"
    ring._keeper.round()
    assert bench.ask(ring, begin_us, begin_us + SECOND_US).state == "planned"
    ring.close()


def test_while_the_index_is_rebuilt_no_clip_is_planned_with_holes(bench: RingBench) -> None:
    """Footage that is found, footage that is not yet, footage that is."""
    begin_us = bench.clock.wall_us()
    recorded(bench, 4 * (AT_ONCE + 30))
    end_us = bench.clock.wall_us()
    (bench.directory / "index.db").unlink()
    ring = bench.open(record=False)
    newest_us = ring.coverage(1).oldest_us
    assert newest_us is not None
    assert newest_us > begin_us + 60 * SECOND_US
    for start_us in (newest_us - 10 * SECOND_US, begin_us):
        with pytest.raises(RingRequestError, match="ask again") as refusal:
            bench.ask(ring, start_us, end_us)
        assert refusal.value.code == "storage-error"
    assert ring.plans() == []
    ring._keeper.round()
    assert ring._keeper.files_to_index
    assert bench.ask(ring, begin_us, begin_us + 20 * SECOND_US).state == "planned"
    with pytest.raises(RingRequestError, match="ask again"):
        bench.ask(ring, newest_us - 10 * SECOND_US, end_us, 2)
    assert bench.ask(ring, newest_us + SECOND_US, end_us, 3).state == "planned"
    ring._keeper.round()
    delivered = bench.ask(ring, begin_us, end_us, 2).delivered
    assert delivered is not None
    assert delivered.end_us - delivered.start_us >= 4 * (AT_ONCE + 30) * SECOND_US - SECOND_US
    ring.close()


def test_who_opens_a_ring_of_nobody_finds_all_of_it_without_its_index(bench: RingBench) -> None:
    begin_us = bench.clock.wall_us()
    recorded(bench, 4 * (AT_ONCE + 30))
    (bench.directory / "index.db").unlink()
    request = PlanRequest(
        clip_id=clip_id(1), interval=Interval(start_us=begin_us, end_us=begin_us + SECOND_US), requester=REQUESTER
    )
    with open_or_ask(bench.data_dir, bench.camera, bench.context(), bench.clock) as ring:
        assert ring.plan(request).state == "planned"
        assert ring.release(clip_id(1))


def test_rows_of_files_that_are_gone_are_dropped(bench: RingBench) -> None:
    before = recorded(bench)
    bench.files()[2].unlink()
    assert [info.sequence for info in held(bench)] == [info.sequence for info in before if info.sequence != 2]
    ring = bench.open(record=False)
    spans = [(span.held, span.cause) for span in ring.coverage(10).last_24h]
    ring.close()
    assert spans[:3] == [(True, None), (False, "unknown"), (True, None)]


def test_a_closed_file_that_shrank_is_read_again(bench: RingBench) -> None:
    before = recorded(bench)
    path = bench.files()[before[-1].sequence]
    cut = before[-1].fragments[2].offset + 10
    path.write_bytes(path.read_bytes()[:cut])
    after = held(bench)
    assert after[-1].fragments == before[-1].fragments[:2]


def test_files_brought_from_elsewhere_are_found(bench: RingBench, tmp_path: Path) -> None:
    before = recorded(bench)
    other = RingBench(tmp_path / "other", clock=bench.clock)
    shutil.copytree(bench.directory / "segments", other.directory / "segments")
    assert held(other) == before


def test_plans_outlive_a_lost_index(bench: RingBench) -> None:
    ring = bench.open()
    begin_us = bench.clock.wall_us()
    bench.record(ring, 12)
    first = bench.ask(ring, begin_us, begin_us + 6 * SECOND_US)
    ring.close()
    (bench.directory / "index.db").unlink()
    ring = bench.open()
    assert ring.plans() == [clip_id(1)]
    assert set(ring._holdings.pins.sequences()) == {1, 2}
    assert bench.ask(ring, begin_us, begin_us + 6 * SECOND_US).length_bytes == first.length_bytes
    ring.close()


def test_what_lies_among_the_plans_does_not_stop_the_recording(bench: RingBench) -> None:
    (bench.directory / "plans" / f"{clip_id(1)}.plan" / "folder").mkdir(parents=True)
    (bench.directory / "plans" / "file").write_bytes(b"no plan")
    before = recorded(bench)
    assert held(bench) == before
    assert (bench.directory / "plans" / f"{clip_id(1)}.plan" / "folder").exists()


def test_a_plan_that_is_gone_pins_nothing(bench: RingBench) -> None:
    ring = bench.open()
    begin_us = bench.clock.wall_us()
    bench.record(ring, 8)
    result = bench.ask(ring, begin_us, begin_us + 6 * SECOND_US)
    ring.close()
    (bench.data_dir / result.plan_file).unlink()
    ring = bench.open()
    assert ring.plans() == []
    assert not set(ring._holdings.pins.sequences())
    assert not list((bench.directory / "plans").iterdir())
    ring.close()


def test_the_clock_of_a_lost_index_is_recovered_from_the_files(bench: RingBench) -> None:
    true_us = bench.clock.wall_us()
    bench.clock.step_wall(-1_000_000)
    bench.probe.source = "unknown"
    ring = bench.open()
    bench.record(ring, 4)
    bench.clock.step_wall(1_000_000)
    bench.probe.source = "gnss"
    ring._keeper.sample()
    bench.record(ring, 4)
    ring.close()
    (bench.directory / "index.db").unlink()
    bench.probe.source = "unknown"
    assert held_from(bench) == true_us


def test_a_disk_too_full_to_open_the_index_gives_up_the_oldest_but_what_a_clip_names(bench: RingBench) -> None:
    ring = bench.open()
    begin_us = bench.clock.wall_us()
    bench.record(ring, 32)
    bench.ask(ring, begin_us, begin_us + 4 * SECOND_US)
    ring.close()
    before = set(bench.files())

    def free_bytes(_: Path) -> int:
        return 1_000 - len(bench.files()) if len(bench.files()) > len(before) - 2 else 1 << 30

    assert make_room(bench.directory, free_bytes) == 2
    assert set(bench.files()) == before - {2, 3}
    assert make_room(bench.directory, free_bytes) == 0
    assert [info.sequence for info in held(bench)] == sorted(before - {2, 3})


def test_a_start_on_a_disk_that_seems_full_whatever_goes_takes_one_segment(bench: RingBench) -> None:
    """As root's writes into an ext file system's reserve have it seem; space that comes back late, too."""
    ring = bench.open()
    bench.record(ring, 40)
    ring.close()
    before = sorted(bench.files())
    assert make_room(bench.directory, lambda _: 0) == 1
    assert sorted(bench.files()) == before[1:]


def test_a_start_on_a_full_disk_takes_the_newest_only_when_the_index_cannot_be_opened(
    bench: RingBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring = bench.open()
    bench.record(ring, 4 * (SPARED_SEGMENTS - 1))
    ring.close()
    held_before = sorted(bench.files())
    monkeypatch.setattr(ring_module, "_free_bytes", lambda _: 1_000 - len(bench.files()))
    bench.open(record=False).close()
    assert sorted(bench.files()) == held_before

    def open_if_there_is_room(directory: Path) -> OpenedRing:
        if len(bench.files()) == len(held_before):
            raise RingStorageError("database or disk is full")
        return open_ring(directory)

    monkeypatch.setattr(ring_module, "open_ring", open_if_there_is_room)
    ring = bench.open()
    bench.record(ring, 4)
    ring.close()
    assert held_before[0] not in bench.files()
    assert max(bench.files()) > held_before[-1]


def test_a_reservation_whose_footage_never_came_is_given_up(bench: RingBench) -> None:
    ring = bench.open()
    bench.record(ring, 4)
    start_us = bench.clock.wall_us() + 10 * SECOND_US
    assert bench.ask(ring, start_us, start_us + SECOND_US).state == "reserved"
    bench.clock.advance(20)
    with pytest.raises(RingRequestError) as refusal:
        bench.ask(ring, start_us, start_us + SECOND_US)
    assert refusal.value.code == "interval-empty"
    assert ring.plans() == []
    ring.close()


def test_while_the_index_is_rebuilt_the_oldest_still_go_first(bench: RingBench) -> None:
    recorded(bench, 160)
    before = bench.files()
    bench.directory.joinpath("index.db").unlink()
    ring = bench.open(record=False)
    held_bytes = sum(path.stat().st_size for path in before.values())
    ring._keeper._limits = Limits(held_bytes - 1, 0, 1 << 60)
    ring._keeper.round()
    assert bench.files() == before
    while ring._keeper.files_to_index:
        ring._keeper.round()
    ring._keeper.round()
    ring.close()
    left = sorted(bench.files())
    assert 0 < len(left) < len(before)
    assert left == sorted(before)[-len(left) :]
