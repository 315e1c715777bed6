"""Storage that has become read-only: what was recorded can still be had on the unit, and nothing of it is touched."""

import hashlib
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from csu.verify import verify_clip
from edge_agent.buffer.rescue import is_read_only
from edge_agent.contract.jws import TrustedKeys
from edge_agent.contract.times import format_utc
from edge_agent.evidence.keys import load_or_create_unit_key
from edge_agent.paths import ring_directory
from tests.support.mounts import require_mounts
from tests.support.processes import Processes
from tests.support.unit import Unit, plain_environment, running, small_camera

pytestmark = pytest.mark.faults

REASON = ("--reference", "PV 2026/118", "--purpose", "requisition")
READ_ONLY = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'


def read_only_view(folder: Path, command: list[str]) -> list[str]:
    """A command to which the file system of a folder is read-only, for root too."""
    return ["unshare", "-rm", "sh", "-c", READ_ONLY, str(folder), *command]


@pytest.fixture
def unit(tmp_path: Path, processes: Processes) -> Iterator[Unit]:
    require_mounts(tmp_path / "trial")
    yield from running(Unit(tmp_path / "unit", processes, [small_camera(segment_s=2)]))


@pytest.fixture
def interval(unit: Unit) -> tuple[str, str]:
    """What was recorded before the power was cut, the newest of it in the segment that was open."""
    unit.start()
    load_or_create_unit_key(unit.data_dir)
    start_us = unit.newest_us("main") or 0
    unit.wait_footage_after("main", start_us + 4_500_000)
    unit.cut_power()
    return format_utc(start_us), format_utc(start_us + 4_000_000)


def clip(unit: Unit, interval: tuple[str, str], output: Path) -> list[str]:
    return unit.command("clip", "main", "--from", interval[0], "--to", interval[1], *REASON, "-o", output)


def run(command: list[str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=plain_environment())


def fingerprint(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in folder.rglob("*")
        if not path.is_socket()
    }


def check_verified(unit: Unit, saved: Path) -> None:
    verdict = verify_clip(saved, TrustedKeys.from_jwks(load_or_create_unit_key(unit.data_dir).public_jwk()))
    assert verdict.ok, verdict


def movies(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.mp4")}


def leave(_unit: Unit) -> None:
    """As the power cut left it: the index's log is not folded in, the open segment is in no row."""


def delete_index(unit: Unit) -> None:
    for path in ring_directory(unit.data_dir, "main").glob("index.db*"):
        path.unlink()


def spoil_index(unit: Unit) -> None:
    for path in ring_directory(unit.data_dir, "main").glob("index.db*"):
        path.write_bytes(os.urandom(path.stat().st_size))


def tear_tail(unit: Unit) -> None:
    with unit.segment_files()[-1].open("ab") as newest:
        newest.write(bytes(50_000))


@pytest.mark.parametrize("harm", [leave, delete_index, spoil_index, tear_tail], ids=lambda harm: harm.__name__)
def test_a_clip_comes_from_storage_that_takes_no_writes(
    tmp_path: Path, unit: Unit, interval: tuple[str, str], harm: Callable[[Unit], None]
) -> None:
    harm(unit)
    before = fingerprint(unit.data_dir)
    saved = tmp_path / "saved" / "clip"
    outcome = run(read_only_view(unit.data_dir, clip(unit, interval, saved)))
    assert outcome.returncode == 0, outcome.stderr
    assert "read-only" in outcome.stderr
    assert "gap" not in outcome.stdout
    check_verified(unit, saved)
    assert fingerprint(unit.data_dir) == before
    assert [path.name for path in saved.parent.iterdir()] == ["clip"]

    later = tmp_path / "later"
    assert run(clip(unit, interval, later)).returncode == 0
    assert movies(saved) == movies(later)


def test_refusals_say_what_is_wrong(tmp_path: Path, unit: Unit, interval: tuple[str, str]) -> None:
    def refuse(times: tuple[str, str], output: Path) -> str:
        outcome = run(read_only_view(unit.data_dir, clip(unit, times, output)))
        assert outcome.returncode == 1
        assert "Traceback" not in outcome.stderr
        return outcome.stderr

    assert "name an output elsewhere" in refuse(interval, unit.data_dir / "clip")
    assert "oldest footage" in refuse(("2020-01-01T00:00:00Z", "2020-01-01T00:01:00Z"), tmp_path / "none")
    assert not (tmp_path / "none").exists()
    assert not list(tmp_path.glob(".edge-agent-*"))
    assert not is_read_only(unit.data_dir)
    assert not is_read_only(unit.data_dir / "missing")


def test_a_recorder_that_can_still_write_is_asked(tmp_path: Path, unit: Unit, interval: tuple[str, str]) -> None:
    """As from a container that has the data directory mounted read-only."""
    unit.start()
    outcome = run(read_only_view(unit.data_dir, clip(unit, interval, tmp_path / "asked")))
    assert (outcome.returncode, outcome.stderr) == (0, "")
    check_verified(unit, tmp_path / "asked")


def test_a_recorder_that_cannot_keep_a_plan_is_no_hindrance(
    tmp_path: Path, unit: Unit, interval: tuple[str, str], processes: Processes
) -> None:
    plans = ring_directory(unit.data_dir, "main") / "plans"
    with (tmp_path / "log-recorder.txt").open("wb") as log:
        command = read_only_view(plans, unit.command("record", "main"))
        recorder = processes.start(command, stdout=log, stderr=log, env=plain_environment())
    unit.wait_recording()
    refused = run(clip(unit, interval, tmp_path / "refused"))
    assert refused.returncode == 1
    assert "cannot be stored" in refused.stderr
    outcome = run(read_only_view(unit.data_dir, clip(unit, interval, tmp_path / "saved")))
    assert outcome.returncode == 0, outcome.stderr
    check_verified(unit, tmp_path / "saved")
    assert recorder.poll() is None
