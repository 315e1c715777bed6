"""While a lost index is made again: no clip with holes, and no refusal for good that time would mend."""

from pathlib import Path

import pytest

from edge_agent.buffer.clip.reader import read_plan
from edge_agent.buffer.ring import Ring
from edge_agent.clock import FakeClock
from edge_agent.contract.access_unit import TIMESCALE_HZ
from edge_agent.errors import RingRequestError
from tests.builders import make_units
from tests.support.rings import BOOT_IDS, FPS, FakeProbe, RingBench, clip_id

pytestmark = pytest.mark.faults

SECOND_US = 1_000_000
SEGMENT_S = 4


@pytest.fixture
def bench(tmp_path: Path) -> RingBench:
    return RingBench(tmp_path)


def record(bench: RingBench, segments: int) -> None:
    ring = bench.open()
    bench.record(ring, segments * SEGMENT_S)
    ring.close()


def another_boot(bench: RingBench, number: int, wall_us: int, source: str) -> None:
    bench.clock = FakeClock(wall_us, 30 * SECOND_US)
    bench.probe = FakeProbe(bench.clock, "chrony" if source == "chrony" else "unknown")
    bench.boot_id = BOOT_IDS[number]


def open_without_index(bench: RingBench) -> Ring:
    for suffix in ("", "-wal", "-shm"):
        (bench.directory / f"index.db{suffix}").unlink(missing_ok=True)
    return bench.open(record=False)


def segments_of(bench: RingBench, ring: Ring, start_us: int, end_us: int) -> list[int] | None:
    """What a clip is made of; None when it has to be asked for again."""
    try:
        result = bench.ask(ring, start_us, end_us)
    except RingRequestError as refusal:
        if refusal.code != "storage-error" or ring.plans():
            raise
        return None
    plan = read_plan(bench.data_dir / result.plan_file)
    assert plan.gaps == ()
    assert ring.release(clip_id(1))
    return [piece.sequence for part in plan.parts for piece in part.ranges]


def check_while_rebuilt(bench: RingBench, asked: list[tuple[int, int]]) -> None:
    """Each clip is the one that it will be in the end, or is to be asked for again."""
    ring = open_without_index(bench)
    answers: list[list[list[int] | None]] = []
    while ring._keeper.files_to_index:
        answers.append([segments_of(bench, ring, *interval) for interval in asked])
        ring._keeper.round()
    final = [segments_of(bench, ring, *interval) for interval in asked]
    ring.close()
    assert len(answers) > 2
    assert None not in final
    for round_ in answers:
        assert all(found in (None, truth) for found, truth in zip(round_, final, strict=True))


def test_a_boot_that_nobody_vouches_for_slides_while_it_is_read(bench: RingBench) -> None:
    true_us = bench.clock.wall_us()
    another_boot(bench, 1, SECOND_US, "unknown")
    record(bench, 90)
    another_boot(bench, 2, true_us + 3600 * SECOND_US, "chrony")
    begin_us = bench.clock.wall_us()
    record(bench, 8)
    slides = [(200, 180), (60, 40), (100, 20)]
    check_while_rebuilt(bench, [(begin_us - a * SECOND_US, begin_us - b * SECOND_US) for a, b in slides])


def test_a_clock_that_was_an_hour_ahead_says_nothing_of_what_follows(bench: RingBench) -> None:
    true_us = bench.clock.wall_us()
    another_boot(bench, 1, true_us + 3600 * SECOND_US, "chrony")
    record(bench, 30)
    another_boot(bench, 2, true_us + 200 * SECOND_US, "chrony")
    begin_us = bench.clock.wall_us()
    record(bench, 60)
    asked = [(100, 140), (100, 235), (4, 8)]
    check_while_rebuilt(bench, [(begin_us + a * SECOND_US, begin_us + b * SECOND_US) for a, b in asked])


def test_the_key_frame_may_lie_in_a_file_that_is_not_read_yet(bench: RingBench) -> None:
    ring = bench.open()
    now_us = bench.clock.monotonic_us()
    first_90k = now_us * TIMESCALE_HZ // SECOND_US
    smart = make_units(280, fps=FPS, gop=FPS * 140, first_dts_90k=first_90k, first_capture_us=now_us)
    ring.start_stream(smart.config, "start")
    for unit in smart.units:
        ring.write(unit)
        bench.clock.advance(1 / FPS)
    ring.end_stream("camera-lost", "the test ends it")
    bench.wait_recorded(ring)
    ring.close()
    end_us = bench.clock.wall_us()
    check_while_rebuilt(bench, [(end_us - 15 * SECOND_US, end_us - 5 * SECOND_US)])


@pytest.mark.parametrize(
    ("unread", "waiting"),
    [([3], [4]), ([20], [76]), ([3, 4, 20, 21], [4, 76]), ([3, 28, 29, 30], [4, 104])],
)
def test_files_in_several_places_may_be_unread(bench: RingBench, unread: list[int], waiting: list[int]) -> None:
    begin_us = bench.clock.wall_us()
    record(bench, 30)
    ring = bench.open(record=False)
    ring._holdings.forget(unread)
    ring._keeper._unknown = unread
    begins = {at: begin_us + at * SECOND_US for at in (4, 40, 76, 104)}
    answers = {at: segments_of(bench, ring, us, us + 8 * SECOND_US) for at, us in begins.items()}
    ring._keeper._unknown = []
    ring.close()
    assert [at for at, found in answers.items() if found is None] == waiting
