"""deploy/systemd/edge-agent.service is one that systemd understands and that fits the agent's own times."""

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from edge_agent import supervise
from tests.support.unit import plain_environment

UNIT_FILE = Path(__file__).parents[3] / "deploy" / "systemd" / "edge-agent.service"


def service_section() -> configparser.SectionProxy:
    parser = configparser.ConfigParser(strict=True, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment]  # keys of unit files have capitals
    parser.read(UNIT_FILE, encoding="utf-8")
    return parser["Service"]


def test_its_times_fit_the_supervisor() -> None:
    service = service_section()
    assert service["Type"] == "notify"
    assert service["Restart"] == "always"
    assert service["KillMode"] == "mixed"
    assert float(service["TimeoutStopSec"]) > supervise.STOP_GRACE_S + 1
    assert float(service["WatchdogSec"]) > 4 * supervise.HEARTBEAT_S
    assert float(service["TimeoutStartSec"]) > supervise.EXTEND_START_S


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_understands_it(tmp_path: Path) -> None:
    text = UNIT_FILE.read_text(encoding="utf-8")
    copy = tmp_path / "edge-agent.service"
    copy.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", text, flags=re.MULTILINE), encoding="utf-8")
    verdict = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", copy], capture_output=True, text=True, env=plain_environment()
    )
    assert (verdict.returncode, verdict.stdout + verdict.stderr) == (0, "")
