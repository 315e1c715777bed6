"""What a clip would cost, from what the unit said last; and what is not known is said to be unknown."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csu.estimate import estimate_clip
from csu.records import HeardState, UnitRecord
from csu.views import ClipEstimate
from edge_agent.contract.messages import Coverage
from edge_agent.contract.times import format_utc, parse_utc

US = 1_000_000
HOUR = 3600
NOW_US = parse_utc("2026-03-10T12:00:00Z")
DAY_S = 24 * HOUR


def at(hours_ago: float) -> str:
    return format_utc(NOW_US - round(hours_ago * HOUR * US))


def interval(from_h: float, to_h: float, cause: str | None = None) -> dict[str, Any]:
    return {"from": at(from_h), "to": at(to_h), "held": cause is None} | ({} if cause is None else {"cause": cause})


def camera(**changes: object) -> dict[str, Any]:
    """Ten days at 500 kB/s without a gap, said just now."""
    days = [{"day": f"2026-03-{day:02}", "held_s": DAY_S, "lost_s": 0} for day in range(1, 10)]
    body: dict[str, Any] = {
        "camera": "main",
        "oldest": "2026-03-01T00:00:00.000Z",
        "newest": at(0),
        "size_bytes": (9 * DAY_S + 12 * HOUR) * 500_000,
        "hours_until_overwrite": 100.0,
        "days": [*days, {"day": "2026-03-10", "held_s": 12 * HOUR, "lost_s": 0}],
        "last_24h": [interval(24, 0)],
    }
    return body | changes


def unit_of(
    *cameras: dict[str, Any], network: object = None, said_h: float = 0.0, health: object = None
) -> UnitRecord:
    coverage = {"at": at(said_h), "cameras": list(cameras)}
    states = {"coverage": HeardState(heard_us=NOW_US - round(said_h * HOUR * US), body=coverage)}
    if network is not None or health is not None:
        body: dict[str, Any] = {"network": network or {}, "camera": health or {}}
        states["health"] = HeardState(heard_us=NOW_US, body=body)
    return UnitRecord(unit_id="nomad-07", enrolled_us=0, states=states, ignored=0)


def estimate(unit: UnitRecord, from_h: float, to_h: float, name: str = "main") -> ClipEstimate:
    return estimate_clip(unit, name, parse_utc(at(from_h)), parse_utc(at(to_h)), NOW_US)


def test_held_footage_costs_its_seconds_times_the_rate() -> None:
    found = estimate(unit_of(camera(), network={"upload_kbps": 4000.0}), 2, 1)
    assert (found.held_s, found.missing_s, found.gaps, found.problem) == (3600.0, 0.0, (), None)
    assert found.size_bytes == 3600 * 500_000
    assert (found.rate_kbps, found.rate_basis) == (4000.0, "measured")
    assert found.expected_s == 3600.0  # 500 kB/s are 4,000 kbit/s
    assert (found.overwrite_risk, found.coverage_heard_us) == ("none", NOW_US)


def test_gaps_of_the_last_day_are_exact_and_keep_their_cause() -> None:
    held = [interval(24, 3), interval(3, 2.5, "camera-lost"), interval(2.5, 0)]
    found = estimate(unit_of(camera(last_24h=held)), 2.75, 1.75)
    assert (found.held_s, found.missing_s) == (2700.0, 900.0)
    assert found.gaps == ({"from": at(2.75), "to": at(2.5), "cause": "camera-lost"},)


def test_older_days_count_by_their_share() -> None:
    days = [{"day": "2026-03-05", "held_s": DAY_S // 2, "lost_s": DAY_S // 2}]
    unit = unit_of(camera(days=days))
    noon = (NOW_US - parse_utc("2026-03-05T12:00:00Z")) / US / HOUR
    found = estimate(unit, noon, noon - 2)
    assert (found.held_s, found.missing_s) == (3600.0, 3600.0)
    over_midnight = (NOW_US - parse_utc("2026-03-05T23:00:00Z")) / US / HOUR
    assert estimate(unit, over_midnight, over_midnight - 2).held_s == 1800.0 + 3600.0


def test_what_was_recorded_since_the_word_counts_while_it_records() -> None:
    recording = camera(newest=at(6), last_24h=[interval(30, 6)])
    assert estimate(unit_of(recording, said_h=6), 2, 1).held_s == 3600.0
    stopped = camera(newest=at(8), last_24h=[interval(30, 8), interval(8, 6, "camera-lost")])
    found = estimate(unit_of(stopped, said_h=6), 2, 1)
    assert (found.held_s, found.problem) == (0.0, "interval-empty")


@pytest.mark.parametrize(
    ("from_h", "to_h", "problem"),
    [
        (1, 1, "interval-invalid"),
        (1, 2, "interval-invalid"),
        (30, 5, "interval-invalid"),
        (24, 0, None),
        (1, -1 / 60, None),
        (1, -2 / 60, "interval-in-future"),
        (-1, -2, "interval-in-future"),
        (300, 299, "interval-overwritten"),
    ],
)
def test_what_the_unit_would_reject_is_told_before(from_h: float, to_h: float, problem: str | None) -> None:
    found = estimate(unit_of(camera()), from_h, to_h)
    assert found.problem == problem
    if problem is not None:
        assert (found.size_bytes, found.held_s) == (0, 0.0)


def test_a_camera_that_the_unit_does_not_have() -> None:
    found = estimate(unit_of(camera()), 2, 1, "other")
    assert (found.problem, found.overwrite_risk, found.size_bytes) == ("unknown-camera", "unknown", 0)


def test_a_unit_that_said_nothing_is_not_judged() -> None:
    silent = UnitRecord(unit_id="nomad-07", enrolled_us=0, states={}, ignored=0)
    found = estimate(silent, 2, 1)
    assert (found.problem, found.overwrite_risk, found.rate_basis) == (None, "unknown", "unknown")
    assert (found.size_bytes, found.missing_s, found.coverage_heard_us) == (0, 3600.0, None)
    assert estimate(silent, 1, 2).problem == "interval-invalid"


def test_an_empty_ring_holds_nothing() -> None:
    empty = {"camera": "main", "size_bytes": 0}
    found = estimate(unit_of(empty), 2, 1)
    assert (found.problem, found.held_s, found.overwrite_risk) == ("interval-empty", 0.0, "unknown")


@pytest.mark.parametrize(
    ("hours_left", "from_h", "rate_kbps", "risk"),
    [
        (100.0, 2, 4000.0, "none"),
        (1.0, 2, 4000.0, "none"),  # the ring's oldest goes in an hour; these two hours ago, in nine days
        (1.0, 227, 4000.0, "soon"),
        (0.5, 228, 4000.0, "before-end"),  # an hour of upload, half an hour left
        (0.5, 228, None, "soon"),
        (None, 2, 4000.0, "unknown"),
        (100.0, 229, 4000.0, "gone"),  # an hour before the ring's oldest
    ],
)
def test_overwrite(hours_left: float | None, from_h: float, rate_kbps: float | None, risk: str) -> None:
    network = {} if rate_kbps is None else {"upload_kbps": rate_kbps}
    oldest = camera(oldest=at(228), hours_until_overwrite=hours_left)
    found = estimate(unit_of(oldest, network=network), from_h, from_h - 1)
    assert found.overwrite_risk == risk
    if hours_left is not None and risk != "gone":
        assert found.overwrite_us == NOW_US + round((hours_left + 228 - from_h) * HOUR * US)


def test_an_old_word_lets_the_ring_wander_on() -> None:
    """The unit said six hours ago that its oldest footage goes within the hour."""
    unit = unit_of(camera(oldest=at(228), hours_until_overwrite=1.0, newest=at(6)), said_h=6)
    gone = estimate(unit, 228, 224)
    assert (gone.problem, gone.overwrite_risk) == ("interval-overwritten", "gone")
    partly = estimate(unit, 224, 222)
    assert (partly.problem, partly.overwrite_risk, partly.held_s) == (None, "gone", 3600.0)


@pytest.mark.parametrize(
    ("network", "rate"),
    [
        ({"upload_kbps": 800}, 800.0),
        ({"upload_kbps": 800, "upload_age_s": 3600}, 800.0),
        ({"upload_kbps": 800, "upload_age_s": 8 * DAY_S}, None),
        ({"upload_kbps": 0}, None),
        ({"upload_kbps": "fast"}, None),
        ({"upload_kbps": True}, None),
        ({}, None),
    ],
)
def test_the_rate_is_a_measured_one_or_none(network: object, rate: float | None) -> None:
    found = estimate(unit_of(camera(), network=network, health={}), 2, 1)
    assert (found.rate_kbps, found.rate_basis) == (rate, "unknown" if rate is None else "measured")
    assert (found.expected_s is None) == (rate is None)


def test_without_days_the_cameras_bitrate_counts() -> None:
    health = {"cameras": {"other": {"bitrate_kbps": 1}, "main": {"bitrate_kbps": 800}}}
    assert estimate(unit_of(camera(days=[]), health=health), 2, 1).size_bytes == 3600 * 100_000
    assert estimate(unit_of(camera(days=[])), 2, 1).size_bytes == 0


@pytest.mark.parametrize(
    "body",
    [
        {"cameras": 7},
        {"network": [], "camera": []},
        {"camera": {"cameras": [1]}},
        {"camera": {"cameras": {"main": 1}}},
    ],
)
def test_odd_bodies_are_passed_over(body: dict[str, Any]) -> None:
    health = HeardState(heard_us=NOW_US, body=body)
    coverage = HeardState(heard_us=NOW_US, body={"at": at(0), "cameras": [camera(days=[])]})
    unit = UnitRecord(unit_id="nomad-07", enrolled_us=0, states={"health": health, "coverage": coverage}, ignored=0)
    assert estimate(unit, 2, 1).rate_kbps is None
    older = HeardState(heard_us=NOW_US, body={"cameras": "of another contract"})
    unit = UnitRecord(unit_id="nomad-07", enrolled_us=0, states={"coverage": older}, ignored=0)
    assert estimate(unit, 2, 1).overwrite_risk == "unknown"


ABSURD = (1e308, -1e308, 1e17, 1e12, -1e12, 5e-324)


@pytest.mark.parametrize("figure", ABSURD)
def test_absurd_figures_are_unknown_and_no_fault_of_who_asks(figure: float) -> None:
    found = estimate(unit_of(camera(hours_until_overwrite=figure)), 2, 1)
    assert found.to_object()["size_bytes"] == 3600 * 500_000
    assert (found.overwrite_us is None) == (found.overwrite_risk == "unknown") == (figure != 5e-324)
    health = {"cameras": {"main": {"bitrate_kbps": figure}}}
    found = estimate(unit_of(camera(days=[]), network={"upload_kbps": figure}, health=health), 2, 1)
    assert (found.to_object()["size_bytes"], found.rate_kbps) == (0, None)


@pytest.mark.parametrize("ahead_h", [2 * 365 * 24, 0.1, -56 * 365 * 24], ids=["years ahead", "minutes ahead", "1970"])
def test_footage_that_a_wrong_clock_dated_is_not_known(ahead_h: float) -> None:
    moved = {"oldest": at(240 - ahead_h), "newest": at(-ahead_h), "last_24h": [interval(24 - ahead_h, -ahead_h)]}
    coverage = {"at": at(-ahead_h), "cameras": [camera(**moved)]}
    unit = unit_of().model_copy(update={"states": {"coverage": HeardState(heard_us=NOW_US, body=coverage)}})
    found = estimate(unit, 2, 1)
    assert (found.problem, found.held_s, found.size_bytes) == ("clock-unknown", 0.0, 0)
    assert (found.overwrite_risk, found.overwrite_us) == ("unknown", None)


def test_footage_of_a_clock_at_the_calendars_end_has_an_estimate() -> None:
    ends = {"oldest": "9999-12-31T00:00:00.000Z", "newest": "9999-12-31T01:00:00.000Z"}
    unit = unit_of(camera(**ends), said_h=-24 * 365 * 7900)
    estimate(unit, 2, 1).to_object()


hours = st.floats(-3, 400, allow_nan=False)


@given(from_h=hours, to_h=hours, oldest_h=hours, newest_h=hours, gaps=st.lists(st.tuples(hours, hours), max_size=6))
def test_held_and_missing_make_the_whole(
    from_h: float, to_h: float, oldest_h: float, newest_h: float, gaps: list[tuple[float, float]]
) -> None:
    lost = [interval(max(pair), min(pair), "boot") for pair in gaps]
    body = camera(oldest=at(oldest_h), newest=at(newest_h), last_24h=lost)
    assert len(Coverage.from_object({"at": at(0), "cameras": [body]}).cameras) == 1
    found = estimate(unit_of(body, network={"upload_kbps": 1000}), from_h, to_h)
    asked_s = max(0.0, (parse_utc(at(to_h)) - parse_utc(at(from_h))) / US)
    assert 0 <= found.held_s <= asked_s + 0.001
    if found.problem is None:
        assert found.held_s + found.missing_s == pytest.approx(asked_s, abs=0.01)
    assert found.size_bytes == pytest.approx(found.held_s * 500_000, abs=1000)
    found.to_object()
