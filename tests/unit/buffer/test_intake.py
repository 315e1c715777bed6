"""The queue before the disk: bounded, never blocking, whole groups of pictures left out."""

import threading
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.buffer.intake import Hole, Intake, Item, StreamEnded, StreamStarted
from edge_agent.contract.access_unit import AccessUnit, CodecConfig

CONFIG = CodecConfig("h264", b"", 640, 480, 25.0)


def unit(number: int, size_bytes: int = 100, *, is_key: bool = False) -> AccessUnit:
    return AccessUnit(bytes(size_bytes), number, number, 1, is_key, number)


def drain(intake: Intake) -> list[Item]:
    intake.stop()
    items = []
    while (item := intake.get(0)) is not None:
        items.append(item)
    return items


def test_items_come_out_in_order() -> None:
    intake = Intake(10_000)
    intake.put(StreamStarted(CONFIG, "start"))
    intake.put_unit(unit(1, is_key=True))
    intake.put(StreamEnded("stopped", ""))
    assert drain(intake) == [StreamStarted(CONFIG, "start"), unit(1, is_key=True), StreamEnded("stopped", "")]


def test_the_oldest_whole_groups_are_left_out_and_the_hole_is_told() -> None:
    intake = Intake(3_300)
    intake.set_cause("storage-error")
    for number in range(1, 13):
        intake.put_unit(unit(number, is_key=number % 4 == 1))
    items = drain(intake)
    assert items == [Hole("storage-error"), *(unit(number, is_key=number == 9) for number in range(9, 13))]
    assert intake.dropped_units == 8


def test_a_group_larger_than_the_room_is_left_out_up_to_the_next_key_frame() -> None:
    intake = Intake(3_000)
    intake.put(StreamStarted(CONFIG, "start"))
    intake.put_unit(unit(1, is_key=True))
    intake.put_unit(unit(2, 5_000))
    intake.put_unit(unit(3))
    intake.put_unit(unit(4, is_key=True))
    assert drain(intake) == [StreamStarted(CONFIG, "start"), Hole("overload"), unit(4, is_key=True)]
    assert intake.dropped_units == 3


@given(st.lists(st.tuples(st.integers(0, 2_000), st.booleans()), max_size=300))
def test_it_is_bounded_and_what_follows_a_hole_is_a_key_frame(arrivals: list[tuple[int, bool]]) -> None:
    intake = Intake(5_000)
    for number, (size_bytes, is_key) in enumerate(arrivals):
        intake.put_unit(unit(number, size_bytes, is_key=is_key))
        assert intake.size_bytes <= 5_000
    items = drain(intake)
    after_hole = [later for earlier, later in pairwise(items) if isinstance(earlier, Hole)]
    assert all(isinstance(item, Hole) or (isinstance(item, AccessUnit) and item.is_key) for item in after_hole)
    assert sum(isinstance(item, AccessUnit) for item in items) + intake.dropped_units == len(arrivals)


def test_stopping_wakes_who_waits() -> None:
    intake = Intake(1_000)
    answers: list[Item | None] = []
    taker = threading.Thread(target=lambda: answers.append(intake.get(60)))
    taker.start()
    intake.stop()
    taker.join(30)
    assert answers == [None]
    assert intake.wait_stopped(60)


def test_a_taker_in_the_midst_of_a_fragment_is_woken_by_the_next_key_frame_only() -> None:
    intake = Intake(10_000)
    answers: list[Item | None] = []
    taker = threading.Thread(target=lambda: answers.append(intake.get(60, eager=False)))
    taker.start()
    for number in range(1, 5):
        intake.put_unit(unit(number))
    taker.join(0.2)
    assert taker.is_alive()
    key = unit(5, is_key=True)
    intake.put_unit(key)
    taker.join(10)
    assert answers == [unit(1)]
    assert [intake.get(60, eager=False) for _ in range(4)] == [unit(2), unit(3), unit(4), key]


def test_what_waits_when_the_time_is_over_comes_without_further_waiting() -> None:
    intake = Intake(10_000)
    for number in range(1, 4):
        intake.put_unit(unit(number))
    assert intake.get(0.01, eager=False) == unit(1)
    assert [intake.get(60, eager=False) for _ in range(2)] == [unit(2), unit(3)]
