"""The catalogue against the plain list that it stands for."""

import random
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.buffer.catalogue import Catalogue, Stretch
from edge_agent.buffer.clock_model import Anchor, BootSpan, ClockModel
from edge_agent.buffer.coverage import DAY_US, Span, clipped, days, timeline

SECOND_US = 1_000_000
BOOTS = ("a" * 32, "b" * 32, "c" * 32)

Plain = dict[int, tuple[list[Stretch], int]]

SEGMENTS = st.lists(
    st.tuples(
        st.integers(0, 3),  # sequence numbers left out before
        st.booleans(),  # another boot
        st.lists(st.tuples(st.integers(0, 10), st.integers(1, 10)), min_size=1, max_size=3),  # silence, footage
        st.integers(1, 1000),
    ),
    max_size=30,
)


def plain_of(segments: list[tuple[int, bool, list[tuple[int, int]], int]]) -> Plain:
    plain: Plain = {}
    sequence, boot, now_us = 0, 0, 0
    for skipped, reboot, pieces, size_bytes in segments:
        sequence += 1 + skipped
        if reboot and boot < len(BOOTS) - 1:
            boot, now_us = boot + 1, 0
        rows = []
        for silence_s, length_s in pieces:
            now_us += silence_s * SECOND_US
            row = Stretch(sequence, BOOTS[boot], "r", now_us, now_us + length_s * SECOND_US, "rotation")
            rows.append(row)
            now_us = row.end_us
        plain[sequence] = (rows, size_bytes)
    return plain


def filled(plain: Plain) -> Catalogue:
    catalogue = Catalogue()
    for sequence, (rows, size_bytes) in plain.items():
        catalogue.add(rows, sequence, size_bytes)
    return catalogue


@given(SEGMENTS, st.integers(0, 300), st.integers(0, 100))
def test_it_answers_as_the_list_does(
    segments: list[tuple[int, bool, list[tuple[int, int]], int]], start_s: int, length_s: int
) -> None:
    plain = plain_of(segments)
    catalogue = filled(plain)
    for sequence in list(plain)[::3]:
        del plain[sequence]
        catalogue.remove(sequence)
        catalogue.remove(sequence)
    assert len(catalogue) == len(plain)
    assert list(catalogue.oldest_first()) == list(plain)
    assert catalogue.size_bytes == sum(size for _, size in plain.values())
    assert catalogue.newest(4) == list(plain)[-4:]
    start_us, end_us = start_s * SECOND_US, (start_s + length_s) * SECOND_US
    for boot_id in BOOTS:
        expected = [
            sequence
            for sequence, (rows, _) in plain.items()
            if any(row.boot_id == boot_id and row.start_us < end_us and row.end_us > start_us for row in rows)
        ]
        assert catalogue.overlapping(boot_id, start_us, end_us) == expected
    for sequence, (rows, size_bytes) in plain.items():
        assert catalogue.rows_of(sequence) == rows
        assert catalogue.size_of(sequence) == size_bytes
        assert catalogue.bytes_before(sequence) == sum(
            size for number, (_, size) in plain.items() if number < sequence
        )
    assert catalogue.last() == (list(plain.values())[-1][0][-1] if plain else None)


@given(SEGMENTS)
def test_segments_may_come_in_any_order(segments: list[tuple[int, bool, list[tuple[int, int]], int]]) -> None:
    plain = plain_of(segments)
    backwards = filled(dict(reversed(list(plain.items()))))
    forwards = filled(plain)
    assert backwards.merged() == forwards.merged()
    assert list(backwards.oldest_first()) == list(forwards.oldest_first())


STEPS = st.lists(st.sampled_from(["newest", "newest", "oldest", "oldest", "some", "doubt", "again"]), max_size=60)


@settings(deadline=None)
@given(SEGMENTS, STEPS, st.randoms(use_true_random=False))
def test_what_is_joined_step_by_step_is_what_is_joined_at_once(
    segments: list[tuple[int, bool, list[tuple[int, int]], int]], steps: list[str], dice: random.Random
) -> None:
    """A ring at work: it gets segments, gives up its oldest, and now and then one in its midst."""
    coming = list(plain_of(segments).items())
    catalogue = Catalogue()
    for step in steps:
        held = list(catalogue.oldest_first())
        if step == "newest" and coming:
            sequence, (rows, size_bytes) = coming.pop(0)
            catalogue.add(rows, sequence, size_bytes)
        elif held and step == "again":
            sequence = dice.choice(held)
            catalogue.add(catalogue.rows_of(sequence), sequence, catalogue.size_of(sequence))
        elif held and step == "doubt":
            catalogue.doubt(held[min(1, len(held) - 1)])
        elif held and step != "newest":
            catalogue.remove(held[0] if step == "oldest" else dice.choice(held))
        afresh = Catalogue()
        for sequence in catalogue.oldest_first():
            afresh.add(catalogue.rows_of(sequence), sequence, 1)
        assert catalogue.merged() == afresh.merged()


@given(SEGMENTS)
def test_joined_stretches_hold_the_same_footage(segments: list[tuple[int, bool, list[tuple[int, int]], int]]) -> None:
    plain = plain_of(segments)
    numbered = [-1, *(row.sequence for rows, _ in plain.values() for row in rows)]
    rows = [
        row._replace(cause="unknown") if row.cause == "rotation" and 0 <= before < row.sequence - 1 else row
        for before, row in zip(numbered, (row for rows, _ in plain.values() for row in rows), strict=False)
    ]
    spans = [BootSpan(boot_id, 0, 1000 * SECOND_US) for boot_id in BOOTS]
    anchors = {
        boot_id: [Anchor(boot_id, 0, number * DAY_US, "gnss", 0)] for number, boot_id in enumerate(BOOTS, start=1)
    }
    clock = ClockModel(spans, anchors)
    joined = timeline(filled(plain).merged(), clock, 100 * DAY_US)
    assert joined == timeline(rows, clock, 100 * DAY_US)
    for earlier, later in pairwise(joined):
        assert earlier.end_us == later.start_us
        assert earlier.held != later.held
    held_s = sum(row.end_us - row.start_us for row in rows) / SECOND_US
    assert sum(day.held_s for day in days(joined)) >= held_s - 1


def test_days_are_split_at_midnight_utc() -> None:
    spans = [
        Span(DAY_US - 10 * SECOND_US, DAY_US + 20 * SECOND_US, None),
        Span(DAY_US + 20 * SECOND_US, DAY_US * 2, "boot"),
    ]
    assert [(day.day, day.held_s, day.lost_s) for day in days(spans)] == [
        ("1970-01-01", 10, 0),
        ("1970-01-02", 20, 86_380),
    ]


def test_clipping_keeps_what_lies_within() -> None:
    spans = [Span(0, 10, None), Span(10, 20, "boot"), Span(20, 30, None)]
    assert clipped(spans, 5, 20) == [Span(5, 10, None), Span(10, 20, "boot")]
    assert clipped(spans, 30, 40) == []


def test_what_is_missing_now_is_a_gap() -> None:
    clock = ClockModel((), {BOOTS[0]: [Anchor(BOOTS[0], 0, 0, "gnss", 0)]})
    rows = [Stretch(1, BOOTS[0], "r", 0, 10 * SECOND_US, "start")]
    assert timeline(rows, clock, 30 * SECOND_US, "camera-lost")[-1] == Span(
        10 * SECOND_US, 30 * SECOND_US, "camera-lost"
    )
    assert len(timeline(rows, clock, 11 * SECOND_US, "camera-lost")) == 1
    assert len(timeline(rows, clock, 30 * SECOND_US)) == 1
