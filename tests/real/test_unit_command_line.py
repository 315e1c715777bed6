"""`edge-agent` as a person uses it, with and without a running recorder."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from csu.verify import verify_clip
from edge_agent.cli import main
from edge_agent.clock import SystemClock
from edge_agent.contract.jws import TrustedKeys
from edge_agent.contract.times import format_utc
from edge_agent.evidence.keys import load_or_create_unit_key
from edge_agent.paths import ring_directory
from tests.support.polling import wait_until
from tests.support.processes import Processes
from tests.support.service_manager import ServiceManager
from tests.support.unit import Unit, camera_of, plain_environment, running, small_camera

pytestmark = pytest.mark.real

REASON = ("--reference", "PV 2026/118", "--purpose", "requisition")


@pytest.fixture
def unit(tmp_path: Path, processes: Processes) -> Iterator[Unit]:
    yield from running(Unit(tmp_path / "unit", processes))


def check_verified(unit: Unit, saved: Path) -> None:
    keys = TrustedKeys.from_jwks(load_or_create_unit_key(unit.data_dir).public_jwk())
    verdict = verify_clip(saved, keys)
    assert verdict.ok, verdict


def cli_unread(unit: Unit, *words: str | Path) -> "subprocess.CompletedProcess[str]":
    """As `Unit.cli`, its output into a pipe that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        return subprocess.run(
            unit.command(*words),
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            env=plain_environment(),
        )
    finally:
        os.close(writing)


def plans(unit: Unit) -> list[Path]:
    return list((ring_directory(unit.data_dir, "main") / "plans").iterdir())


def test_a_running_unit_answers_and_a_stopped_one_still_gives_clips(tmp_path: Path, unit: Unit) -> None:
    unit.start()
    status = unit.cli("status")
    assert status.returncode == 0, status.stderr
    assert "main: recording h264 192x144" in status.stdout
    assert json.loads(unit.cli("status", "--json").stdout)["main"]["recording"] is True
    assert json.loads(unit.cli("coverage", "--json").stdout)["main"]["last_24h"][0]["held"] is True
    check = unit.cli("check")
    assert check.returncode == 0, check.stdout
    assert "its recorder runs" in check.stdout

    now_us = SystemClock().wall_us()
    soon = ("--from", format_utc(now_us - 1_000_000), "--to", format_utc(now_us + 4_000_000))
    waited = unit.cli("clip", "main", *soon, *REASON, "-o", tmp_path / "soon")
    assert waited.returncode == 0, waited.stderr
    check_verified(unit, tmp_path / "soon")
    (clip,) = (tmp_path / "soon").glob("*.mp4")
    relative = unit.cli("clip", "main", "--from", "-4s", "--to", "-2s", *REASON, "-o", tmp_path / "one.mp4")
    assert relative.returncode == 0, relative.stderr
    check_verified(unit, tmp_path / "one.mp4")
    unread = cli_unread(unit, "clip", "main", *soon, *REASON, "-o", tmp_path / "unread")
    assert (unread.returncode, unread.stderr) == (141, "")
    check_verified(unit, tmp_path / "unread")
    before = clip.read_bytes()
    refused = unit.cli("clip", "main", *soon, *REASON, "-o", tmp_path / "soon")
    assert refused.returncode == 1
    assert clip.read_bytes() == before
    assert plans(unit) == []

    assert unit.end() == 0
    assert unit.cli("status").returncode == 3
    assert unit.cli("coverage").returncode == 3
    later = unit.cli("clip", "main", *soon, *REASON, "-o", tmp_path / "later")
    assert later.returncode == 0, later.stderr
    (again,) = (tmp_path / "later").glob("*.mp4")
    assert again.read_bytes() == before
    assert plans(unit) == []


def test_requests_that_cannot_be_served_say_why(tmp_path: Path, unit: Unit) -> None:
    unit.start()

    def refuse(*times: str, camera: str = "main") -> str:
        outcome = unit.cli("clip", camera, *times, *REASON, "-o", tmp_path / "none")
        assert outcome.returncode in {1, 2}, outcome.stdout
        assert "Traceback" not in outcome.stderr
        assert not (tmp_path / "none").exists()
        return outcome.stderr

    ambiguous = refuse("--from", "2025-10-26 02:30", "--to", "2025-10-26 02:31")
    assert "2025-10-26T02:30:00+02:00 or 2025-10-26T02:30:00+01:00" in ambiguous
    assert "does not exist" in refuse("--from", "2026-03-29 02:30", "--to", "2026-03-29 02:31")
    assert "yesterday" in refuse("--from", "yesterday", "--to", "now")
    refuse("--from", "-2s", "--to", "-4s")
    refuse("--from", "2020-01-01T00:00:00Z", "--to", "2020-01-01T00:01:00Z")
    refuse("--from", "2099-01-01T00:00:00Z", "--to", "2099-01-01T00:01:00Z")
    assert "there is: main" in refuse("--from", "-4s", "--to", "-2s", camera="side")
    assert plans(unit) == []


@pytest.mark.parametrize(
    "numbers",
    [
        [signal.SIGTERM],
        [signal.SIGINT],
        [signal.SIGHUP],
        [signal.SIGINT, signal.SIGHUP],
        [signal.SIGINT, signal.SIGINT],
        [signal.SIGTERM, signal.SIGINT],
    ],
)
def test_a_clip_that_is_broken_off_leaves_no_pin(tmp_path: Path, unit: Unit, numbers: list[signal.Signals]) -> None:
    recorder = unit.spawn("record", "main")
    unit.wait_recording()
    end_us = SystemClock().wall_us() + 50_000_000
    times = ("--from", "-1s", "--to", format_utc(end_us))
    waiting = unit.spawn("clip", "main", *times, *REASON, "-o", str(tmp_path / "none"))
    wait_until(lambda: plans(unit), what="plan")
    for number in numbers:
        waiting.send_signal(number)
    assert waiting.wait(20) - 128 in numbers
    assert plans(unit) == []
    assert recorder.poll() is None


SETTINGS_FAULTS = [
    ('[unit]\nid = "nomad-07"\ndata_dir = "data"\ncolour = "blue"\n', "colour"),
    ('[unit]\nid = 7\ndata_dir = "data"\n', "unit.id = 7"),
    ('[unit]\nid = "nomad-07"\n', "unit.data_dir"),
    ("[unit\n", "TOML"),
    ('[unit]\nid = "nomad-07"\ndata_dir = "data"\n', "camera"),
    ('[unit]\nid = "n-7"\ndata_dir = "data"\n[[camera]]\nname = "main"\nsource = "tape:1"\n', "tape:"),
    (
        '[unit]\nid = "n-7"\ndata_dir = "data"\n[[camera]]\nname = "main"\nsource = "test:"\nfps = "fast"\n',
        "camera 'main': fps = 'fast'",
    ),
]


@pytest.mark.parametrize("words", [("run",), ("record", "main"), ("link",)], ids=lambda words: words[0])
@pytest.mark.parametrize(("text", "named"), SETTINGS_FAULTS, ids=[named for _, named in SETTINGS_FAULTS])
def test_bad_settings_end_with_2_before_anything_is_started(
    unit: Unit, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], text: str, named: str
) -> None:
    unit.settings_file.write_text(text, encoding="utf-8")
    assert main([*words, "--config", str(unit.settings_file)]) == 2
    said = capsys.readouterr().err
    assert named in said
    assert str(unit.settings_file) in said
    assert not unit.data_dir.exists()


def test_files_and_cameras_that_are_not_there_end_with_2(tmp_path: Path, unit: Unit) -> None:
    assert "side" in expect_2(unit, "record", "side")
    unit.write_settings(
        mqtt={"url": "mqtt://127.0.0.1:9"},
        upload={"url": "http://127.0.0.1:9/files/"},
        trust={"command_keys_file": "absent.json"},
    )
    assert "absent.json" in expect_2(unit, "link")
    unit.cameras = [small_camera("main"), small_camera("tiny", width=64)]
    (unit.directory / "absent.json").write_text("{}")
    unit.write_settings()
    assert "tiny" in expect_2(unit, "record", "tiny")
    unit.cameras = [small_camera("tiny", width=64)]
    unit.write_settings()
    assert "tiny" in expect_2(unit, "run")
    unit.cameras = [camera_of("file:nope.mp4")]
    unit.write_settings()
    for words in (("run",), ("record", "main")):
        assert str(unit.directory / "nope.mp4") in expect_2(unit, *words)
    assert not unit.pids()
    unit.settings_file.unlink()
    assert str(unit.settings_file) in expect_2(unit, "run")


def expect_2(unit: Unit, *words: str) -> str:
    outcome = unit.cli(*words)
    assert outcome.returncode == 2, outcome.stderr
    assert "Traceback" not in outcome.stderr
    return outcome.stderr


def test_settings_that_break_while_the_unit_runs_stop_no_recording(unit: Unit) -> None:
    unit.start()
    good = unit.settings_file.read_text(encoding="utf-8")
    link = unit.wait_link_ready()
    unit.settings_file.write_text("[unit\n", encoding="utf-8")
    psutil.Process(link).kill()
    broken_us = unit.newest_us("main")
    assert broken_us is not None
    unit.wait_footage_after("main", broken_us + 3_000_000)
    assert unit.process is not None
    assert unit.process.poll() is None
    unit.settings_file.write_text(good, encoding="utf-8")
    assert unit.wait_link_ready(other_than=link)
    assert unit.end() == 0
    unit.check_unbroken("main")


def test_the_service_manager_hears_of_readiness_and_life(tmp_path: Path, unit: Unit) -> None:
    unit.cameras = [small_camera("main"), small_camera("proxy")]
    unit.write_settings()
    with ServiceManager(tmp_path / "notify") as manager:
        unit.start(wait=False, NOTIFY_SOCKET=str(manager.path), WATCHDOG_USEC="2000000")
        manager.wait_for("READY=1")
        for camera in unit.camera_names:
            assert unit.state(camera).run_id  # each recorder answers by then
        psutil.Process(unit.pid_of("link")).suspend()
        beats = manager.count("WATCHDOG=1")
        manager.wait_for("WATCHDOG=1", times=beats + 5)
        assert manager.count("READY=1") == 1
        assert unit.end() == 0
        manager.wait_for("STOPPING=1")


def test_the_status_says_what_the_camera_gives_and_what_is_not_as_asked(unit: Unit) -> None:
    unit.cameras = [small_camera(overlay=True)]
    unit.write_settings()
    unit.start()
    said = unit.cli("status").stdout.splitlines()
    assert said[0].startswith("main: recording h264 192x144 at ")
    assert said[1].startswith("  test:: yuv420p 192x144 at 10 fps")
    assert said[2].startswith("  encoded by lib")
