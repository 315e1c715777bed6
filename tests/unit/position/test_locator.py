"""Where the unit is, and what is told of it, when."""

import json
import logging
import os
from pathlib import Path

import pytest

from edge_agent.clock import FakeClock
from edge_agent.contract.event_names import EventName
from edge_agent.contract.last_place import LastPlace
from edge_agent.contract.messages import Position
from edge_agent.errors import ContractError
from edge_agent.paths import last_place_file
from edge_agent.position.fixes import Fix
from edge_agent.position.last_known import INTERVAL_S, LastPlaceKeeper, load_last_place, starting_stamp
from edge_agent.position.locator import BAD_HOLDS_S, FIX_HOLDS_S, Locator
from edge_agent.position.reports import Devices, Gst, Sky, Tpv, Version
from edge_agent.position.telling import (
    BURST,
    LOST_AFTER_S,
    SILENT_AFTER_S,
    Telling,
    alarms_of,
    notice_of,
    position_body,
)
from edge_agent.settings import PositionSettings
from tests.unit.position.reports import LYON, moved, tpv

BOOT, OTHER_BOOT = "a" * 32, "b" * 32
RECEIVER = PositionSettings(gpsd="127.0.0.1")
BOTH = PositionSettings(gpsd="127.0.0.1", longitude_deg=2.35, latitude_deg=48.85, accuracy_m=9)
LAST = LastPlace(longitude_deg=5.0, latitude_deg=46.0, boot_id=OTHER_BOOT, monotonic_us=9, wall_us=0)


class Bench:
    """A locator whose receiver reports every second, and what would be told."""

    def __init__(self, settings: PositionSettings = RECEIVER, last: LastPlace | None = None) -> None:
        self.clock = FakeClock()
        self.locator = Locator(settings, last, BOOT, self.clock)
        self.telling = Telling(self.clock)
        self.second = 0
        self.told: list[Position] = []

    def report(self, report: Tpv | None) -> None:
        """A second passes; None is silence."""
        self.clock.advance(1)
        self.second += 1
        if report is not None:
            self.locator.on_report(report, self.clock.monotonic_us())
        sight = self.locator.sight()
        if self.telling.is_due(sight):
            self.told.append(position_body(sight, "bench", self.clock))

    def stand(self, seconds: int = 30) -> None:
        for _ in range(seconds):
            self.report(tpv(self.second))

    def drive(self, seconds: int, mps: float = 10.0) -> None:
        for metres in range(seconds):
            self.report(tpv(self.second, moved(metres * mps), speed_mps=mps))

    def without(self, seconds: int, report: Tpv | None = None) -> None:
        for _ in range(seconds):
            self.report(report)

    def alarms(self) -> dict[str, bool]:
        return {name: details is not None for (name, _), details in alarms_of(self.locator).items()}


def told(position: Position) -> tuple[str, str, bool | None]:
    return position.properties.fix, position.properties.source, position.properties.last_known


def test_a_fix_is_told_once_and_then_hourly() -> None:
    bench = Bench()
    bench.stand(7300)
    assert [told(one) for one in bench.told] == [("3d", "gnss", None)] * 3
    assert bench.told[-1].geometry is not None
    assert bench.told[-1].geometry.coordinates == LYON
    assert bench.told[-1].properties.accuracy_m == 6.0


def test_satellites_and_errors_are_told() -> None:
    bench = Bench()
    bench.locator.on_report(Version("3.22"), bench.clock.monotonic_us())
    bench.locator.on_report(Sky(12, 8), bench.clock.monotonic_us())
    bench.locator.on_report(Gst(1.5, 2.0), bench.clock.monotonic_us())
    bench.report(tpv(0, altitude_m=200.0, speed_mps=3.3))
    properties = bench.told[-1].properties
    assert (properties.satellites_used, properties.satellites_seen) == (8, 12)
    assert (properties.accuracy_m, properties.speed_mps, properties.age_s) == (5.0, 3.3, 0.0)
    assert bench.told[-1].geometry is not None
    assert bench.told[-1].geometry.coordinates == (*LYON, 200.0)


def test_a_van_is_told_where_it_is_but_not_at_every_metre() -> None:
    bench = Bench()
    bench.stand(60)
    before = len(bench.told)
    bench.drive(300)
    assert 28 <= len(bench.told) - before <= 32
    assert bench.locator.sight().moving


def test_jitter_within_the_error_is_no_news() -> None:
    bench = Bench()
    bench.stand(60)
    before = len(bench.told)
    for second in range(600):
        bench.report(tpv(bench.second, moved(20.0 * (second % 2)), radius_m=15.0))
    assert len(bench.told) == before


def test_a_fix_that_is_lost_is_told_with_the_last_place() -> None:
    bench = Bench()
    bench.stand(60)
    bench.without(round(FIX_HOLDS_S) + 1, Tpv(1))
    assert told(bench.told[-1]) == ("none", "gnss", True)
    assert bench.told[-1].geometry is not None
    assert bench.told[-1].properties.detail == "the receiver has no fix"
    assert bench.told[-1].properties.age_s == pytest.approx(11.0, abs=1)
    bench.without(12, Tpv(1))
    bench.report(tpv(bench.second))
    assert told(bench.told[-1]) == ("3d", "gnss", None)


def test_a_receiver_that_gains_and_loses_its_fix_for_ever_keeps_to_a_budget() -> None:
    bench, hours = Bench(), 6
    bench.stand(60)
    before = len(bench.told)
    for _ in range(hours * 3600 // 26):
        bench.without(round(FIX_HOLDS_S) + 3, Tpv(1))
        bench.stand(13)
    assert before + hours * 12 <= len(bench.told) <= before + BURST + hours * 12 + hours
    bench.drive(120)
    assert len(bench.told) > before + BURST + hours * 13


def test_a_tunnel_keeps_the_van_moving_and_the_place_ages() -> None:
    bench = Bench()
    bench.stand(10)
    bench.drive(60)
    bench.without(60, Tpv(1))
    notice = notice_of(bench.locator.sight())
    assert notice.moving
    assert notice.position is not None
    assert notice.position.fix == "none"
    bench.without(90, Tpv(1))
    assert not bench.locator.sight().moving


def test_the_settings_place_counts_until_the_first_fix() -> None:
    bench = Bench(BOTH)
    bench.without(3, Tpv(1))
    assert told(bench.told[-1]) == ("fixed", "settings", None)
    notice = notice_of(bench.locator.sight())
    assert notice.position is not None
    assert (notice.position.source, notice.position.fix, notice.monotonic_us) == ("settings", None, None)
    bench.without(10, Tpv(1))
    bench.stand(1)
    assert told(bench.told[-1]) == ("3d", "gnss", None)
    bench.without(30, Tpv(1))
    assert told(bench.told[-1]) == ("none", "gnss", True)


def test_the_last_known_place_of_an_earlier_boot_is_marked_and_has_no_age() -> None:
    bench = Bench(RECEIVER, LAST)
    bench.without(1)
    assert told(bench.told[-1]) == ("none", "gnss", True)
    assert bench.told[-1].properties.age_s is None
    notice = notice_of(bench.locator.sight())
    assert notice.monotonic_us is None
    assert notice.position == LAST.to_stamp()


def test_after_a_restart_within_the_boot_its_age_is_known() -> None:
    clock = FakeClock()
    last = LAST.model_copy(update={"boot_id": BOOT, "monotonic_us": clock.monotonic_us() - 90_000_000})
    sight = Locator(RECEIVER, last, BOOT, clock).sight()
    assert position_body(sight, "bench", clock).properties.age_s == 90.0


def test_nothing_known_is_told_as_nothing() -> None:
    bench = Bench()
    bench.locator.on_gone("gpsd at 127.0.0.1:2947 cannot be reached: refused")
    bench.without(1)
    assert told(bench.told[-1]) == ("none", "none", None)
    assert bench.told[-1].to_object()["geometry"] is None
    assert "cannot be reached" in str(bench.told[-1].properties.detail)
    assert notice_of(bench.locator.sight()).position is None


def test_what_gpsd_says_and_nobody_understands_is_the_reason_that_is_told() -> None:
    bench = Bench()
    bench.locator.on_report(Version("3.25"), bench.clock.monotonic_us())
    for _ in range(round(SILENT_AFTER_S) + 1):
        bench.report(None)
        bench.locator.on_bad_line("TPV.lat is beyond -90 to 90")
    details = alarms_of(bench.locator)[EventName.GNSS_SILENT, None]
    reason = "gpsd says what cannot be understood: TPV.lat is beyond -90 to 90"
    assert details == {"reason": reason, "bad_lines": SILENT_AFTER_S + 1}
    assert position_body(bench.locator.sight(), "bench", bench.clock).properties.detail == reason
    bench.without(round(BAD_HOLDS_S) + 1)
    assert bench.locator.trouble() == "the receiver says nothing"
    bench.stand(1)
    assert bench.locator.trouble() == ""


def test_a_gpsd_without_a_receiver_says_so() -> None:
    bench = Bench()
    bench.locator.on_report(Version("3.25"), bench.clock.monotonic_us())
    bench.locator.on_report(Devices(0), bench.clock.monotonic_us())
    assert bench.locator.trouble() == "gpsd has no receiver"
    bench.locator.on_report(Devices(1), bench.clock.monotonic_us())
    assert bench.locator.trouble() == "the receiver says nothing"


def test_a_log_takes_no_more_lines_than_a_storage_can_bear(caplog: pytest.LogCaptureFixture) -> None:
    """An hour of another reason each time, a hundred times a second."""
    caplog.set_level(logging.INFO)
    bench = Bench()
    for number in range(360_000):
        bench.clock.advance(0.01)
        bench.locator.on_bad_line(f"not a line of JSON: char {number}\udc80\n")
    assert len(caplog.records) <= 10 + 60
    assert bench.locator.bad_lines == 360_000
    caplog.text.encode()


def test_a_silent_receiver_is_an_alarm_once_it_lasts() -> None:
    bench = Bench()
    bench.locator.on_report(Version("3.22"), bench.clock.monotonic_us())
    bench.locator.on_report(Devices(0), bench.clock.monotonic_us())
    bench.without(round(SILENT_AFTER_S) - 1)
    assert bench.alarms() == {}
    bench.without(2)
    assert bench.alarms() == {EventName.GNSS_SILENT: True}
    bench.stand(2)
    assert bench.alarms() == {EventName.GNSS_SILENT: False, EventName.FIX_LOST: False}


@pytest.mark.parametrize("report", [Tpv(1), tpv(20)], ids=["no fix", "frozen"])
def test_a_receiver_without_a_fix_that_can_be_believed_is_an_alarm_after_minutes(report: Tpv) -> None:
    bench = Bench()
    bench.stand(20)
    bench.without(round(LOST_AFTER_S) - 20, report)
    assert EventName.FIX_LOST not in bench.alarms()
    bench.without(60, report)
    assert bench.alarms() == {EventName.GNSS_SILENT: False, EventName.FIX_LOST: True}
    bench.stand(5)
    assert bench.alarms() == {EventName.GNSS_SILENT: False, EventName.FIX_LOST: False}


def test_a_clock_that_jumps_changes_no_age() -> None:
    bench = Bench()
    bench.stand(60)
    bench.clock.step_wall(-20 * 365 * 86_400)
    before = len(bench.told)
    bench.stand(60)
    bench.clock.step_wall(40 * 365 * 86_400)
    bench.stand(60)
    assert len(bench.told) == before
    assert bench.locator.sight().fix == "3d"
    assert bench.alarms() == {EventName.GNSS_SILENT: False, EventName.FIX_LOST: False}


def test_what_is_told_follows_the_contract() -> None:
    bench = Bench(BOTH, LAST)
    bench.stand(5)
    for one in bench.told:
        assert Position.from_json(json.dumps(one.to_object())) == one


# -- the last known place


def fix_at(east_m: float, clock: FakeClock) -> Fix:
    longitude, latitude = moved(east_m)
    return Fix(longitude, latitude, 200.0, 5.0, None, True, clock.monotonic_us())


def test_the_last_place_survives_and_is_written_seldom(tmp_path: Path) -> None:
    clock = FakeClock()
    keeper = LastPlaceKeeper(tmp_path, RECEIVER, BOOT, clock)
    writes = 0
    for second in range(1200):
        fix = fix_at(10.0 * second, clock)
        if keeper.is_due(fix):
            keeper.store(fix)
            writes += 1
        clock.advance(1)
    assert writes == 1200 / INTERVAL_S
    last = load_last_place(tmp_path, RECEIVER)
    assert last is not None
    assert last.boot_id == BOOT
    assert last.longitude_deg == pytest.approx(moved(9_000)[0], abs=1e-4)
    assert keeper.is_worth_it(fix_at(12_000, clock))
    assert starting_stamp(tmp_path, RECEIVER, None) == last.to_stamp()


def test_a_standing_unit_writes_once(tmp_path: Path) -> None:
    clock = FakeClock()
    keeper = LastPlaceKeeper(tmp_path, RECEIVER, BOOT, clock)
    keeper.store(fix_at(0, clock))
    clock.advance(86_400)
    assert not keeper.is_due(fix_at(8, clock))
    assert not keeper.is_worth_it(fix_at(8, clock))


def test_a_place_that_a_person_gave_since_is_newer(tmp_path: Path) -> None:
    clock = FakeClock()
    LastPlaceKeeper(tmp_path, BOTH, BOOT, clock).store(fix_at(0, clock))
    assert load_last_place(tmp_path, BOTH) is not None
    moved_since = BOTH.model_copy(update={"longitude_deg": 2.36})
    assert load_last_place(tmp_path, moved_since) is None


def test_a_unit_without_a_receiver_keeps_to_its_deployment(tmp_path: Path) -> None:
    clock = FakeClock()
    LastPlaceKeeper(tmp_path, RECEIVER, BOOT, clock).store(fix_at(0, clock))
    assert starting_stamp(tmp_path, None, LAST.to_stamp()) == LAST.to_stamp()


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff" * 100, b'{"schema":"last-place/1","longitude_deg":999}'])
def test_a_damaged_file_costs_what_it_held(tmp_path: Path, content: bytes) -> None:
    last_place_file(tmp_path).write_bytes(content)
    assert load_last_place(tmp_path, RECEIVER) is None


@pytest.mark.parametrize("kind", ["pipe", "folder", "endless", "long"])
def test_what_is_no_small_file_keeps_nobody_waiting(tmp_path: Path, kind: str) -> None:
    path = last_place_file(tmp_path)
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "endless":
            path.symlink_to("/dev/zero")
        case _:
            with path.open("wb") as file:
                file.truncate(1 << 40)
    assert load_last_place(tmp_path, RECEIVER) is None


def test_a_storage_that_refuses_costs_nothing_else(tmp_path: Path) -> None:
    clock = FakeClock()
    keeper = LastPlaceKeeper(tmp_path / "gone", RECEIVER, BOOT, clock)
    keeper.store(fix_at(0, clock))
    assert not keeper.is_due(fix_at(100, clock)), "not tried again at once"
    clock.advance(INTERVAL_S)
    assert keeper.is_due(fix_at(100, clock))


# -- settings


@pytest.mark.parametrize(
    "table",
    [
        {},
        {"longitude_deg": 4.8},
        {"latitude_deg": 45.7, "gpsd": "127.0.0.1"},
        {"accuracy_m": 5, "gpsd": "127.0.0.1"},
        {"gpsd": "http://127.0.0.1:2947"},
        {"gpsd": "127.0.0.1:0"},
        {"gpsd": "127.0.0.1:70000"},
        {"gpsd": "user@127.0.0.1:2947"},
        {"gpsd": ""},
        {"gpsd": "::1"},
    ],
)
def test_settings_that_cannot_be_meant_are_refused(table: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"gpsd|longitude_deg"):
        PositionSettings.model_validate(table)


@pytest.mark.parametrize(
    ("address", "parsed"),
    [
        ("127.0.0.1", ("127.0.0.1", 2947)),
        ("gps.example:5000", ("gps.example", 5000)),
        ("[::1]:2948", ("::1", 2948)),
        ("[fe80::1%eth0]", ("fe80::1%eth0", 2947)),
    ],
)
def test_addresses_of_gpsd(address: str, parsed: tuple[str, int]) -> None:
    assert PositionSettings(gpsd=address).gpsd_address == parsed


def test_a_last_place_beyond_the_globe_is_refused() -> None:
    with pytest.raises(ContractError, match="latitude_deg"):
        LastPlace.from_object(LAST.to_object() | {"latitude_deg": 91})
