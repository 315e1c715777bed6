"""What a clip would cost, before it is asked for: bytes, minutes, and whether the footage lasts so long.

Reckoned from what the unit said last, and no better than that: the footage of its last 24 hours interval by
interval, older footage by the share of each UTC day that it holds, bytes by the camera's mean rate, minutes by the
rate that the unit measured on its last uploads. What is not known is said to be unknown.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeGuard

from csu.errors import ContractError
from csu.records import UnitRecord
from csu.stored_alarms import times_of_centre
from csu.views import ClipEstimate
from edge_agent.contract.commands import MAX_CLIP_S, MAX_FUTURE_S
from edge_agent.contract.messages import CameraCoverage, Coverage, CoverageInterval
from edge_agent.contract.times import format_utc

_US = 1_000_000
_HOUR_US = 3600 * _US
_DAY_US = 24 * _HOUR_US
_SOON_US = _DAY_US
_RATE_AGE_US = 7 * _DAY_US
"""A rate that was measured longer ago says little of the link of today."""
_STILL_RECORDING_US = 180 * _US
"""A ring whose newest footage was no older when the unit said so was being recorded into."""
_MAX_GAPS = 200
_LONGEST_US = 100 * 365 * _DAY_US
_MAX_RATE_KBPS = 1e9
"""Beyond these two a unit's figure is none: it says nothing, and no calendar or number holds what is made of it."""

OverwriteRisk = Literal["none", "soon", "before-end", "gone", "unknown"]
Problem = Literal[
    "unknown-camera",
    "interval-invalid",
    "interval-in-future",
    "interval-overwritten",
    "interval-empty",
    "clock-unknown",
]


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time, half open, µs."""

    start_us: int
    end_us: int

    @property
    def length_us(self) -> int:
        """Of what is not empty."""
        return max(0, self.end_us - self.start_us)

    def cut(self, other: "Span") -> "Span":
        """What both have; may be empty."""
        return Span(max(self.start_us, other.start_us), min(self.end_us, other.end_us))


@dataclass(frozen=True, slots=True)
class Holding:
    """Footage in an interval."""

    held_us: float
    gaps: tuple[dict[str, Any], ...]


def estimate_clip(unit: UnitRecord, camera: str, from_us: int, to_us: int, now_us: int) -> ClipEstimate:
    """What a clip of a unit's camera would cost.

    Args:
        unit: what it said last.
        camera: of the unit.
        from_us: the interval's start.
        to_us: its end, not in it.
        now_us: the present.
    """
    asked = Span(from_us, to_us)
    coverage, heard_us = _coverage_of(unit)
    ring = None if coverage is None else next((one for one in coverage.cameras if one.camera == camera), None)
    problem = _problem_of_times(asked, now_us)
    if coverage is None or ring is None:
        return _unknown(asked, problem or ("unknown-camera" if coverage is not None else None), heard_us)
    if times_of_centre(coverage.at, heard_us or now_us) != coverage.at:
        return _unknown(asked, problem or "clock-unknown", heard_us)  # its footage is dated by that clock too
    # Footage goes on being recorded since the word was said; what comes after it is taken to be held.
    reckoned = reckon(ring, asked, said_us=coverage.at, now_us=now_us) if problem is None else Holding(0.0, ())
    held_s = reckoned.held_us / _US
    size_bytes = round(held_s * bytes_a_second(ring, camera, unit))
    rate_kbps = upload_rate_kbps(unit, now_us)
    expected_s = None if rate_kbps is None else size_bytes * 8 / 1000 / rate_kbps
    oldest_us, given_up_us = oldest_now_us(ring, coverage.at, now_us), _overwrite_us(ring, asked, coverage.at, now_us)
    return ClipEstimate(
        size_bytes=size_bytes,
        held_s=round(held_s, 3),
        missing_s=round(max(0.0, asked.length_us / _US - held_s), 3),
        gaps=reckoned.gaps,
        expected_s=None if expected_s is None else round(expected_s, 1),
        rate_kbps=rate_kbps,
        rate_basis="unknown" if rate_kbps is None else "measured",
        overwrite_us=given_up_us,
        overwrite_risk=_risk(oldest_us, asked, given_up_us, expected_s, now_us),
        coverage_heard_us=heard_us,
        problem=problem or _problem_of_ring(oldest_us, asked, held_s),
    )


def reckon(ring: CameraCoverage, asked: Span, *, said_us: int, now_us: int) -> Holding:
    """Footage of a camera in an interval, and the gaps that are known in it.

    Args:
        ring: what the camera holds.
        asked: the interval.
        said_us: when the unit said so.
        now_us: the present.
    """
    oldest_us = oldest_now_us(ring, said_us, now_us)
    if oldest_us is None or ring.newest_us is None:
        return Holding(0.0, ())
    recording = ring.newest_us >= said_us - _STILL_RECORDING_US
    held = Span(oldest_us, now_us + MAX_FUTURE_S * _US if recording else ring.newest_us)
    known_from_us = min((one.start_us for one in ring.last_24h), default=ring.newest_us)
    exact, older = asked.cut(Span(known_from_us, held.end_us)), asked.cut(Span(held.start_us, known_from_us))
    gaps = [_gap(one, exact) for one in ring.last_24h if not one.held]
    listed = [gap for gap in gaps if gap is not None][:_MAX_GAPS]
    lost_us = sum(Span(one.start_us, one.end_us).cut(exact).length_us for one in ring.last_24h if not one.held)
    held_us = exact.length_us - lost_us + _older_us(ring, older)
    return Holding(max(0.0, held_us), tuple(listed))


def oldest_now_us(ring: CameraCoverage, said_us: int, now_us: int) -> int | None:
    """Where a ring begins by now: once it is full, its beginning wanders on as time goes by."""
    until_us = _until_overwrite_us(ring)
    if ring.oldest_us is None or until_us is None:
        return ring.oldest_us
    return ring.oldest_us + max(0, now_us - said_us - until_us)


def _until_overwrite_us(ring: CameraCoverage) -> int | None:
    hours = ring.hours_until_overwrite
    return None if hours is None or not 0 <= hours * _HOUR_US <= _LONGEST_US else round(hours * _HOUR_US)


def _gap(one: CoverageInterval, inside: Span) -> dict[str, Any] | None:
    span = Span(one.start_us, one.end_us).cut(inside)
    if span.length_us == 0:
        return None
    return {"from": format_utc(span.start_us), "to": format_utc(span.end_us), "cause": one.cause or "unknown"}


def _older_us(ring: CameraCoverage, older: Span) -> float:
    """By each day's share; of a day that nothing was said of, all is taken to be held."""
    shares = {day.day: day.held_s / (day.held_s + day.lost_s) for day in ring.days if day.held_s + day.lost_s > 0}
    return sum(shares.get(day, 1.0) * span.length_us for day, span in _days(older))


def _days(span: Span) -> Iterable[tuple[str, Span]]:
    """The UTC days that a span touches, each with the part of the span in it."""
    start_us = span.start_us
    while start_us < span.end_us:
        end_us = min(span.end_us, (start_us // _DAY_US + 1) * _DAY_US)
        yield format_utc(start_us)[:10], Span(start_us, end_us)
        start_us = end_us


def bytes_a_second(ring: CameraCoverage, camera: str, unit: UnitRecord) -> float:
    """A camera's mean rate: of the whole ring, else as its health says, else 0."""
    held_s = sum(day.held_s for day in ring.days)
    if held_s > 0 and ring.size_bytes > 0:
        return ring.size_bytes / held_s
    rate_kbps = _figures(unit, camera).get("bitrate_kbps")
    return rate_kbps * 1000 / 8 if _is_rate(rate_kbps) else 0.0


def upload_rate_kbps(unit: UnitRecord, now_us: int) -> float | None:
    """What the unit measured on its last uploads, kbit/s; None when it never did, or long ago."""
    health = unit.states.get("health")
    network = {} if health is None else health.body.get("network", {})
    rate = network.get("upload_kbps") if isinstance(network, Mapping) else None
    if health is None or not _is_rate(rate):
        return None
    age_s = network.get("upload_age_s", 0)
    age_us = (age_s if _is_number(age_s) else 0) * _US + max(0, now_us - health.heard_us)
    return float(rate) if age_us <= _RATE_AGE_US else None


def _coverage_of(unit: UnitRecord) -> tuple[Coverage | None, int | None]:
    state = unit.states.get("coverage")
    if state is None:
        return None, None
    try:
        return Coverage.from_object(state.body), state.heard_us
    except ContractError:
        return None, None  # of an older contract


def _figures(unit: UnitRecord, camera: str) -> Mapping[str, Any]:
    """What the unit's health says of a camera (`camera.cameras.<name>`)."""
    health = unit.states.get("health")
    found: object = None if health is None else health.body
    for name in ("camera", "cameras", camera):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_rate(value: object) -> TypeGuard[int | float]:
    return _is_number(value) and 1 / _MAX_RATE_KBPS < value < _MAX_RATE_KBPS


def _problem_of_times(asked: Span, now_us: int) -> Problem | None:
    """As `uplink.checks` of the unit has it."""
    if asked.end_us <= asked.start_us or asked.length_us > MAX_CLIP_S * _US:
        return "interval-invalid"
    return "interval-in-future" if asked.end_us > now_us + MAX_FUTURE_S * _US else None


def _problem_of_ring(oldest_us: int | None, asked: Span, held_s: float) -> Problem | None:
    if oldest_us is not None and asked.end_us <= oldest_us:
        return "interval-overwritten"
    return "interval-empty" if held_s <= 0 else None


def _overwrite_us(ring: CameraCoverage, asked: Span, said_us: int, now_us: int) -> int | None:
    """When the oldest footage of the interval is given up: it wanders towards the ring's end as time goes by."""
    until_us = _until_overwrite_us(ring)
    if ring.oldest_us is None or until_us is None:
        return None
    given_up_us = said_us + until_us + max(0, asked.start_us - ring.oldest_us)
    return given_up_us if given_up_us < now_us + _LONGEST_US else None


def _risk(
    oldest_us: int | None, asked: Span, given_up_us: int | None, expected_s: float | None, now_us: int
) -> OverwriteRisk:
    if oldest_us is not None and asked.start_us < oldest_us:
        return "gone"
    if given_up_us is None:
        return "unknown"
    if expected_s is not None and given_up_us <= now_us + expected_s * _US:
        return "before-end"
    return "soon" if given_up_us <= now_us + _SOON_US else "none"


def _unknown(asked: Span, problem: Problem | None, heard_us: int | None) -> ClipEstimate:
    """Nothing is known of the camera's footage."""
    return ClipEstimate(
        size_bytes=0,
        held_s=0.0,
        missing_s=round(asked.length_us / _US, 3),
        rate_basis="unknown",
        overwrite_risk="unknown",
        coverage_heard_us=heard_us,
        problem=problem,
    )
