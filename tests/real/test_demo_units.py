"""`python -m csu.demo --units N`: the last unit loses its camera and its network, and nothing is left behind."""

import json
import signal
import subprocess
from base64 import urlsafe_b64decode
from pathlib import Path
from typing import Any

import psutil
import pytest

from csu.verify import verify_clip
from edge_agent.contract.jws import TrustedKeys
from edge_agent.evidence.keys import load_or_create_unit_key
from tests.support.demo import demo, left_of
from tests.support.polling import wait_until
from tests.support.processes import Processes

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.timeout(600)]

UNITS = ("nomad-01", "nomad-02", "nomad-03")


def claims_of(folder: Path) -> dict[str, Any]:
    """What a clip's manifest says, not verified."""
    claims: dict[str, Any] = json.loads(urlsafe_b64decode((folder / "manifest.jws").read_text().split(".")[1] + "=="))
    return claims


def test_a_clip_of_each_of_three_units_arrives_and_one_that_was_asked_for_in_vain(tmp_path: Path) -> None:
    directory = tmp_path / "a demo"
    words = demo("--dir", directory, "--units", "3", "--once", "--seconds", "4")
    outcome = subprocess.run(words, capture_output=True, text=True, timeout=550)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    assert left_of(directory) == []
    clips: dict[str, list[Path]] = {unit_id: [] for unit_id in UNITS}
    for folder in sorted((directory / "clips").iterdir()):
        unit_id = claims_of(folder)["unit_id"]
        keys = TrustedKeys.from_jwks(load_or_create_unit_key(directory / unit_id / "data").public_jwk())
        verdict = verify_clip(folder, keys)
        assert verdict.ok, verdict
        clips[unit_id].append(folder)
    assert [len(folders) for folders in clips.values()] == [1, 1, 2]
    longitudes = [
        (directory / unit_id / "unit.toml").read_text().split("longitude_deg = ")[1][:6] for unit_id in UNITS
    ]
    assert len(set(longitudes)) == 3


def start_until_the_network_is_away(directory: Path, processes: Processes) -> tuple["subprocess.Popen[bytes]", int]:
    """A demonstration of two units, and the process that is its line."""
    said = directory.with_suffix(".txt")
    words = demo("--dir", directory, "--units", "2", "--source", "test:", "--once", "--seconds", "2")
    with said.open("wb") as output:
        process = processes.start(words, stdout=output)
    wait_until(
        lambda: "loses its network" in said.read_text() or process.poll() is not None,
        what="a unit without network",
        timeout_s=240,
    )
    assert process.poll() is None, said.read_text()
    children = psutil.Process(process.pid).children()
    (line,) = (child.pid for child in children if "csu.demo.relay" in child.cmdline())
    wait_until(lambda: psutil.Process(line).status() == psutil.STATUS_STOPPED, what="a line that is cut")
    return process, line


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_however_it_ends_a_line_that_is_cut_ends_too(
    tmp_path: Path, processes: Processes, number: signal.Signals, code: int
) -> None:
    directory = tmp_path / "demo"
    process, line = start_until_the_network_is_away(directory, processes)
    process.send_signal(number)
    assert process.wait(60) == code
    wait_until(lambda: left_of(directory) == [], what="the end of all children", timeout_s=60)
    wait_until(lambda: not psutil.pid_exists(line), what="the end of the line", timeout_s=60)
