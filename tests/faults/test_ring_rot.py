"""Closed segments that rot, shrink or vanish while the recorder runs: a clip around them loses them and no more."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.buffer.clip.reader import PartReader, read_plan
from edge_agent.buffer.index import Index
from edge_agent.buffer.retention import over_limits
from edge_agent.buffer.ring import Ring
from edge_agent.contract.access_unit import GapCause
from edge_agent.contract.clip import ClipPlan
from edge_agent.errors import RingRequestError, RingStorageError
from tests.support.polling import wait_until
from tests.support.rings import FPS, RingBench

pytestmark = pytest.mark.faults

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


def delivered(bench: RingBench, ring: Ring, start_us: int, seconds: float, number: int = 1) -> ClipPlan:
    """A clip that was planned, every byte of it read."""
    result = bench.ask(ring, start_us, start_us + round(seconds * SECOND_US), number)
    path = bench.data_dir / result.plan_file
    plan = read_plan(path)
    for part in plan.parts:
        with PartReader(bench.directory, path, part) as reader:
            assert sum(map(len, reader.chunks())) == part.length_bytes
    return plan


def shorten(bench: RingBench, ring: Ring, sequence: int) -> None:
    """Only the first of a segment's four fragments stays whole."""
    (info,) = ring._holdings.read([sequence])
    with bench.files()[sequence].open("r+b") as file:
        file.truncate(info.fragments[1].offset + 10)


def gap_causes(ring: Ring) -> list[GapCause | None]:
    return [span.cause for span in ring.coverage(50).last_24h if not span.held]


def test_a_segment_that_shrank_costs_the_clip_what_it_lost_and_no_more(bench: RingBench, ring: Ring) -> None:
    begin_us = bench.clock.wall_us()
    bench.record(ring, 40)
    shorten(bench, ring, 4)
    plan = delivered(bench, ring, begin_us, 40)
    assert [gap.cause for gap in plan.gaps] == ["unknown"]
    assert plan.gaps[0].start_us == begin_us + 13 * SECOND_US
    assert plan.gaps[0].end_us == begin_us + 16 * SECOND_US
    assert sum(part.samples for part in plan.parts) == 37 * FPS
    assert gap_causes(ring) == ["unknown"]


def test_what_was_learnt_of_a_segment_is_remembered(bench: RingBench) -> None:
    ring = bench.open()
    begin_us = bench.clock.wall_us()
    bench.record(ring, 40)
    for number in (4, 5):
        shorten(bench, ring, number)
    before = delivered(bench, ring, begin_us, 40)
    ring.close()
    again = bench.open()
    after = delivered(bench, again, begin_us, 40, 2)
    assert after.gaps == before.gaps
    assert [gap.cause for gap in after.gaps] == ["unknown", "unknown"]
    assert [part.ranges for part in after.parts] == [part.ranges for part in before.parts]
    again.close()


def test_a_segment_that_is_gone_costs_the_clip_its_length(bench: RingBench, ring: Ring) -> None:
    begin_us = bench.clock.wall_us()
    bench.record(ring, 40)
    bench.files()[4].unlink()
    plan = delivered(bench, ring, begin_us, 40)
    assert [(gap.start_us, gap.end_us, gap.cause) for gap in plan.gaps] == [
        (begin_us + 12 * SECOND_US, begin_us + 16 * SECOND_US, "unknown")
    ]
    assert not ring._holdings.holds(4)


def test_a_segment_without_its_header_is_set_aside(bench: RingBench, ring: Ring) -> None:
    begin_us = bench.clock.wall_us()
    bench.record(ring, 40)
    bench.files()[4].write_bytes(b"rot")
    plan = delivered(bench, ring, begin_us, 40)
    assert len(plan.gaps) == 1
    assert (bench.directory / "damaged" / "000000004.mp4").read_bytes() == b"rot"
    assert 4 not in bench.files()


@pytest.mark.parametrize("loss", ["nothing", "index"])
def test_a_restart_is_not_blamed_for_what_was_overwritten_with_it(bench: RingBench, loss: str) -> None:
    ring = bench.open()
    begin_us = bench.clock.wall_us()
    bench.record(ring, 40)
    bench.ask(ring, begin_us, begin_us + 4 * SECOND_US)
    ring.close()
    bench.clock.advance(10)
    ring = bench.open()
    bench.record(ring, 8)
    assert gap_causes(ring) == ["restart"]
    while ring._holdings.holds(10):
        ring._keeper._dispose(lambda held, pins: over_limits(held, pins, 1, 0, 1))
    assert gap_causes(ring) == ["unknown"]
    ring.close()
    if loss == "index":
        (bench.directory / "index.db").unlink()
    again = bench.open()
    assert gap_causes(again) == ["unknown"]
    plan = delivered(bench, again, begin_us, 55, 2)
    assert [gap.cause for gap in plan.gaps] == ["unknown"]
    again.close()


def test_a_segment_that_is_indexed_after_the_one_before_it_went_knows_of_it(
    bench: RingBench, ring: Ring, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(Index, "add_segments", refuse)
        bench.start(ring)
        bench.play(ring, 12)
        ring.end_stream("stopped", "")
        wait_until(lambda: ring._holdings.newest(9) == [1, 2, 3], what="segments closed")
        ring._keeper._dispose(lambda held, pins: over_limits(held, pins, 1, 0, 1))
    bench.wait_recorded(ring)
    rows = {row.sequence: row.cause for row, _ in ring._index.stretches()}
    assert rows == {2: "unknown", 3: "rotation"}


def refuse(index: Index, infos: object) -> None:
    raise RingStorageError("the index cannot be written")


def test_files_lost_while_nobody_ran_are_not_blamed_on_the_restart(bench: RingBench) -> None:
    ring = bench.open()
    bench.record(ring, 40)
    ring.close()
    bench.clock.advance(10)
    ring = bench.open()
    bench.record(ring, 8)
    ring.close()
    for number in range(5, 11):
        bench.files()[number].unlink()
    for _ in range(2):
        ring = bench.open()
        assert gap_causes(ring) == ["unknown"]
        ring.close()


def test_an_interval_of_which_nothing_is_left_is_refused(bench: RingBench, ring: Ring) -> None:
    begin_us = bench.clock.wall_us()
    bench.record(ring, 40)
    bench.files()[4].unlink()
    with pytest.raises(RingRequestError) as refusal:
        bench.ask(ring, begin_us + 13 * SECOND_US, begin_us + 15 * SECOND_US)
    assert refusal.value.code == "interval-empty"
