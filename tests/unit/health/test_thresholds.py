"""Limits at their edges, states that have to last, and the table's agreement with names and document."""

import ast
import inspect
from itertools import pairwise
from pathlib import Path

import pytest

from edge_agent.contract import event_names
from edge_agent.contract.event_names import EventName
from edge_agent.contract.messages import ProbeState
from edge_agent.health.judge import Judge
from edge_agent.health.limits import Threshold, worst
from edge_agent.health.reference import BEGIN, replace_tables
from edge_agent.health.thresholds import CONDITIONS, FIGURES, thresholds_of

ROOT = Path(__file__).parents[3]
SECOND_US = 1_000_000


def followed(limit: Threshold, values: tuple[float, ...]) -> list[ProbeState]:
    states: list[ProbeState] = ["ok"]
    for value in values:
        states.append(limit.judge(value, states[-1]))
    return states[1:]


def test_a_value_at_the_edge_does_not_flap() -> None:
    limit = Threshold(warning=75, critical=82, slack=4)
    states = followed(limit, (74.9, 75, 72, 71, 70.9, 83, 79, 78, 77.9, 71, 70.9))
    assert states == [
        *("ok", "warning", "warning", "warning", "ok", "critical", "critical", "critical", "warning", "warning", "ok")
    ]
    low = Threshold(warning=1.0, critical=0.1, slack=0.2, low_is_bad=True)
    assert followed(low, (1.1, 1.0, 1.2, 1.21, 0.05, 0.29, 0.31, 1.3)) == [
        *("ok", "warning", "warning", "ok", "critical", "critical", "warning", "ok")
    ]


@pytest.mark.parametrize(
    "figure", [figure for figure in FIGURES if figure.limit is not None], ids=lambda one: one.name
)
def test_every_limit_is_reached_left_and_held_by_its_slack(figure: object) -> None:
    limit = getattr(figure, "limit")  # noqa: B009 -- narrowed by the filter above
    assert isinstance(limit, Threshold)
    sign = -1 if limit.low_is_bad else 1
    bounds: dict[ProbeState, float | None] = {"warning": limit.warning, "critical": limit.critical}
    for state, bound in bounds.items():
        if bound is None:
            continue
        tiny = 1e-6
        assert limit.judge(bound, "ok") == state
        assert limit.judge(bound - sign * tiny, "ok") != state
        assert limit.judge(bound - sign * max(limit.slack - tiny, 0), state) == state
        assert limit.judge(bound - sign * (limit.slack + tiny), state) != state
    if limit.warning is not None and limit.critical is not None:
        assert sign * limit.critical - limit.slack > sign * limit.warning - limit.slack


def temperature(judge: Judge, value: float, at_s: float) -> ProbeState:
    return judge.states("system", {"temperature_c": value}, round(at_s * SECOND_US))["temperature_c"]


def test_a_state_has_to_last_both_ways() -> None:
    judge = Judge()
    limit = thresholds_of("system")["temperature_c"]
    assert temperature(judge, 90, 0) == "ok"
    assert temperature(judge, 90, limit.rises_after_s - 1) == "ok"
    assert temperature(judge, 90, limit.rises_after_s) == "critical"
    assert temperature(judge, 20, 100) == "critical"
    assert temperature(judge, 79, 101) == "critical"  # within the slack: the way back begins anew
    assert temperature(judge, 20, 102) == "critical"
    assert temperature(judge, 20, 101 + limit.falls_after_s) == "critical"
    assert temperature(judge, 20, 102 + limit.falls_after_s) == "ok"


def test_one_look_between_two_peaks_begins_the_count_anew() -> None:
    judge = Judge()
    for second in range(0, 600, 10):
        assert temperature(judge, 90 if second % 30 else 20, second) == "ok"


def test_what_is_pending_neither_raises_nor_clears() -> None:
    judge = Judge()
    key = (EventName.TEMPERATURE_HIGH, None)
    judge.begin()
    temperature(judge, 90, 0)
    assert key not in judge.alarms
    judge.begin()
    temperature(judge, 90, 60)
    assert judge.alarms[key] is not None
    judge.begin()
    temperature(judge, 20, 65)
    assert judge.alarms[key] is not None
    judge.begin()
    temperature(judge, 20, 65 + 3600)
    assert judge.alarms[key] is None
    judge.begin()
    assert judge.alarms == {}


def test_an_alarm_of_two_figures_is_raised_by_either_and_cleared_by_both() -> None:
    judge = Judge()
    key = (EventName.CLOCK_UNSYNCHRONISED, None)
    for bound_ms, unsynchronised_s, is_raised in ((4.0, 4000, True), (90_000.0, 0, True), (4.0, 0, False)):
        for at_s in (0, 700):
            judge.begin()
            figures = {"clock_bound_ms": bound_ms, "unsynchronised_s": unsynchronised_s}
            judge.states("clock", figures, round((at_s + 10_000 * bound_ms) * SECOND_US))
        assert (judge.alarms[key] is not None) is is_raised
        judge.states("clock", {"clock_bound_ms": 4.0}, 0)


def test_figures_that_are_no_numbers_have_no_state() -> None:
    assert Judge().states("system", {"temperature_c": True, "cpu_load_share": "hot", "unknown": 99}, 0) == {}


def test_worst() -> None:
    assert worst([]) == "unknown"
    assert worst(["unknown", "ok"]) == "ok"
    assert worst(["ok", "critical", "warning"]) == "critical"


def alarm_names() -> dict[str, str]:
    """The names whose meaning begins with `Alarm:`, by what the code calls them."""
    tree = ast.parse(inspect.getsource(event_names))
    body = next(node for node in tree.body if isinstance(node, ast.ClassDef)).body
    found: dict[str, str] = {}
    for field, text in pairwise(body):
        is_alarm = isinstance(text, ast.Expr) and ast.literal_eval(text.value).startswith("Alarm:")
        if is_alarm and isinstance(field, ast.Assign) and isinstance(field.targets[0], ast.Name):
            found[field.targets[0].id] = ast.literal_eval(field.value)
    return found


def test_every_row_names_an_alarm_and_every_alarm_is_raised_somewhere() -> None:
    of_figures = {figure.limit.alarm for figure in FIGURES if figure.limit is not None and figure.limit.alarm}
    of_conditions = {condition.alarm for condition in CONDITIONS}
    assert not of_figures & of_conditions
    assert {str(name) for name in of_figures | of_conditions} <= set(alarm_names().values())
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "edge_agent").rglob("*.py")]
    assert [name for name in alarm_names() if not any(f"EventName.{name}" in text for text in sources)] == []


def test_what_can_be_bad_says_what_to_do() -> None:
    assert [figure.name for figure in FIGURES if figure.limit is not None and not figure.remedy] == []
    assert [condition.name for condition in CONDITIONS if not condition.remedy] == []
    assert len({(figure.owner, figure.name) for figure in FIGURES}) == len(FIGURES)


def test_the_document_is_that_of_the_table() -> None:
    document = (ROOT / "docs" / "health.md").read_text(encoding="utf-8")
    assert replace_tables(document) == document, "python -m edge_agent.health.reference docs/health.md"
    with pytest.raises(ValueError, match="have to stand"):
        replace_tables(document.replace(BEGIN, ""))
