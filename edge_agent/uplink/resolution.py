"""How finely history is kept: less with age, plain samples before changes of state, never by a clock that may step.

A sample's age is counted in the time that the unit ran since: monotonic time of its own boot and of the boots after
it. While the unit is without power nothing passes. So the age is at most the true one, samples are thinned late
rather than early, and no step of the wall clock makes old what is new.

Of the plain samples of one bucket of monotonic time the first stays. The widths divide one another: thinning again
changes nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from edge_agent.contract.messages import HistoryKind

_DAY_S = 24 * 3600
FORGOTTEN_AFTER_S = 31 * _DAY_S


@dataclass(frozen=True, slots=True)
class Width:
    """From this age on one plain sample is kept in so many seconds."""

    from_age_s: int
    width_s: int


WIDTHS: dict[HistoryKind, tuple[Width, ...]] = {
    "health": (Width(0, 300), Width(_DAY_S, 1800), Width(7 * _DAY_S, 7200)),
    "position": (Width(0, 30), Width(_DAY_S, 300), Width(7 * _DAY_S, 1800)),
}

MAX_BYTES: dict[HistoryKind, int] = {"health": 3_000_000, "position": 2_000_000}
"""Of the bodies that wait. With the events they pass a line of 256 kbit/s in 10 minutes."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What of a stored sample decides whether it stays."""

    number: int
    kind: HistoryKind
    boot_id: str
    monotonic_us: int
    is_change: bool
    size_bytes: int


def bucket_of(kind: HistoryKind, monotonic_us: int, age_s: float = 0.0) -> int:
    """Number of the bucket of a plain sample of this age."""
    width_s = next(width.width_s for width in reversed(WIDTHS[kind]) if age_s >= width.from_age_s)
    return monotonic_us // (width_s * 1_000_000)


def surplus(samples: Sequence[Kept], boot_id: str, monotonic_us: int) -> list[Kept]:
    """Which samples are to be left out.

    Args:
        samples: all that are kept, in the order in which they were noted.
        boot_id: of the present boot.
        monotonic_us: now.
    """
    ages_s = _ages_s(samples, boot_id, monotonic_us)
    seen: set[tuple[str, str, int, int]] = set()
    stays: list[Kept] = []
    leaves: list[Kept] = []
    for sample, age_s in zip(samples, ages_s, strict=True):
        place = _place(sample, age_s)
        (leaves if age_s > FORGOTTEN_AFTER_S or place in seen else stays).append(sample)
        if not sample.is_change:
            seen.add(place)
    for kind, max_bytes in MAX_BYTES.items():
        leaves += _beyond(max_bytes, [sample for sample in stays if sample.kind == kind])
    return leaves


def _place(sample: Kept, age_s: float) -> tuple[str, str, int, int]:
    if sample.is_change:
        return sample.kind, sample.boot_id, -1, sample.number
    bucket = bucket_of(sample.kind, sample.monotonic_us, age_s)
    width = sum(age_s >= width.from_age_s for width in WIDTHS[sample.kind])
    return sample.kind, sample.boot_id, width, bucket


def _ages_s(samples: Sequence[Kept], boot_id: str, monotonic_us: int) -> list[float]:
    """How long the unit ran since each sample."""
    ages_s: list[float] = []
    boot, end_us, ran_us = boot_id, monotonic_us, 0
    for sample in reversed(samples):
        if sample.boot_id != boot:
            ran_us += end_us
            boot, end_us = sample.boot_id, sample.monotonic_us
        ages_s.append((ran_us + end_us - sample.monotonic_us) / 1e6)
    ages_s.reverse()
    return ages_s


def _beyond(max_bytes: int, samples: list[Kept]) -> list[Kept]:
    """The oldest plain samples, then the oldest changes, until the others fit."""
    left_bytes = sum(sample.size_bytes for sample in samples) - max_bytes
    leaves: list[Kept] = []
    for sample in sorted(samples, key=lambda one: (one.is_change, one.number)):
        if left_bytes <= 0:
            break
        leaves.append(sample)
        left_bytes -= sample.size_bytes
    return leaves
