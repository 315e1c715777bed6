"""Holes between parts, against the gaps that a manifest lists."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from csu.verify.clip import _LONGEST_SILENT_HOLE_US, _check_holes
from csu.verify.verdict import Findings
from edge_agent.contract.clip import Interval, Manifest

_ASKED = Interval(start_us=0, end_us=60_000_000)
_INTERVALS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=6)


def manifest_of(parts: list[tuple[int, int]], gaps: tuple[Any, ...]) -> Manifest:
    """As far as holes go; times in seconds."""
    shown = [SimpleNamespace(interval=SimpleNamespace(start_us=a * 10**6, end_us=b * 10**6)) for a, b in parts]
    return cast("Manifest", SimpleNamespace(asked=_ASKED, parts=shown, gaps=gaps))


def gap(start_s: int, end_s: int) -> SimpleNamespace:
    return SimpleNamespace(start_us=start_s * 10**6, end_us=end_s * 10**6)


@given(_INTERVALS, _INTERVALS)
def test_a_hole_is_silent_when_no_one_gap_spans_it(parts: list[tuple[int, int]], gaps: list[tuple[int, int]]) -> None:
    findings = Findings()
    manifest = manifest_of(parts, tuple(gap(*one) for one in gaps))
    _check_holes(manifest, findings)
    silent, held_us = set(), 0
    for start_us, end_us in [*((a * 10**6, b * 10**6) for a, b in parts), (60_000_000, 60_000_000)]:
        explained = any(one.start_us <= held_us and start_us <= one.end_us for one in manifest.gaps)
        if start_us - held_us > _LONGEST_SILENT_HOLE_US and not explained:
            silent.add(held_us)
        held_us = max(held_us, end_us)
    assert len(findings.kept) == len(silent)


class _Walked(tuple[Any, ...]):
    """Counts what is taken out of it."""

    __slots__ = ()
    taken = 0

    def __iter__(self) -> Iterator[Any]:
        for one in super().__iter__():
            _Walked.taken += 1
            yield one


def test_gaps_are_walked_once() -> None:
    gaps = _Walked(gap(3 * n + 1, 3 * n + 4) for n in range(20))
    _Walked.taken = 0
    findings = Findings()
    _check_holes(manifest_of([(3 * n, 3 * n + 1) for n in range(20)], gaps), findings)
    assert _Walked.taken == 20
