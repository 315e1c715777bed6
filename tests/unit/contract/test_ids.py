import uuid

from edge_agent.contract.ids import make_uuid7

NOW_US = 1_790_000_000_123_456


def test_it_is_a_version_7_uuid_of_the_given_time() -> None:
    made = uuid.UUID(make_uuid7(NOW_US))
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert made.int >> 80 == NOW_US // 1000


def test_ids_sort_by_time_and_never_repeat() -> None:
    ids = [make_uuid7(NOW_US + step * 1000) for step in range(1000)]
    assert ids == sorted(ids)
    assert len({make_uuid7(NOW_US) for _ in range(1000)}) == 1000


def test_the_random_bits_are_all_used() -> None:
    seen = 0
    for _ in range(200):
        seen |= uuid.UUID(make_uuid7(0)).int
    assert seen == 0x7FFF_BFFF_FFFF_FFFF_FFFF
