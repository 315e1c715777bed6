"""How a clip's way is shown, whatever a unit says of it and in whatever order."""

from typing import Any

import pytest

from csu.cli.common import Context, clock_text, local_text, percent_of, size_text
from csu.cli.parser import build_parser
from csu.cli.progress import BarView, ClipProgress, LineView
from csu.cli.units import line_of, run_units
from csu.client import Client
from csu.records import ClipRecord, CommandRecord, UnitRecord
from csu.views import FleetView
from edge_agent.clock import FakeClock
from tests.unit.csu.replies import COMMAND_ID, NOW_US, make_record

HUGE = 10**400


def running(sent: object, total: object) -> CommandRecord:
    return make_record("running", {"progress": {"sent_bytes": sent, "total_bytes": total}})


def clip(verdict: str) -> ClipRecord:
    fields = {"clip_id": COMMAND_ID, "unit_id": "nomad-07", "folder": "/clips/a", "completed_us": NOW_US}
    return ClipRecord.from_object(fields | {"verdict": verdict, "receipts_sent": 0})


def shown(capsys: pytest.CaptureFixture[str], *steps: tuple[CommandRecord, ClipRecord | None]) -> list[str]:
    with LineView(FakeClock(wall_us=NOW_US)) as view:
        progress = ClipProgress(view)
        for command, found in steps:
            progress.show(command, found)
    return [line.split("  ", 1)[1] for line in capsys.readouterr().out.splitlines()]


def test_lines_come_once_a_state_and_once_a_tenth(capsys: pytest.CaptureFixture[str]) -> None:
    with LineView(FakeClock(wall_us=NOW_US)) as view:
        for done in range(101):
            view.state("running" if done else "accepted")
            view.bytes(done * 10_000, 1_000_000)
    lines = capsys.readouterr().out.splitlines()
    assert len([line for line in lines if "%" in line]) == 11
    assert [line.split("  ")[1] for line in lines if "%" not in line] == ["accepted", "running"]


def test_the_whole_way(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(
        capsys,
        (make_record("accepted"), None),
        (running(50_000_000, 63_700_000), None),
        (running(50_000_000, 63_700_000), clip("pending")),
        (make_record("done"), clip("verified")),
    )
    assert lines == ["accepted", "78 % of 63.7 MB", "running", "100 % of 63.7 MB", "verifying", "verified"]


def test_replies_that_come_after_the_clip_lead_to_no_earlier_phase(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(
        capsys,
        (make_record("accepted"), None),
        (make_record("accepted"), clip("pending")),
        (running(63_700_000, 63_700_000), clip("pending")),
        (running(63_700_000, 63_700_000), None),
        (make_record("done"), clip("verified")),
    )
    assert lines == ["accepted", "verifying", "verified"]


@pytest.mark.parametrize("total", [HUGE, -HUGE, -1, 0, "9", None, 1.5])
@pytest.mark.parametrize("sent", [HUGE, -HUGE, 5, None])
def test_numbers_that_no_disk_has_break_nothing(
    capsys: pytest.CaptureFixture[str], sent: object, total: object
) -> None:
    assert shown(capsys, (running(sent, total), None), (running(sent, total), clip("verified"))) == [
        "running",
        "verified",
    ]
    with BarView() as view:
        ClipProgress(view).show(running(sent, total), None)


def test_more_sent_than_there_is_is_all_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, (running(2_000_000, 1_000_000), None))[0] == "100 % of 1.0 MB"
    assert percent_of(HUGE, 10) == 0
    assert percent_of(1, 4) == 25


def unit(size_bytes: object) -> UnitRecord:
    camera: dict[str, Any] = {"camera": "main", "size_bytes": size_bytes}
    camera |= {"oldest": "2026-03-29T00:00:00.000Z", "newest": "2026-03-29T01:00:00.000Z"}
    states = {"coverage": {"heard_us": NOW_US, "body": {"cameras": [camera]}}}
    return UnitRecord.from_object({"unit_id": "nomad-07", "enrolled_us": NOW_US, "states": states, "ignored": 0})


def fleet(*unit_ids: str) -> FleetView:
    units = [{"unit_id": unit_id, "standing": "ok", "online": True} for unit_id in unit_ids]
    lists: dict[str, Any] = {"units": units, "not_recording": [], "not_heard": []}
    return FleetView.from_object({"at": NOW_US, "broker_connected": True, "counts": {}} | lists)


@pytest.mark.parametrize(("size_bytes", "words"), [(HUGE, "? MB"), (-5, "? MB"), (None, "? MB"), (7_000_000, "7 MB")])
def test_units_are_listed_whatever_one_says(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, size_bytes: object, words: str
) -> None:
    monkeypatch.setattr(Client, "units", lambda _client: [unit(size_bytes)])
    monkeypatch.setattr(Client, "fleet", lambda _client: fleet("nomad-07"))
    run_units(Context(build_parser().parse_args(["units"]), FakeClock(wall_us=NOW_US)))
    assert f"main: 1.0 h, {words}" in capsys.readouterr().out
    assert size_text(size_bytes) == words


def test_a_reply_with_numbers_that_no_disk_has_is_a_line() -> None:
    reply = {"kind": "reply", "command": "clip.request", "state": "running"}
    assert "running 0 %" in line_of(reply | {"progress": {"sent_bytes": HUGE, "total_bytes": HUGE}})


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "America/New_York"])
@pytest.mark.parametrize("instant_us", [253_402_300_799_000_000, -62_135_596_800_000_000])
def test_the_edges_of_the_calendar_are_told(monkeypatch: pytest.MonkeyPatch, zone: str, instant_us: int) -> None:
    monkeypatch.setenv("TZ", zone)
    assert local_text(instant_us)
    assert clock_text(instant_us)
