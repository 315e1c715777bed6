"""Packets are held back for a while, in order, and never for good."""

import threading

import pytest

from edge_agent.capture.batch import HOLD_US, MAX_HELD, Batch


class Taker:
    def __init__(self) -> None:
        self.taken: list[int] = []
        self.fails_at: int | None = None
        self.batch = Batch(self.take)

    def take(self, packet: int) -> None:
        if packet == self.fails_at:
            raise RuntimeError(f"packet {packet}")
        self.taken.append(packet)


def test_packets_wait_until_the_oldest_waited_long_enough() -> None:
    taker = Taker()
    for packet, now_us in enumerate((0, HOLD_US // 2, HOLD_US - 1)):
        taker.batch.push(packet, now_us, is_urgent=False)
    assert taker.taken == []
    taker.batch.push(3, HOLD_US, is_urgent=False)
    assert taker.taken == [0, 1, 2, 3]
    taker.batch.push(4, HOLD_US + 1, is_urgent=False)
    assert taker.taken == [0, 1, 2, 3]


def test_an_urgent_packet_takes_along_what_waited() -> None:
    taker = Taker()
    taker.batch.push(0, 0, is_urgent=False)
    taker.batch.push(1, 1, is_urgent=True)
    assert taker.taken == [0, 1]


def test_no_more_than_a_bounded_number_waits() -> None:
    taker = Taker()
    for packet in range(MAX_HELD):
        assert taker.taken == []
        taker.batch.push(packet, 0, is_urgent=False)
    assert taker.taken == list(range(MAX_HELD))


def test_whoever_asks_gets_what_is_held_once() -> None:
    taker = Taker()
    taker.batch.push(0, 0, is_urgent=False)
    taker.batch.hand_over()
    assert taker.taken == [0]


def test_whoever_asks_does_not_hang_with_the_thread_whose_packets_these_are() -> None:
    began, gate = threading.Event(), threading.Event()

    def hang(_packet: int) -> None:
        began.set()
        gate.wait(60)

    batch = Batch(hang)
    hanging = threading.Thread(target=batch.push, args=(0, 0), kwargs={"is_urgent": True})
    hanging.start()
    assert began.wait(10)
    asking = threading.Thread(target=batch.hand_over)
    asking.start()
    asking.join(10)
    came_back = not asking.is_alive()
    gate.set()
    hanging.join(10)
    asking.join(10)
    assert came_back


def test_a_failure_in_another_thread_is_the_pushing_ones() -> None:
    taker = Taker()
    taker.fails_at = 1
    taker.batch.push(0, 0, is_urgent=False)
    taker.batch.push(1, 0, is_urgent=False)
    taker.batch.hand_over()
    taker.batch.hand_over()
    assert taker.taken == [0]
    with pytest.raises(RuntimeError, match="packet 1"):
        taker.batch.push(2, 0, is_urgent=True)
    taker.batch.hand_over()
    assert taker.taken == [0]


def test_a_failure_is_told_once_and_what_comes_afterwards_is_taken() -> None:
    """Another encoder's pictures are not refused for what one of the last encoder's met."""
    taker = Taker()
    taker.fails_at = 0
    taker.batch.push(0, 0, is_urgent=False)
    taker.batch.hand_over()
    with pytest.raises(RuntimeError, match="packet 0"):
        taker.batch.push(1, 0, is_urgent=True)
    assert taker.batch.failure is None
    taker.batch.push(2, 0, is_urgent=True)
    assert taker.taken == [2]


def test_a_failure_of_its_own_is_raised_at_once() -> None:
    taker = Taker()
    taker.fails_at = 0
    with pytest.raises(RuntimeError, match="packet 0"):
        taker.batch.push(0, 0, is_urgent=True)
