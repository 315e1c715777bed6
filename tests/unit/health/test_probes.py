"""All probes together on a made-up board: states and alarms."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_agent.clock import FakeClock
from edge_agent.contract.model import MAX_MESSAGE_BYTES
from edge_agent.contract.ring_protocol import CaptureFigures, RecorderState
from edge_agent.errors import RingError, RingUnavailableError
from edge_agent.health import report as report_module
from edge_agent.health.process_diary import ProcessDiary
from edge_agent.health.processes import read_process_book
from edge_agent.health.report import ClockSight, Report, UnitProbes
from edge_agent.paths import process_book
from edge_agent.settings import Settings
from edge_agent.uplink.stored_history import MAX_SAMPLE_BYTES
from tests.support.fake_recorder import make_state
from tests.support.kernel_files import make_board, net_dev, write
from tests.support.polling import wait_until

BOOT_ID = "a" * 32
LOOK_S = 5.0


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_board(tmp_path)


class Unit:
    """The probes of a unit with one camera, on a clock of the test."""

    def __init__(self, root: Path, cameras: int = 1, **camera: object) -> None:
        names = ["main", *(f"camera-{number}" for number in range(1, cameras))]
        table = {"source": "rtsp://192.0.2.7/s", "min_free_bytes": 0} | camera
        self.settings = Settings.model_validate(
            {"unit": {"id": "nomad-07", "data_dir": root}, "camera": [{"name": name} | table for name in names]}
        )
        self.clock = FakeClock()
        self.link: dict[str, Any] = {}
        self.probes = UnitProbes(self.settings, self.clock, "0.1.0", BOOT_ID, lambda: self.link, root)
        self.sight = ClockSight("chrony", 4_000, self.clock.wall_us() - 30_000_000, 150)

    def look(self, *sights: RecorderState | RingError) -> Report:
        by_name = {ring.name: sight for ring, sight in zip(self.settings.rings, sights, strict=True)}
        return self.probes.run(by_name, self.sight)

    def looks(self, seconds: float, make: Callable[[], RecorderState | RingError] | None = None) -> Report:
        """Look every 5 s for so long; the last report."""
        reports = []
        for _ in range(round(seconds / LOOK_S)):
            self.clock.advance(LOOK_S)
            reports.append(self.look((make or self.state)()))
        return reports[-1]

    def state(self, **changes: object) -> RecorderState:
        return make_state(**{"since_us": self.clock.wall_us() - 60_000_000} | changes)


def raised(report: Report) -> set[tuple[str, str | None]]:
    return {key for key, details in report.alarms.items() if details is not None}


def test_a_healthy_unit(root: Path) -> None:
    unit = Unit(root)
    report = unit.look(unit.state(sync_p50_ms=4.0, sync_max_ms=80.0))
    health = report.health
    assert [health.camera.state, health.storage.state, health.clock.state] == ["ok", "ok", "ok"]
    assert (health.power.state, health.system.state, health.network.state) == ("unknown", "ok", "ok")
    assert raised(report) == set()
    found = health.to_object()
    assert found["system"]["software_version"] == "0.1.0"
    assert found["storage"].keys() >= {"free_bytes", "days_that_fit", "sync_p50_ms", "sync_max_ms", "write_errors"}
    assert found["storage"]["read_only"] is False
    assert found["clock"] == {
        "state": "ok",
        "source": "chrony",
        "unsynchronised_s": 0,
        "clock_bound_ms": 4.0,
        "clock_offset_ms": 0.1,
        "last_sync_age_s": 30,
    }


def test_a_camera_that_is_lost_for_a_while_is_an_alarm_until_it_is_back_for_a_while(root: Path) -> None:
    unit = Unit(root)
    lost = {"recording": False, "cause": "camera-lost"}
    assert ("camera-lost", "main") not in unit.looks(LOOK_S, lambda: unit.state(**lost)).alarms
    report = unit.looks(15, lambda: unit.state(**lost))
    assert report.alarms["camera-lost", "main"] == {"cause": "camera-lost", "detail": ""}
    assert report.health.camera.state == "critical"
    assert ("camera-lost", "main") in raised(unit.looks(15))
    assert unit.looks(15).alarms["camera-lost", "main"] is None


def test_a_link_that_starts_anew_clears_nothing_that_it_is_about_to_raise(root: Path) -> None:
    unit = Unit(root)
    report = unit.look(unit.state(recording=False, cause="camera-lost"))
    assert ("camera-lost", "main") not in report.alarms


def test_a_silent_recorder_is_an_alarm_and_says_nothing_of_its_camera(root: Path) -> None:
    unit = Unit(root)
    error = RingUnavailableError("no answer")
    assert ("recorder-unavailable", "main") not in unit.look(error).alarms
    unit.clock.advance(16)
    report = unit.look(error)
    assert report.alarms["recorder-unavailable", "main"] == {"reason": "no answer"}
    assert ("camera-lost", "main") not in report.alarms
    assert report.health.camera.state == "unknown"
    assert unit.look(unit.state()).alarms["recorder-unavailable", "main"] is None


def test_storage_and_picture_alarms(root: Path) -> None:
    unit = Unit(root)
    broken = unit.state(storage_ok=False, storage_detail="Input/output error", write_errors=3)
    report = unit.look(broken)
    assert report.alarms["storage-error", "main"] == {"detail": "Input/output error", "write_errors": 3}
    assert report.health.storage.state == "critical"
    small = unit.state(warnings=("resolution-below-legal-minimum",))
    report = unit.look(small)
    assert report.alarms["picture-below-minimum", "main"] == {"warnings": ["resolution-below-legal-minimum"]}
    assert report.health.camera.state == "warning"


def test_an_encoder_that_fails_is_an_alarm_for_an_hour(root: Path) -> None:
    unit = Unit(root)

    def coded(failures: int, fault: str = "") -> Callable[[], RecorderState]:
        figures = CaptureFigures(encoder="libx264", encoder_failures=failures, encoder_fault=fault)
        return lambda: unit.state(capture=figures)

    report = unit.looks(LOOK_S, coded(3, "v4l2m2m: of a time before this link"))
    assert report.alarms["encoder-failed", "main"] is None
    report = unit.looks(LOOK_S, coded(4, "v4l2m2m: it did not come back for 4 s"))
    assert report.alarms["encoder-failed", "main"] == {
        "state": "warning",
        "limit": 1,
        "figure": "encoder_failures_last_hour",
        "value": 1,
    }
    told = report.health.to_object()["camera"]
    assert told["state"] == "warning"
    assert (
        told["cameras"]["main"].items()
        >= {
            "encoder": "libx264",
            "encoder_failures_last_hour": 1,
            "encoder_fault": "v4l2m2m: it did not come back for 4 s",
        }.items()
    )
    report = unit.looks(LOOK_S, coded(7))
    details = report.alarms["encoder-failed", "main"]
    assert details is not None
    assert (details["state"], details["value"]) == ("critical", 4)
    assert unit.looks(3500, coded(7)).alarms["encoder-failed", "main"] is not None
    assert unit.looks(200, coded(7)).alarms["encoder-failed", "main"] is None


def test_a_camera_that_encodes_itself_has_no_encoder_to_fail(root: Path) -> None:
    unit = Unit(root)
    for capture in (None, CaptureFigures(device="rtsp://192.0.2.7/s")):
        report = unit.look(unit.state(capture=capture))
        assert report.alarms.get(("encoder-failed", "main")) is None
        assert "encoder" not in report.health.to_object()["camera"]["cameras"]["main"]


@pytest.mark.parametrize("name", ["picture-black", "picture-frozen"])
def test_a_picture_that_shows_nothing_is_an_alarm_until_it_has_shown_something_for_a_while(
    root: Path, name: str
) -> None:
    unit = Unit(root)
    others = {"picture-black", "picture-frozen", "picture-below-minimum"} - {name}
    report = unit.look(unit.state(warnings=("size-not-as-asked", name)))
    assert report.alarms[name, "main"] == {"warnings": ["size-not-as-asked", name]}
    assert report.health.camera.state == "warning"
    assert [report.alarms[other, "main"] for other in others] == [None, None]
    assert unit.looks(15).alarms[name, "main"] is not None, "not before it has been well for 20 s"
    assert unit.looks(15).alarms[name, "main"] is None


@pytest.mark.parametrize("name", ["picture-black", "picture-frozen"])
def test_what_a_camera_showed_before_it_was_lost_is_neither_raised_nor_cleared(root: Path, name: str) -> None:
    unit = Unit(root)
    lost = {"recording": False, "cause": "camera-lost"}
    assert (name, "main") not in unit.looks(60, lambda: unit.state(warnings=(name,), **lost)).alarms
    assert (name, "main") in raised(unit.look(unit.state(warnings=(name,))))
    assert (name, "main") not in unit.looks(60, lambda: unit.state(**lost)).alarms


def test_what_is_not_as_the_settings_ask_is_an_alarm_that_says_what_to_do(root: Path) -> None:
    unit = Unit(root)
    notes = {f"note-{number}": f"it is so; write {number}" for number in range(6)}

    def noted(**changes: object) -> Callable[[], RecorderState]:
        return lambda: unit.state(capture=CaptureFigures(notes=notes), **changes)

    assert ("camera-otherwise", "main") not in unit.looks(2 * LOOK_S, noted()).alarms
    report = unit.looks(LOOK_S, noted(recording=False, cause="camera-lost"))
    first_four = [f"note-{number}: it is so; write {number}" for number in range(4)]
    assert report.alarms["camera-otherwise", "main"] == {"notes": first_four}
    assert report.health.to_object()["camera"]["cameras"]["main"]["notes"] == first_four
    assert unit.looks(20).alarms["camera-otherwise", "main"] is not None
    assert unit.looks(LOOK_S).alarms["camera-otherwise", "main"] is None


def test_a_proxy_is_measured_by_its_own_rate(root: Path) -> None:
    unit = Unit(root, source="test:", fps=10.0, proxy={})

    def look(proxy_fps: float) -> Report:
        unit.clock.advance(LOOK_S)
        main = unit.state(frames_per_second=10.0)
        return unit.look(main, unit.state(camera="main-proxy", frames_per_second=proxy_fps))

    def looks(seconds: float, proxy_fps: float) -> Report:
        return [look(proxy_fps) for _ in range(round(seconds / LOOK_S))][-1]

    report = looks(900, 5.0)
    assert raised(report) == set()
    cameras = report.health.to_object()["camera"]["cameras"]
    assert cameras["main"]["expected_frames_per_second"] == 10.0
    assert cameras["main-proxy"]["expected_frames_per_second"] == 5.0
    assert ("frame-rate-low", "main-proxy") in raised(looks(120, 1.0))


def test_a_ring_that_cannot_hold_what_is_wanted_is_an_alarm(root: Path) -> None:
    unit = Unit(root, max_bytes=1_000_000, min_age_h=24.0)
    details = unit.looks(700).alarms["retention-short", None]
    assert details is not None
    assert (details["state"], details["figure"], details["value"]) == ("critical", "retention_share", 0.0)
    assert Unit(root, max_bytes=1_000_000).looks(700).alarms.get(("retention-short", None)) is None


def test_heat_is_an_alarm(root: Path) -> None:
    unit = Unit(root)
    write(root, "sys/class/thermal/thermal_zone0/temp", "90000\n")
    report = unit.looks(60)
    assert report.alarms["temperature-high", None] == {
        "state": "critical",
        "limit": 82.0,
        "figure": "temperature_c",
        "value": 90.0,
    }
    assert report.health.system.state == "critical"
    assert report.health.to_object()["system"]["judged"] == {"temperature_c": "critical"}
    write(root, "sys/class/thermal/thermal_zone0/temp", "40000\n")
    assert "judged" not in unit.looks(1000).health.to_object()["system"]


def test_a_clock_that_nobody_vouches_for_is_unknown_and_after_an_hour_an_alarm(root: Path) -> None:
    unit = Unit(root)
    unit.sight = ClockSight("unknown", None)
    report = unit.look(unit.state())
    assert report.health.clock.to_object() == {"state": "unknown", "source": "unknown", "unsynchronised_s": 0}
    unit.clock.advance(3700)
    report = unit.look(unit.state())
    assert ("clock-unsynchronised", None) in raised(report)
    assert report.health.clock.state == "warning"
    unit.sight = ClockSight("chrony", 4_000)
    assert unit.look(unit.state()).alarms["clock-unsynchronised", None] is None


def test_a_last_word_of_a_time_server_that_is_yet_to_come_has_no_age(root: Path) -> None:
    unit = Unit(root)
    unit.sight = ClockSight("kernel", 100_000, unit.clock.wall_us() + 5_000_000)
    assert "last_sync_age_s" not in unit.look(unit.state()).health.clock.to_object()


def test_what_the_link_measures_is_told_with_the_network(root: Path) -> None:
    unit = Unit(root)
    unit.link = {"round_trip_ms": 4100.0, "round_trip_age_s": 3, "upload_kbps": 1900.0, "upload_age_s": 60}
    report = unit.look(unit.state())
    assert report.health.network.to_object().items() >= unit.link.items()
    assert ("round-trip-high", None) not in report.alarms
    report = unit.looks(330)
    assert ("round-trip-high", None) in raised(report)
    assert report.health.network.state == "warning"
    unit.link = {"round_trip_ms": 80.0}
    assert unit.looks(330).alarms["round-trip-high", None] is None


def test_processes_that_restart_again_and_again_are_an_alarm(root: Path) -> None:
    unit = Unit(root)
    diary = ProcessDiary(process_book(root), BOOT_ID, ["record main", "link"], unit.clock)
    for _ in range(3):
        unit.clock.advance(20)
        diary.ended("record main", "signal SIGKILL")

    def counted() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = unit.look(unit.state()).health.to_object()["system"].get("processes", [])
        return found if found and found[0]["restarts"] == 3 else []

    record, link = wait_until(counted, what="the supervisor's counts")
    assert record == {
        "name": "record main",
        "restarts": 3,
        "restarts_last_hour": 3,
        "last_restart_age_s": 0,
        "last_reason": "signal SIGKILL",
        "judged": {"restarts_last_hour": "warning"},
    }
    assert link == {"name": "link", "restarts": 0, "restarts_last_hour": 0}
    report = unit.look(unit.state())
    assert report.alarms["process-restarting", "main"] is not None
    assert report.alarms["process-restarting", None] is None
    unit.clock.advance(3600)
    assert unit.look(unit.state()).alarms["process-restarting", "main"] is None


@pytest.fixture
def dead_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """A disk that does not answer until the event is set."""
    alive = threading.Event()

    def hang(*_arguments: object) -> dict[str, Any]:
        alive.wait(60)
        return {}

    monkeypatch.setattr(report_module, "disk_figures", hang)
    monkeypatch.setattr(report_module, "DISK_LIMIT_S", 0.05)
    yield alive
    alive.set()


def test_a_disk_that_does_not_answer_costs_its_own_figures_and_is_an_alarm(
    root: Path, dead_disk: threading.Event
) -> None:
    unit = Unit(root)
    threads = threading.active_count()
    report = unit.looks(60)
    assert threading.active_count() <= threads + 1
    assert report.health.storage.state == "critical"
    assert report.health.storage.to_object()["answers"] is False
    assert report.alarms["storage-silent", None] == {"silent_for_s": 0.05}
    assert report.health.system.state == "ok"
    dead_disk.set()
    unit.probes._disk._limit_s = 20.0
    assert unit.looks(120).alarms["storage-silent", None] is None


@pytest.mark.parametrize("proxies", [False, True])
def test_the_message_of_the_largest_unit_fits(root: Path, proxies: bool) -> None:
    unit = Unit(root, cameras=8, **({"proxy": {}} if proxies else {}))
    interfaces = [(f"interface-{number:02}xyz", 2**63 - number, 2**63 - number) for number in range(40)]
    write(root, "proc/net/dev", net_dev(*interfaces))
    for name, _, _ in interfaces:
        write(root, f"sys/class/net/{name}/operstate", "lowerlayerdown\n")
    recorders = [f"record {camera.name}" for camera in unit.settings.camera]
    diary = ProcessDiary(process_book(root), BOOT_ID, [*recorders, "link"], unit.clock)
    for recorder in recorders:
        diary.ended(recorder, "r" * 500)

    def is_written() -> bool:
        book = read_process_book(process_book(root), BOOT_ID)
        return book is not None and sum(record.restarts for record in book.processes) == len(recorders)

    wait_until(is_written, what="the supervisor's counts")
    unit.link = {"round_trip_ms": 123456.7, "round_trip_age_s": 10**9, "upload_kbps": 10**6, "upload_age_s": 10**9}
    worst = {"detail": "é" * 900, "warnings": tuple("w" * 300 for _ in range(9)), "dropped_units": 2**60}
    notes = {letter * 30: "é" * 300 for letter in "abcdef"}
    capture = CaptureFigures(encoder="libx264", encoder_fault="é" * 300, notes=notes, unmasked=2**60, mean_luma=123.4)
    for capture_told in [None] * 30 + [capture] * 3:
        unit.clock.advance(60)
        more = worst | {"capture": capture_told}
        health = unit.look(*(unit.state(camera=ring.name, **more) for ring in unit.settings.rings)).health
        assert len(health.to_json()) <= MAX_SAMPLE_BYTES < MAX_MESSAGE_BYTES
        found = health.to_object()
        assert len(found["camera"]["cameras"]) == len(unit.settings.rings)
        assert all(one.keys() >= {"state", "frames_per_second"} for one in found["camera"]["cameras"].values())
        assert len(found["system"]["processes"]) == 9
        if capture_told is None and not proxies:
            assert len(found["network"]["interfaces"]) == 20


def test_what_explains_is_left_out_of_a_long_message_only_as_far_as_needed(root: Path) -> None:
    unit = Unit(root, cameras=8, proxy={})
    notes = {letter * 30: "é" * 300 for letter in "abcd"}
    capture = CaptureFigures(encoder_fault="it did not come back", notes=notes)
    states = [unit.state(camera=ring.name, capture=capture, detail="away") for ring in unit.settings.rings]
    told = unit.look(*states).health.to_object()["camera"]["cameras"]["main"]
    assert "notes" not in told
    assert (told["encoder_fault"], told["detail"]) == ("it did not come back", "away")
