"""UTC of footage: rising, continuous, invertible, whatever the anchors say."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.buffer.clock_model import DRIFT_PPM, Anchor, BootSpan, ClockModel, consistent
from edge_agent.contract.segment_format import CLOCK_SOURCES, ClockSource
from edge_agent.errors import RingError

BOOT, NEXT_BOOT, LAST_BOOT = "a" * 32, "b" * 32, "c" * 32
MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US
NOW_US = 1_790_000_000_000_000


def anchor(
    monotonic_us: int, utc_us: int, source: ClockSource = "chrony", bound_us: int | None = 1_000, boot_id: str = BOOT
) -> Anchor:
    return Anchor(boot_id, monotonic_us, utc_us, source, None if source == "unknown" else bound_us)


def model(*anchors: Anchor, spans: tuple[BootSpan, ...] = ()) -> ClockModel:
    by_boot: dict[str, list[Anchor]] = {}
    for one in anchors:
        by_boot.setdefault(one.boot_id, []).append(one)
    return ClockModel(spans, by_boot)


ANCHORS = st.lists(
    st.builds(
        anchor,
        st.integers(0, 10 * HOUR_US),
        st.integers(NOW_US, NOW_US + 10 * HOUR_US),
        st.sampled_from(CLOCK_SOURCES),
        st.integers(0, 10_000_000),
    ),
    min_size=1,
    max_size=12,
)
INSTANTS = st.lists(st.integers(-HOUR_US, 12 * HOUR_US), min_size=2, max_size=40)


@given(ANCHORS, INSTANTS)
def test_utc_rises_with_monotonic_time(anchors: list[Anchor], instants: list[int]) -> None:
    clock = model(*anchors)
    for earlier, later in pairwise(sorted(set(instants))):
        run_us = later - earlier
        rise_us = clock.utc_us(BOOT, later) - clock.utc_us(BOOT, earlier)
        assert abs(rise_us - run_us) <= run_us // 1000 + 2  # neither lost nor doubled, nowhere a jump
        assert rise_us > 0 or run_us < 2


@given(ANCHORS, st.integers(-HOUR_US, 12 * HOUR_US))
def test_to_monotonic_is_the_inverse(anchors: list[Anchor], instant_us: int) -> None:
    clock = model(*anchors)
    assert abs(clock.to_monotonic(BOOT, clock.utc_us(BOOT, instant_us)) - instant_us) <= 1
    utc_us = NOW_US + instant_us
    first_us = clock.to_monotonic(BOOT, utc_us)
    assert clock.utc_us(BOOT, first_us) >= utc_us > clock.utc_us(BOOT, first_us - 1)


@given(ANCHORS)
def test_anchors_that_stay_agree_and_are_vouched_for_when_any_is(anchors: list[Anchor]) -> None:
    kept = consistent(anchors)
    assert kept
    assert set(kept) <= set(anchors)
    if any(one.source != "unknown" for one in anchors):
        assert all(one.source != "unknown" for one in kept)
    for earlier, later in pairwise(kept):
        rise_us, run_us = later.utc_us - earlier.utc_us, later.monotonic_us - earlier.monotonic_us
        assert run_us > 0
        assert abs(rise_us - run_us) * 1000 <= run_us


def test_a_clock_that_becomes_known_late_dates_what_was_before() -> None:
    clock = model(anchor(MINUTE_US, 0, "unknown"), anchor(10 * MINUTE_US, NOW_US, "kernel", 50_000))
    estimate = clock.to_utc(BOOT, 2 * MINUTE_US)
    assert estimate.utc_us == NOW_US - 8 * MINUTE_US
    assert estimate.source == "kernel"
    assert estimate.bound_us == 50_000 + 8 * 60 * DRIFT_PPM


def test_the_bound_grows_away_from_anchors_and_shrinks_towards_the_next() -> None:
    clock = model(anchor(0, NOW_US), anchor(2 * HOUR_US, NOW_US + 2 * HOUR_US, bound_us=3_000))
    bounds = [clock.to_utc(BOOT, minute * MINUTE_US).bound_us for minute in (0, 60, 120, 180)]
    middle = 2_000 + 3600 * DRIFT_PPM  # the anchors' mean, and an hour's drift: 2 d a b / (a + b)
    assert bounds == [1_000, middle, 3_000, 3_000 + 3600 * DRIFT_PPM]


def test_without_a_vouched_anchor_nothing_is_promised() -> None:
    estimate = model(anchor(0, NOW_US, "unknown")).to_utc(BOOT, MINUTE_US)
    assert (estimate.utc_us, estimate.bound_us, estimate.source) == (NOW_US + MINUTE_US, None, "unknown")


def test_of_two_that_contradict_the_better_bound_stays() -> None:
    good, bad = anchor(0, NOW_US, bound_us=1_000), anchor(MINUTE_US, NOW_US - HOUR_US, "kernel", 500_000)
    assert consistent([good, bad]) == (good,)
    assert consistent([bad, good]) == (good,)


def test_of_two_equals_that_contradict_the_later_one_stays() -> None:
    before, after = anchor(0, NOW_US), anchor(MINUTE_US, NOW_US + HOUR_US)
    assert consistent([before, after]) == (after,)


def test_an_outlier_does_not_take_its_neighbours_along() -> None:
    first, second = anchor(0, NOW_US, bound_us=100), anchor(HOUR_US, NOW_US + HOUR_US, bound_us=50_000)
    outlier = anchor(HOUR_US + MINUTE_US, NOW_US, "kernel", 50_000)
    assert consistent([first, second, outlier]) == (first, second)


def span(boot_id: str, minutes: int) -> BootSpan:
    return BootSpan(boot_id, MINUTE_US, MINUTE_US + minutes * MINUTE_US)


def test_an_unset_boot_comes_after_the_footage_of_the_boot_before() -> None:
    clock = model(
        anchor(0, NOW_US),
        anchor(0, 0, "unknown", boot_id=NEXT_BOOT),
        spans=(span(BOOT, 60), span(NEXT_BOOT, 10)),
    )
    assert clock.utc_us(NEXT_BOOT, MINUTE_US) == clock.utc_us(BOOT, 61 * MINUTE_US)
    assert clock.to_utc(NEXT_BOOT, MINUTE_US).bound_us is None


def test_a_boot_with_a_clock_in_the_future_ends_before_the_next_vouched_one() -> None:
    clock = model(
        anchor(0, NOW_US),
        anchor(0, NOW_US + 1000 * HOUR_US, "unknown", boot_id=NEXT_BOOT),
        anchor(0, NOW_US + 20 * HOUR_US, boot_id=LAST_BOOT),
        spans=(span(BOOT, 60), span(NEXT_BOOT, 10), span(LAST_BOOT, 5)),
    )
    assert clock.utc_us(NEXT_BOOT, 11 * MINUTE_US) == clock.utc_us(LAST_BOOT, MINUTE_US)


def test_the_first_boot_of_all_never_set_ends_where_the_next_vouched_one_begins() -> None:
    clock = model(
        anchor(0, 5, "unknown"),
        anchor(0, NOW_US, boot_id=NEXT_BOOT),
        spans=(span(BOOT, 60), span(NEXT_BOOT, 10)),
    )
    assert clock.utc_us(BOOT, 61 * MINUTE_US) == clock.utc_us(NEXT_BOOT, MINUTE_US)


UNVOUCHED = st.lists(
    st.tuples(st.integers(0, 2 * NOW_US), st.integers(0, 600), st.booleans()), min_size=1, max_size=8
)


@given(UNVOUCHED)
def test_boots_nobody_vouched_for_keep_their_order(boots: list[tuple[int, int, bool]]) -> None:
    """Between vouched boots that lie far enough apart, footage of different boots never overlaps."""
    spans, anchors = [], []
    for number, (wall_us, minutes, vouched) in enumerate(boots):
        boot_id = f"{number:032x}"
        spans.append(BootSpan(boot_id, 0, minutes * MINUTE_US))
        true_us = NOW_US + number * 20 * HOUR_US
        anchors.append(anchor(0, true_us if vouched else wall_us, "gnss" if vouched else "unknown", 10, boot_id))
    clock = model(*anchors, spans=tuple(spans))
    for earlier, later in pairwise(spans):
        assert clock.utc_us(earlier.boot_id, earlier.last_us) <= clock.utc_us(later.boot_id, later.first_us)
    for one, (_, _, vouched) in zip(anchors, boots, strict=True):
        assert not vouched or clock.utc_us(one.boot_id, 0) == one.utc_us


def test_an_unknown_boot_is_an_error() -> None:
    with pytest.raises(RingError):
        model(anchor(0, NOW_US)).to_utc("f" * 32, 0)
