"""Fragments as columns are the fragments that went in."""

from dataclasses import replace

import pytest

from edge_agent.buffer.fragment_table import FragmentEntry, FragmentTable
from edge_agent.contract.segment_format import FragmentRecord

RUN = "c1" * 16


def entry(number: int, sequence: int = 7, bound_us: int | None = 2_000) -> FragmentEntry:
    record = FragmentRecord(
        number=number,
        sequence=sequence,
        run_id=RUN,
        first_pts_90k=number * 90_000,
        monotonic_us=number * 1_000_000,
        utc_us=1_700_000_000_000_000 + number * 1_000_000,
        bound_us=bound_us,
        clock_source="chrony",
        samples=25,
        is_key=number % 2 == 1,
        closed_early=number == 3,
        keys_back=number - 1,
    )
    return FragmentEntry(1_000 * number, 900, 1_000 * number + 60, record, bytes([number]) * 32)


ENTRIES = [entry(1), entry(2, bound_us=None), entry(3)]


def table() -> FragmentTable:
    return FragmentTable.of(7, RUN, ENTRIES)


def test_entries_come_back() -> None:
    assert list(table()) == ENTRIES
    assert (table()[0], table()[-1], len(table())) == (ENTRIES[0], ENTRIES[2], 3)


def test_a_slice_is_a_table_of_its_own() -> None:
    whole = table()
    part = whole[1:]
    part.append(entry(4))
    assert list(part) == [*ENTRIES[1:], entry(4)]
    assert list(whole) == ENTRIES
    assert list(whole[5:]) == list(whole[2:1]) == []
    assert whole[:] == whole
    assert whole[1:] != whole


def test_a_slice_in_steps_is_refused() -> None:
    with pytest.raises(ValueError, match="steps of 2"):
        table()[::2]


def test_the_end_can_be_forgotten() -> None:
    whole = table()
    del whole[1:]
    whole.append(ENTRIES[1])
    assert list(whole) == ENTRIES[:2]


def test_a_fragment_of_another_segment_is_refused() -> None:
    with pytest.raises(ValueError, match="of segment 8"):
        table().append(entry(4, sequence=8))


def test_an_entry_that_no_column_holds_changes_nothing() -> None:
    whole = table()
    for wrong in (entry(4)._replace(offset=-1), entry(4)._replace(digest=b"short")):
        with pytest.raises((OverflowError, ValueError)):
            whole.append(wrong)
        assert whole == table()


def test_flags_are_told_without_entries() -> None:
    whole = table()
    assert [whole.is_key(place) for place in range(3)] == [True, False, True]
    assert [whole.keys_back(place) for place in range(3)] == [0, 1, 2]
    assert whole.refreshes_gradually()
    assert not replace(whole[:1]).refreshes_gradually()
    assert not whole[:0].refreshes_gradually()


def test_digests_come_together() -> None:
    assert table().digests_between(1, 3) == ENTRIES[1].digest + ENTRIES[2].digest
