"""How finely history is kept, by the time that the unit ran."""

from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.contract.messages import HistoryKind
from edge_agent.uplink import resolution
from edge_agent.uplink.resolution import FORGOTTEN_AFTER_S, Kept, surplus

DAY_S = 24 * 3600
BOOT = "b" * 32


def plain(number: int, at_s: float, kind: HistoryKind = "health", boot: str = BOOT, size_bytes: int = 100) -> Kept:
    return Kept(number, kind, boot, round(at_s * 1e6), False, size_bytes)


def change(number: int, at_s: float, size_bytes: int = 100) -> Kept:
    return Kept(number, "health", BOOT, round(at_s * 1e6), True, size_bytes)


def stay(samples: list[Kept], now_s: float) -> list[Kept]:
    leaves = {sample.number for sample in surplus(samples, BOOT, round(now_s * 1e6))}
    return [sample for sample in samples if sample.number not in leaves]


def steps(samples: Iterable[Kept]) -> set[int]:
    times = [sample.monotonic_us // 1_000_000 for sample in samples]
    return {later - earlier for earlier, later in pairwise(times)}


def test_a_month_of_minutes_is_thinned_in_three_steps() -> None:
    now_s = 40 * DAY_S
    samples = [plain(number, number * 60) for number in range(now_s // 60)]
    kept = stay(samples, now_s)
    age = {sample.number: now_s - sample.monotonic_us / 1e6 for sample in kept}
    assert steps(one for one in kept if age[one.number] < DAY_S - 300) == {300}
    assert steps(one for one in kept if DAY_S + 1800 < age[one.number] < 7 * DAY_S - 1800) == {1800}
    assert steps(one for one in kept if age[one.number] > 7 * DAY_S + 7200) == {7200}
    assert max(age.values()) <= FORGOTTEN_AFTER_S
    assert len(kept) == pytest.approx(288 + 6 * 48 + 24 * 12, abs=20)


def test_changes_stay_where_plain_samples_go() -> None:
    samples = [plain(number, number * 10) for number in range(360)] + [change(1000 + n, 3600 + n) for n in range(50)]
    kept = stay(samples, 3 * DAY_S)
    assert [sample.number for sample in kept if sample.is_change] == [1000 + n for n in range(50)]
    assert len(kept) == 50 + 2


def test_beyond_the_bound_the_oldest_plain_ones_go_first_and_changes_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(resolution.MAX_BYTES, "health", 1000)
    samples = [change(0, 0), plain(1, 300), plain(2, 600), change(3, 700), plain(4, 900)]
    big = [Kept(one.number, one.kind, one.boot_id, one.monotonic_us, one.is_change, 300) for one in samples]
    assert [sample.number for sample in stay(big, 1000)] == [0, 3, 4]
    monkeypatch.setitem(resolution.MAX_BYTES, "health", 300)
    assert [sample.number for sample in stay(big, 1000)] == [3]


def test_a_boot_is_as_old_as_the_unit_ran_since() -> None:
    """What the wall clock says does not come into it, nor how long the unit was without power."""
    old = [plain(number, number * 60, boot="a" * 32) for number in range(60)]
    assert len(stay(old, 3600)) == 12
    assert len(stay(old, 2 * DAY_S)) == 2
    assert stay(old, 33 * DAY_S) == []


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 40 * DAY_S), st.booleans()), max_size=60),
    st.integers(0, 5 * DAY_S),
)
def test_thinning_again_changes_nothing_and_the_newest_state_change_stays(
    raw: list[tuple[int, int, bool]], later_s: int
) -> None:
    ordered = sorted(raw)
    boots = ["x" * 32, "y" * 32, BOOT]
    samples = [
        Kept(number, "health", boots[boot], at_s * 1_000_000, is_change, 100)
        for number, (boot, at_s, is_change) in enumerate(ordered)
    ]
    now_s = 40 * DAY_S + later_s
    once = stay(samples, now_s)
    assert stay(once, now_s) == once
    young = [one for one in samples if one.boot_id == BOOT and now_s - one.monotonic_us / 1e6 < FORGOTTEN_AFTER_S]
    assert [one for one in young if one.is_change] == [one for one in once if one.is_change and one in young]
