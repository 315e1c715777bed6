"""`python -m csu.demo`: everything with real parts, and nothing left behind."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.support.polling import wait_until
from tests.support.processes import Processes

pytestmark = [pytest.mark.real, pytest.mark.slow]


def demo(*words: str | Path) -> list[str]:
    return [sys.executable, "-m", "csu.demo", *map(str, words)]


def left_of(directory: Path) -> list[str]:
    """Command lines of live processes that work on a directory."""
    found = []
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
        except psutil.Error:
            continue  # it ended, or is another user's
        if any(str(directory) in word for word in words):
            found.append(" ".join(words))
    return found


def test_one_cycle_delivers_a_verified_clip_and_leaves_nothing_running(tmp_path: Path) -> None:
    directory = tmp_path / "a demo"
    for run in (1, 2):
        outcome = subprocess.run(
            demo("--dir", directory, "--once", "--seconds", "4"), capture_output=True, text=True, timeout=280
        )
        assert outcome.returncode == 0, outcome.stdout + outcome.stderr
        assert len(list((directory / "clips").glob("*/manifest.jws"))) == run
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
