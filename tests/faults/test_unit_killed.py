"""SIGKILL and SIGSTOP of each process of a unit at random moments: the others go on, and it comes back."""

import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from edge_agent.supervise import SILENCE_LIMIT_S, STOP_GRACE_S
from tests.support.centre import Centre
from tests.support.polling import wait_until
from tests.support.processes import Processes
from tests.support.unit import Unit, running, small_camera

pytestmark = [pytest.mark.faults, pytest.mark.slow]

RESTART_S = 15.0
"""A recorder's start on a loaded machine, backoff included; the interpreter and libav take a second of it."""
CAMERAS = ["main", "proxy"]


@pytest.fixture
def unit(tmp_path: Path, processes: Processes) -> Iterator[Unit]:
    yield from running(Unit(tmp_path / "unit", processes, [small_camera(name) for name in CAMERAS]))


def check_restarted(unit: Unit, camera: str, times: int, limit_s: float = RESTART_S) -> None:
    """The camera has footage of each of its recorder's lives, and each gap is short and has its cause."""
    infos = unit.scanned(camera)
    lives = list(dict.fromkeys(info.header.run_id for info in infos))
    assert len(lives) == times + 1
    firsts = [next(info for info in infos if info.header.run_id == life) for life in lives]
    assert [info.header.opened_cause for info in firsts] == ["start", *["restart"] * times]
    for length_s, cause in unit.gaps(camera):
        assert cause == "restart"
        assert length_s < limit_s


@pytest.mark.parametrize("seed", [1])
def test_killed_recorders_and_links_do_no_harm_to_one_another(unit: Unit, seed: int) -> None:
    chance = random.Random(seed)
    unit.start()
    for _ in range(2):
        for victim in ("record proxy", "link"):
            time.sleep(chance.uniform(0.0, 1.5))  # a random moment
            pid = unit.pid_of(victim)
            psutil.Process(pid).kill()
            unit.wait_other_pid(victim, pid)
        unit.wait_recording("proxy")
    check_restarted(unit, "proxy", times=2)
    assert unit.gaps("main") == []
    assert unit.end() == 0
    unit.check_unbroken("main")


@pytest.fixture
def neighbour(tmp_path: Path, processes: Processes) -> Iterator[Unit]:
    """Another unit, so that two silences are waited for at once."""
    yield from running(Unit(tmp_path / "neighbour", processes, [small_camera("main")]))


def test_who_is_stopped_is_started_again_but_not_for_the_supervisors_own_silence(unit: Unit, neighbour: Unit) -> None:
    unit.start()
    neighbour.start()
    assert neighbour.process is not None
    supervisor, left_alone = psutil.Process(neighbour.process.pid), neighbour.pids()
    victims = {name: unit.pid_of(name) for name in ("record proxy", "link")}
    for process in (supervisor, *map(psutil.Process, victims.values())):
        process.suspend()
    stopped_us = neighbour.newest_us("main") or 0

    for name, pid in victims.items():
        unit.wait_other_pid(name, pid, timeout_s=SILENCE_LIMIT_S + RESTART_S)
    unit.wait_recording("proxy")
    check_restarted(unit, "proxy", times=1, limit_s=SILENCE_LIMIT_S + RESTART_S)
    assert unit.gaps("proxy") != []
    assert unit.gaps("main") == []
    assert unit.end() == 0
    unit.check_unbroken("main")

    neighbour.wait_footage_after("main", stopped_us + round((SILENCE_LIMIT_S + 2) * 1e6))
    supervisor.resume()
    goes_on_us = neighbour.newest_us("main") or 0
    neighbour.wait_footage_after("main", goes_on_us + 5_000_000)
    assert neighbour.pids() == left_alone
    assert neighbour.end() == 0
    neighbour.check_unbroken("main")


@pytest.mark.parametrize("seed", [3])
def test_a_killed_supervisor_leaves_all_running_and_the_next_takes_over(
    tmp_path: Path, processes: Processes, unit: Unit, seed: int
) -> None:
    centre = Centre(tmp_path, processes).serve()
    centre.enrol_unit(unit)
    unit.start()
    centre.wait_online()
    time.sleep(random.Random(seed).uniform(0.0, 1.0))  # a random moment
    orphans = unit.pids()
    assert unit.process is not None
    unit.process.kill()
    unit.process.wait(10)
    killed_us = unit.newest_us("main") or 0
    unit.wait_footage_after("main", killed_us + 3_000_000)
    assert all(psutil.pid_exists(pid) for pid in orphans.values())
    clip = centre.wait_verdict(centre.ask_clip("main", killed_us, killed_us + 2_000_000))  # the link works on
    assert clip.verdict == "verified"
    unit.start()
    wait_until(lambda: not any(psutil.pid_exists(pid) for pid in orphans.values()), what="the orphans' end")
    assert unit.wait_link_ready() == unit.pid_of("link")
    for camera in CAMERAS:
        unit.wait_recording(camera)
        check_restarted(unit, camera, times=1)
    clip = centre.wait_verdict(centre.ask_clip("proxy", killed_us, killed_us + 2_000_000))
    assert clip.verdict == "verified"
    assert unit.end() == 0


def test_a_supervisor_takes_over_from_children_that_do_not_run(unit: Unit) -> None:
    unit.start()
    orphans = unit.pids()
    assert unit.process is not None
    for pid in [unit.process.pid, *orphans.values()]:
        psutil.Process(pid).suspend()
    unit.process.kill()
    unit.process.wait(10)
    unit.start()
    wait_until(lambda: not any(psutil.pid_exists(pid) for pid in orphans.values()), what="the orphans' end")
    check_restarted(unit, "main", times=1, limit_s=RESTART_S + 2 * STOP_GRACE_S)
    assert unit.end() == 0


def test_a_second_supervisor_is_told_that_the_unit_runs(unit: Unit) -> None:
    unit.start()
    before = unit.pids()
    second = unit.cli("run")
    assert second.returncode == 1
    assert unit.process is not None
    assert str(unit.process.pid) in second.stderr
    assert unit.pids() == before
    unit.process.send_signal(signal.SIGSTOP)
    assert unit.cli("run").returncode == 1
    unit.process.send_signal(signal.SIGCONT)
    assert unit.end() == 0
    assert unit.cli("record", "nobody").returncode == 2
