"""Probes on made-up kernel files; thresholds; what is an alarm."""

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from edge_agent.clock import FakeClock
from edge_agent.contract.ring_protocol import RecorderState
from edge_agent.errors import RingError, RingUnavailableError
from edge_agent.health.network import NetworkProbe
from edge_agent.health.report import ClockSight, Report, UnitProbes
from edge_agent.health.storage import storage_figures
from edge_agent.health.system import SystemProbe
from edge_agent.health.thresholds import THRESHOLDS, Judge, Threshold, worst
from edge_agent.settings import CameraSettings, Settings
from tests.support.fake_recorder import make_state


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="ascii")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path, "proc/stat", "cpu  100 0 100 800 0 0 0 0 0 0\ncpu0 1 2 3\n")
    write(tmp_path, "proc/meminfo", "MemTotal:  1000 kB\nMemFree: 100 kB\nMemAvailable:  400 kB\n")
    write(tmp_path, "proc/uptime", "351.77 900.12\n")
    write(tmp_path, "sys/class/thermal/thermal_zone0/temp", "48312\n")
    write(tmp_path, "sys/class/thermal/thermal_zone1/temp", "51900\n")
    write(tmp_path, "proc/net/dev", net_dev(1000, 2000))
    return tmp_path


def net_dev(received: int, sent: int) -> str:
    head = "Inter-|   Receive\n face |bytes packets\n"
    line = "{name}: {received} 1 0 0 0 0 0 0 {sent} 1 0 0 0 0 0 0\n"
    return (
        head
        + line.format(name="    lo", received=9, sent=9)
        + line.format(name="  wwan0", received=received, sent=sent)
    )


def test_system_figures(root: Path) -> None:
    probe = SystemProbe(root)
    first = probe.figures()
    assert first == {"memory_used_share": 0.6, "temperature_c": 51.9, "uptime_s": 351}
    write(root, "proc/stat", "cpu  150 0 150 900 0 0 0 0 0 0\n")
    assert probe.figures()["cpu_load_share"] == 0.5


def test_what_the_kernel_does_not_tell_is_absent(tmp_path: Path) -> None:
    assert SystemProbe(tmp_path).figures() == {}
    assert NetworkProbe(FakeClock(), tmp_path).figures() == {}
    write(tmp_path, "proc/stat", "garbage\n")
    write(tmp_path, "proc/meminfo", "MemTotal: none\n")
    write(tmp_path, "sys/class/thermal/thermal_zone0/temp", "\n")
    write(tmp_path, "proc/net/dev", "a\nb\nwwan0: x y\n")
    assert SystemProbe(tmp_path).figures() == {}


def test_network_rates_are_differences(root: Path) -> None:
    clock = FakeClock()
    probe = NetworkProbe(clock, root)
    assert probe.figures() == {}
    clock.advance(10)
    write(root, "proc/net/dev", net_dev(1_251_000, 2000))
    assert probe.figures() == {"received_kbps": 1000.0, "sent_kbps": 0.0}
    clock.advance(10)
    write(root, "proc/net/dev", net_dev(5, 5))  # the interface came anew
    assert probe.figures() == {}


def test_hysteresis() -> None:
    limit = Threshold(warning=75, critical=82, slack=4)
    judge = Judge({"t": limit})
    states = [judge.states("x", {"t": value})[0] for value in (74, 75, 72, 71, 70.9, 83, 79, 77, 70)]
    assert states == ["ok", "warning", "warning", "warning", "ok", "critical", "critical", "warning", "ok"]
    low = Threshold(warning=1.0, critical=0.1, slack=0.2, low_is_bad=True)
    assert low.judge(1.1, "ok") == "ok"
    assert low.judge(1.1, "warning") == "warning"
    assert low.judge(0.05, "ok") == "critical"


def test_worst() -> None:
    assert worst([]) == "unknown"
    assert worst(["unknown", "ok"]) == "ok"
    assert worst(["ok", "critical", "warning"]) == "critical"
    assert set(THRESHOLDS) >= {"temperature_c", "reserve_share", "clock_bound_ms"}


def statvfs(free_bytes: int) -> Callable[[Path], os.statvfs_result]:
    found = SimpleNamespace(f_bavail=free_bytes, f_frsize=1, f_blocks=10**12, f_files=100, f_favail=50)
    return lambda _path: cast("os.statvfs_result", found)


def test_days_that_fit(tmp_path: Path) -> None:
    camera = CameraSettings(name="main", source="test:", min_free_bytes=0)
    state = make_state(bitrate_kbps=4000.0, size_bytes=0)
    figures = storage_figures(tmp_path, [camera], [state], statvfs(43_200_000_000))
    assert figures["days_that_fit"] == 1.0
    assert figures["free_inodes_share"] == 0.5
    bounded = camera.model_copy(update={"max_bytes": 21_600_000_000})
    assert storage_figures(tmp_path, [bounded], [state], statvfs(10**12))["days_that_fit"] == 0.5
    wanting = bounded.model_copy(update={"min_age_h": 24.0})
    assert storage_figures(tmp_path, [wanting], [state], statvfs(10**12))["retention_share"] == 0.5
    assert "days_that_fit" not in storage_figures(tmp_path, [camera], [], statvfs(1))


class Unit:
    """The probes of a unit with one camera, on a clock of the test."""

    def __init__(self, root: Path, **camera: object) -> None:
        settings = Settings.model_validate(
            {
                "unit": {"id": "nomad-07", "data_dir": root},
                "camera": [{"name": "main", "source": "test:", "min_free_bytes": 0} | camera],
            }
        )
        self.clock = FakeClock()
        network = NetworkProbe(self.clock, root)
        self.probes = UnitProbes(settings, self.clock, "0.1.0", SystemProbe(root), network)

    def look(self, sight: RecorderState | RingError) -> Report:
        return self.probes.run({"main": sight}, ClockSight("chrony", 4_000))

    def state(self, **changes: object) -> RecorderState:
        return make_state(**{"since_us": self.clock.wall_us() - 60_000_000} | changes)


def test_a_healthy_unit(root: Path) -> None:
    unit = Unit(root)
    report = unit.look(unit.state())
    assert [report.health.camera.state, report.health.storage.state, report.health.clock.state] == ["ok", "ok", "ok"]
    assert (report.health.power.state, report.health.system.state) == ("unknown", "ok")
    assert all(details is None for details in report.alarms.values())
    assert report.health.to_object()["system"]["software_version"] == "0.1.0"


def test_a_camera_that_is_lost_for_a_while_is_an_alarm(root: Path) -> None:
    unit = Unit(root)
    young = unit.state(recording=False, since_us=unit.clock.wall_us() - 2_000_000, cause="camera-lost")
    assert ("camera-lost", "main") not in unit.look(young).alarms
    unit.clock.advance(20)
    report = unit.look(young)
    assert report.alarms["camera-lost", "main"] == {"cause": "camera-lost", "detail": ""}
    assert report.health.camera.state == "critical"


def test_a_silent_recorder_is_an_alarm_and_says_nothing_of_its_camera(root: Path) -> None:
    unit = Unit(root)
    error = RingUnavailableError("no answer")
    assert unit.look(error).alarms["recorder-unavailable", "main"] is None
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


def test_a_ring_that_cannot_hold_what_is_wanted_is_an_alarm(root: Path) -> None:
    unit = Unit(root, max_bytes=1_000_000, min_age_h=24.0)
    report = unit.look(unit.state())
    assert report.alarms["retention-short", None] == {"state": "critical", "figure": "retention_share"}
    assert Unit(root, max_bytes=1_000_000).look(unit.state()).alarms["retention-short", None] is None


def test_heat_is_an_alarm(root: Path) -> None:
    unit = Unit(root)
    write(root, "sys/class/thermal/thermal_zone0/temp", "90000\n")
    report = unit.look(unit.state())
    assert report.alarms["temperature-high", None] == {"state": "critical", "figure": "temperature_c"}
    assert report.health.system.state == "critical"


def test_a_clock_that_nobody_vouches_for_is_unknown(root: Path) -> None:
    unit = Unit(root)
    report = unit.probes.run({"main": unit.state()}, ClockSight("unknown", None))
    assert report.health.clock.to_object() == {"state": "unknown", "source": "unknown"}
