"""What goes wrong on a unit is counted, said to the centre, and over when it is over."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from edge_agent.clock import read_boot_id
from edge_agent.health.processes import ProcessRecord, read_process_book
from edge_agent.paths import process_book
from edge_agent.supervise import SILENCE_LIMIT_S
from tests.support.centre import Centre
from tests.support.ext4 import Ext4, mounted_ext4
from tests.support.mounts import require_mounts
from tests.support.polling import wait_until
from tests.support.processes import Processes
from tests.support.unit import Unit, running, small_camera

pytestmark = pytest.mark.faults

ROOT = Path(__file__).parents[2]
NOTICE_S = 60.0


def record_of(unit: Unit, name: str) -> ProcessRecord:
    book = read_process_book(process_book(unit.data_dir), read_boot_id())
    assert book is not None
    return next(record for record in book.processes if record.name == name)


def wait_restarts(unit: Unit, name: str, count: int) -> None:
    what = f"restart {count} of {name} counted"
    wait_until(lambda: record_of(unit, name).restarts == count, what=what, timeout_s=SILENCE_LIMIT_S + 20)


def told(centre: Centre, probe: str) -> Mapping[str, Any]:
    """The probe's object in the last `up/health` that the centre has."""
    found: Mapping[str, Any] = centre.body("health").get(probe, {})
    return found


@pytest.fixture
def unit(tmp_path: Path, processes: Processes) -> Iterator[Unit]:
    yield from running(Unit(tmp_path / "unit", processes, [small_camera()]))


def test_processes_that_are_killed_or_hang_are_counted_and_the_centre_hears_of_it(
    tmp_path: Path, processes: Processes, unit: Unit
) -> None:
    centre = Centre(tmp_path, processes).serve()
    centre.enrol_unit(unit)
    unit.start()
    centre.wait_online()
    link = unit.wait_link_ready()
    psutil.Process(link).suspend()
    for count in range(1, 4):
        victim = unit.pid_of("record main")
        psutil.Process(victim).kill()
        unit.wait_other_pid("record main", victim)
        wait_restarts(unit, "record main", count)
    assert record_of(unit, "record main").last_reason == "signal SIGKILL"
    unit.wait_link_ready(other_than=link)
    wait_restarts(unit, "link", 1)
    assert record_of(unit, "link").last_reason == "fell silent and was killed"
    alarm = ("process-restarting", "main")
    wait_until(lambda: alarm in centre.alarms(), what="alarm", timeout_s=NOTICE_S)
    wait_until(lambda: told(centre, "system").get("state") == "warning", what="warning", timeout_s=NOTICE_S)
    counts = {one["name"]: one for one in told(centre, "system")["processes"]}
    assert counts["record main"].items() >= {"restarts": 3, "restarts_last_hour": 3}.items()
    assert counts["link"]["last_reason"] == "fell silent and was killed"
    assert ("process-restarting", None) not in centre.alarms()
    assert unit.end() == 0
    assert record_of(unit, "record main").restarts == 3, "an end that was asked for counts for nothing"
    unit.start(wait=False)
    wait_until(lambda: _supervisor_starts(unit) == 2, what="the second supervisor's book")
    assert record_of(unit, "record main").restarts == 3


def _supervisor_starts(unit: Unit) -> int:
    book = read_process_book(process_book(unit.data_dir), read_boot_id())
    return 0 if book is None else book.supervisor_starts


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Ext4]:
    with mounted_ext4(tmp_path / "storage") as ext4:
        yield ext4


@pytest.fixture
def unit_on_disk(tmp_path: Path, processes: Processes, disk: Ext4) -> Iterator[Unit]:
    unit = Unit(tmp_path / "unit", processes, [small_camera()])
    unit.data_dir = disk.point / "data"
    unit.write_settings(unit={"id": "nomad-07", "data_dir": unit.data_dir})
    yield from running(unit)


def test_a_disk_that_ext4_turns_read_only_is_an_alarm_at_the_centre(
    tmp_path: Path, processes: Processes, disk: Ext4, unit_on_disk: Unit
) -> None:
    centre = Centre(tmp_path, processes).serve()
    centre.enrol_unit(unit_on_disk)
    unit_on_disk.start()
    centre.wait_online()
    wait_until(lambda: told(centre, "storage").get("read_only") is False, what="health", timeout_s=NOTICE_S)
    disk.fail()
    wait_until(lambda: ("storage-read-only", None) in centre.alarms(), what="alarm", timeout_s=NOTICE_S)
    wait_until(lambda: ("storage-error", "main") in centre.alarms(), what="recorder's alarm", timeout_s=NOTICE_S)
    wait_until(lambda: told(centre, "storage").get("read_only") is True, what="health", timeout_s=NOTICE_S)
    assert told(centre, "storage")["state"] == "critical"
    assert told(centre, "storage")["file_system_errors"] >= 1


_REMOUNTED = """
import subprocess, sys
from pathlib import Path
from edge_agent.clock import FakeClock
from edge_agent.health.report import ClockSight, UnitProbes
from edge_agent.health.process_diary import ProcessDiary
from edge_agent.settings import Settings
from edge_agent.errors import RingUnavailableError

point = Path(sys.argv[1])
subprocess.run(["mount", "-t", "tmpfs", "none", point], check=True)
tables = {"unit": {"id": "nomad-07", "data_dir": point}, "camera": [{"name": "main", "source": "test:"}]}
clock = FakeClock()
probes = UnitProbes(Settings.model_validate(tables), clock, "1", "a" * 32)
diary = ProcessDiary(point / "run" / "processes.json", "a" * 32, ["link"], clock)
for options in ("rw", "ro", "rw"):
    subprocess.run(["mount", "-o", f"remount,{options}", point], check=True)
    diary.ended("link", options)
    clock.advance(120)
    for _ in range(2):
        report = probes.run({"main": RingUnavailableError("gone")}, ClockSight("unknown", None))
        clock.advance(70)
    storage = report.health.to_object()["storage"]
    is_raised = report.alarms["storage-read-only", None] is not None
    print(options, storage["read_only"], storage["state"], is_raised)
"""


def test_a_remount_is_seen_both_ways(tmp_path: Path) -> None:
    require_mounts(tmp_path / "trial")
    point = tmp_path / "disk"
    point.mkdir()
    command = ["unshare", "-rm", sys.executable, "-c", _REMOUNTED, str(point)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, cwd=ROOT, env=os.environ | {"LANG": "C"}
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["rw False ok False", "ro True critical True", "rw False ok False"]
