"""`csu units`, `csu alarms`, `csu acknowledge` and `csu summary`, as people read them."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from csu.cli.common import Context
from csu.cli.parser import build_parser
from csu.cli.units import line_of
from csu.client import Client
from csu.views import AlarmRecord, DaySummary, FleetView
from edge_agent.clock import FakeClock
from edge_agent.contract.times import format_utc
from tests.unit.csu.watched import NOW_US

ALARM_ID = "0197a1b2-0000-7000-8000-000000000001"
ALARM = AlarmRecord(
    alarm_id=ALARM_ID,
    unit_id="nomad-07",
    name="camera-lost",
    camera="main",
    origin="unit",
    severity="critical",
    raised_us=NOW_US,
)
DAY: dict[str, Any] = {
    "day": "2026-03-29",
    "zone": "Europe/Paris",
    "units": 1,
    "standing_now": {"lost": 1},
    "recorded_share": 0.99512,
    "lost_s": 4000,
    "alarms_raised": 5,
    "alarms_open": 1,
    "alarms_unacknowledged": 2,
    "clips_delivered": 4,
    "clips_failed": 1,
    "not_recording": [],
    "not_heard": ["nomad-07"],
    "rows": [
        {
            "unit_id": "nomad-07",
            "standing": "lost",
            "held_s": 82_800,
            "lost_s": 0,
            "alarms": 5,
            "clips": 4,
            "offline_s": 90,
        }
    ],
}


@pytest.fixture(autouse=True)
def paris(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Paris")


def run(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    arguments = build_parser().parse_args(words)
    assert arguments.run(Context(arguments, FakeClock(wall_us=NOW_US))) == 0
    return capsys.readouterr().out


def answers(monkeypatch: pytest.MonkeyPatch, name: str, answer: object) -> list[Sequence[object]]:
    """Let the service answer so; what it was asked."""
    asked: list[Sequence[object]] = []

    def reply(_client: Client, *given: object) -> object:
        asked.append(given)
        return answer

    monkeypatch.setattr(Client, name, reply)
    return asked


def test_units_in_trouble_are_told_why(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    reasons = [
        {"code": "not-recording", "camera": "main", "details": {"cause": "absent"}},
        {"code": "probe-critical", "details": {"probe": "storage", "figures": ["free_share", "days_that_fit"]}},
        {"code": "alarm-warning", "details": {"name": "memory-low", "alarm_id": "x"}},
        {"code": "fourth"},
    ]
    unit = {"unit_id": "nomad-07", "standing": "trouble", "online": True, "reasons": reasons, "open_alarms": 2}
    unit |= {"unacknowledged_alarms": 3, "heard_at": format_utc(NOW_US - 120_000_000)}
    view = {
        "at": NOW_US,
        "broker_connected": False,
        "counts": {},
        "units": [unit],
        "not_recording": [],
        "not_heard": [],
    }
    answers(monkeypatch, "units", [])
    answers(monkeypatch, "fleet", FleetView.from_object(view))
    table = run(capsys, "units").splitlines()[1]
    assert (
        "not-recording main (absent), probe-critical (storage: free_share, days_that_fit), alarm-warning (memory-low)"
        in table
    )
    assert ("2 min ago" in table, "2 open, 3 new" in table, "fourth" in table) == (True, True, False)


def test_alarms_are_a_table_or_json(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answers(monkeypatch, "alarms", [ALARM])
    table = run(capsys, "alarms", "nomad-07", "--open", "--limit", "7")
    assert "2026-09-21 16:13:20 CEST  nomad-07  critical  camera-lost (main)  -     -" in table
    assert ALARM_ID in table
    assert json.loads(run(capsys, "alarms", "--json")) == [ALARM.to_object()]
    assert asked == [("nomad-07", True, 7), (None, None, 50)]
    answers(monkeypatch, "alarms", [])
    assert run(capsys, "alarms") == "no alarm\n"


def test_an_alarm_is_acknowledged(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    done = ALARM.model_copy(update={"acknowledged_by": "a. moreau", "acknowledged_us": NOW_US})
    asked = answers(monkeypatch, "acknowledge", done)
    told = run(capsys, "acknowledge", ALARM_ID.upper(), "--operator", "a. moreau", "--note", "seen")
    assert "acknowledged by a. moreau" in told
    assert asked == [(ALARM_ID, "a. moreau", "seen")]


def test_a_day_is_summed_up(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answers(monkeypatch, "summary", DaySummary.from_object(DAY))
    told = run(capsys, "summary", "--day", "2026-03-29")
    for words in ("recorded 99.51 %, lost 1 h 06 min", "1 open now, 2 not acknowledged", "23 h 00 min", "0 h 01 min"):
        assert words in told
    assert json.loads(run(capsys, "summary", "--json"))["lost_s"] == 4000
    assert asked == [("2026-03-29",), (None,)]
    answers(monkeypatch, "summary", DaySummary.from_object(DAY | {"recorded_share": None, "rows": []}))
    assert "recorded unknown" in run(capsys, "summary")


@pytest.mark.parametrize(
    "words",
    [
        ("summary", "--day", "2026-02-30"),
        ("summary", "--day", "today"),
        ("alarms", "--limit", "0"),
        ("alarms", "--limit", "9" * 5000),
        ("alarms", "Nomad!"),
        ("acknowledge", "x"),
        ("acknowledge", ALARM_ID, "--operator", ""),
    ],
)
def test_wrong_usage_is_refused(words: Sequence[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        build_parser().parse_args(words)
    assert refused.value.code == 2


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ({"kind": "unit", "standing": "ok"}, "unit: ok"),
        ({"kind": "unit", "standing": "lost", "reasons": [{"code": "contact-lost"}]}, "lost: contact-lost"),
        ({"kind": "alarm"} | ALARM.to_object(), "critical camera-lost main raised"),
        ({"kind": "service", "broker_connected": False}, "nobody is heard"),
        ({"kind": "unit-removed", "unit_id": "nomad-07"}, "is shut out"),
    ],
)
def test_what_is_watched_is_a_line(item: dict[str, Any], words: str) -> None:
    assert words in line_of(item)
