"""What one thread hands to another, bounded by bytes."""

import threading

from edge_agent.byte_inbox import ByteInbox


def test_items_come_in_order_and_fill_it_by_their_bytes() -> None:
    inbox: ByteInbox[str] = ByteInbox(10)
    fullness: list[bool] = []
    for item, size_bytes in (("first", 4), ("second", 60)):
        inbox.put(item, size_bytes)
        fullness.append(inbox.is_full)
    assert len(inbox) == 2
    taken: list[str | None] = []
    for _ in range(3):
        taken.append(inbox.take())
        fullness.append(inbox.is_full)
    assert taken == ["first", "second", None]
    assert fullness == [False, True, True, False, False]


def test_whoever_puts_waits_for_room() -> None:
    inbox: ByteInbox[int] = ByteInbox(1)
    inbox.wait_for_room(3600)
    inbox.put(0, 1)
    inbox.wait_for_room(0.01)
    assert inbox.is_full
    taken: list[int | None] = []
    taker = threading.Timer(0.05, lambda: taken.append(inbox.take()))
    taker.start()
    inbox.wait_for_room(3600)
    taker.join()
    assert taken == [0]


def test_two_threads_lose_nothing() -> None:
    inbox: ByteInbox[int] = ByteInbox(5)

    def put_all() -> None:
        for number in range(500):
            while inbox.is_full:
                inbox.wait_for_room(1)
            inbox.put(number, 1)

    thread = threading.Thread(target=put_all)
    thread.start()
    taken: list[int] = []
    while len(taken) < 500:
        item = inbox.take()
        if item is not None:
            taken.append(item)
    thread.join()
    assert taken == list(range(500))
    assert not inbox.is_full
