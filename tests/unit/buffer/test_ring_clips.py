"""Clips of a ring: what is planned, reserved, refused and pinned."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from edge_agent.buffer import choosing, planning
from edge_agent.buffer.clip.reader import read_plan
from edge_agent.buffer.keeper import Room
from edge_agent.buffer.ring import Ring
from edge_agent.contract.manifest import manifest_bound_bytes
from edge_agent.errors import RingRequestError
from tests.support.polling import wait_until
from tests.support.rings import FPS, RingBench, clip_id, synced

SECOND_US = 1_000_000


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


def test_what_no_manifest_can_list_is_refused_before_it_is_sent(
    bench: RingBench, ring: Ring, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin_us = bench.clock.wall_us()
    bench.record(ring, 8)
    monkeypatch.setattr(planning, "MAX_MANIFEST_BYTES", manifest_bound_bytes(4, parts=1, gaps=0))
    with pytest.raises(RingRequestError, match=r"8 fragments in 1 parts.*ask for it in pieces") as refusal:
        bench.ask(ring, begin_us, begin_us + 8 * SECOND_US)
    assert refusal.value.code == "interval-invalid"
    assert ring.plans() == []
    assert bench.ask(ring, begin_us, begin_us + 4 * SECOND_US).state == "planned"


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
    for module in (choosing, planning):
        monkeypatch.setattr(module, "MAX_REACH_S", 60)
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


def test_a_plan_names_its_requester_and_says_so_on_disk(bench: RingBench, ring: Ring) -> None:
    begin_us = bench.clock.wall_us()
    bench.record(ring, 4)
    result = bench.ask(ring, begin_us, begin_us + SECOND_US)
    document = json.loads((bench.data_dir / result.plan_file).read_bytes().splitlines()[-1])
    assert document["requester"]["reference"] == "PV 2026/118"
    assert result.plan_file == f"ring/main/plans/{clip_id(1)}.plan"
