"""`python -m csu.demo`: everything with real parts, and nothing left behind."""

import json
import signal
import subprocess
import sys
from base64 import urlsafe_b64decode
from pathlib import Path

import pytest

from edge_agent.contract.times import parse_utc
from tests.support.demo import demo, left_of
from tests.support.polling import wait_until
from tests.support.processes import Processes

pytestmark = [pytest.mark.real, pytest.mark.slow]

LATE_US = 500_000
"""A busy machine leaves pictures out, most of all in a recorder's first second, where this clip begins; no group of
pictures is as short."""


def test_one_cycle_delivers_a_verified_clip_and_leaves_nothing_running(tmp_path: Path) -> None:
    directory = tmp_path / "a demo"
    for run in (1, 2):
        outcome = subprocess.run(
            demo("--dir", directory, "--once", "--seconds", "4"), capture_output=True, text=True, timeout=280
        )
        assert outcome.returncode == 0, outcome.stdout + outcome.stderr
        manifests = sorted((directory / "clips").glob("*/manifest.jws"))
        assert len(manifests) == run
        claims = json.loads(urlsafe_b64decode(manifests[-1].read_text().split(".")[1] + "=="))
        asked_us, first_us = (parse_utc(claims[name]["start_us"]) for name in ("asked", "delivered"))
        assert asked_us % 1_000_000 == 0
        assert asked_us <= first_us < asked_us + LATE_US
        assert left_of(directory) == []


def test_ctrl_c_ends_everything(tmp_path: Path, processes: Processes) -> None:
    with (tmp_path / "out.txt").open("wb") as output:
        process = processes.start(demo("--dir", tmp_path / "demo", "--seconds", "2"), stdout=output)
    words = tmp_path / "out.txt"
    wait_until(lambda: "Ctrl-C" in words.read_text() or process.poll() is not None, what="a clip", timeout_s=240)
    assert process.poll() is None, words.read_text()
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    assert left_of(tmp_path / "demo") == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_an_end_before_the_clip_is_no_success(
    tmp_path: Path, processes: Processes, number: signal.Signals, code: int
) -> None:
    with (tmp_path / "out.txt").open("wb") as output:
        process = processes.start(demo("--dir", tmp_path / "demo", "--once", "--seconds", "600"), stdout=output)
    words = tmp_path / "out.txt"
    wait_until(lambda: "waiting for 600 s" in words.read_text(), what="a unit that records", timeout_s=120)
    process.send_signal(number)
    assert process.wait(60) == code
    assert left_of(tmp_path / "demo") == []


def test_a_second_demonstration_leaves_the_first_alone(tmp_path: Path, processes: Processes) -> None:
    directory = tmp_path / "demo"
    with (tmp_path / "out.txt").open("wb") as output:
        process = processes.start(demo("--dir", directory, "--seconds", "2"), stdout=output)
    words = tmp_path / "out.txt"
    wait_until(lambda: "Ctrl-C" in words.read_text() or process.poll() is not None, what="a clip", timeout_s=240)
    kept = [directory / "demo.json", directory / "csu" / "ports.json", directory / "csu" / "broker" / "port"]
    before = [path.stat() for path in kept]
    log_bytes = (directory / "centre.log").stat().st_size
    second = subprocess.run(demo("--dir", directory, "--once"), capture_output=True, text=True, timeout=60)
    assert second.returncode == 1
    assert "another demonstration runs in" in second.stderr
    assert [(path.stat().st_ino, path.stat().st_mtime_ns) for path in kept] == [
        (one.st_ino, one.st_mtime_ns) for one in before
    ]
    assert (directory / "centre.log").stat().st_size >= log_bytes > 0
    assert process.poll() is None
    process.terminate()
    assert process.wait(60) == 0


def test_a_centre_that_was_started_by_hand_keeps_its_ports(tmp_path: Path, processes: Processes) -> None:
    directory = tmp_path / "demo"
    directory.mkdir()
    (directory / "demo.json").write_text("{}")
    processes.start([sys.executable, "-m", "csu", "serve", "--dir", directory / "csu"])
    ports = directory / "csu" / "ports.json"
    wait_until((directory / "csu" / "serve.json").exists, what="the centre", timeout_s=60)
    outcome = subprocess.run(demo("--dir", directory, "--once"), capture_output=True, text=True, timeout=60)
    assert outcome.returncode == 1
    assert "a csu serve runs on" in outcome.stderr
    assert ports.exists()


def test_a_file_that_is_no_video_ends_it_soon(tmp_path: Path) -> None:
    (tmp_path / "README.mp4").write_text("# no video\n")
    words = demo("--dir", tmp_path / "demo", "--once", "--source", f"file:{tmp_path / 'README.mp4'}")
    outcome = subprocess.run(words, capture_output=True, text=True, timeout=100)
    assert outcome.returncode == 1
    assert "it is not a whole video file" in outcome.stderr
    assert left_of(tmp_path / "demo") == []


def test_a_killed_demonstration_takes_its_children_with_it(tmp_path: Path, processes: Processes) -> None:
    directory = tmp_path / "demo"
    process = processes.start(demo("--dir", directory))
    settings = directory / "unit" / "unit.toml"
    wait_until(lambda: settings.exists() and "[mqtt]" in settings.read_text(), what="an enrolled unit", timeout_s=120)
    process.kill()
    process.wait(30)
    wait_until(lambda: left_of(directory) == [], what="the end of all children", timeout_s=60)


def test_a_source_that_fails_is_told(tmp_path: Path) -> None:
    for words in (["--source", "street.mp4"], ["--source", "file:nothing.mp4"], ["--seconds", "0"]):
        outcome = subprocess.run(demo("--dir", tmp_path / "demo", *words), capture_output=True, text=True, timeout=60)
        assert outcome.returncode == 2
        assert words[0] in outcome.stderr
    assert not (tmp_path / "demo").exists()


def test_a_folder_with_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letters.json").write_text(json.dumps({}))
    outcome = subprocess.run(demo("--dir", tmp_path), capture_output=True, text=True, timeout=60)
    assert outcome.returncode == 2
    assert [path.name for path in tmp_path.iterdir()] == ["letters.json"]
