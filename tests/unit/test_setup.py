"""`scripts/setup unit` over an environment of another kind: a unit keeps one that works, whatever happens."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = "set -euo pipefail; . scripts/lib/debian.sh; . scripts/lib/python.sh"
EMPTY = "create_environment() { mkdir -p $venv/bin; touch $venv/pyvenv.cfg; }"
"""An environment without a Python in it, made at once."""
BARE = 'create_environment() { "$PYTHON" -m venv --without-pip $venv; }'
TOOL = """install_requirements() {
    printf '#!%s/bin/python\\nimport sys; print(sys.prefix)\\n' "$PWD/$venv" > $venv/bin/edge-agent
    chmod +x $venv/bin/edge-agent
}"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """With the environment of a demonstration."""
    root = tmp_path / "a check out"
    shutil.copytree(ROOT / "scripts", root / "scripts")
    shutil.copytree(ROOT / "requirements", root / "requirements")
    shutil.copy(ROOT / "pyproject.toml", root)
    (root / ".venv" / "bin").mkdir(parents=True)
    (root / ".venv" / ".setup-demo").touch()
    tool = root / ".venv" / "bin" / "edge-agent"
    tool.write_text("#!/bin/sh\necho old\n")
    tool.chmod(0o755)
    return root


def set_up(root: Path, *overrides: str) -> "subprocess.CompletedProcess[str]":
    nothing = root.parent / "no-wheels"
    nothing.mkdir(exist_ok=True)
    index = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(nothing), "PIP_CONFIG_FILE": os.devnull}
    return subprocess.run(
        ["env", "--default-signal=HUP", "bash", "-c", "\n".join([SOURCE, *overrides, "require_environment unit"])],
        cwd=root,
        env=os.environ | index | {"PYTHON": sys.executable, "SETUP_APT": "no"},
        capture_output=True,
        text=True,
        timeout=240,
        stdin=subprocess.DEVNULL,
    )


def says(root: Path) -> str:
    return subprocess.check_output([root / ".venv" / "bin" / "edge-agent"], text=True, timeout=60).strip()


def left_beside(root: Path) -> list[str]:
    return sorted(path.name for path in root.glob(".venv?*"))


def test_without_an_index_the_old_environment_still_works(checkout: Path) -> None:
    outcome = set_up(checkout)
    assert outcome.returncode != 0
    assert "No matching distribution" in outcome.stderr
    assert says(checkout) == "old"
    assert left_beside(checkout) == []


@pytest.mark.parametrize("end", ["kill -TERM $$", "kill -INT $$", "kill -HUP $$", "false"])
@pytest.mark.parametrize("where", ["install_requirements", "sync"])
def test_however_it_ends_early_the_old_environment_still_works(checkout: Path, where: str, end: str) -> None:
    done = "" if where == "install_requirements" else "install_requirements() { :; }"
    outcome = set_up(checkout, EMPTY, done, f"{where}() {{ {end}; }}")
    assert outcome.returncode != 0
    assert says(checkout) == "old"
    assert left_beside(checkout) == []


def test_a_complete_environment_takes_its_place_and_finds_itself(checkout: Path) -> None:
    outcome = set_up(checkout, BARE, TOOL)
    assert outcome.returncode == 0, outcome.stderr
    assert (checkout / ".venv" / ".setup-unit").exists()
    assert not (checkout / ".venv" / ".setup-demo").exists()
    assert left_beside(checkout) == []
    ask = [str(checkout / ".venv" / "bin" / "python"), "-c", "import sys; print(sys.prefix)"]
    assert subprocess.check_output(ask, text=True, timeout=60).strip() == str(checkout / ".venv")
    script = (checkout / ".venv" / "bin" / "edge-agent").read_text()
    assert script.startswith(f"#!{checkout}/.venv/bin/python\n")
    assert ".venv.new" not in (checkout / ".venv" / "pyvenv.cfg").read_text()


def test_a_power_cut_between_the_two_names_is_mended(checkout: Path) -> None:
    (checkout / ".venv").rename(checkout / ".venv.old")
    (checkout / ".venv.new").mkdir()
    assert set_up(checkout, EMPTY, "install_requirements() { false; }").returncode != 0
    assert says(checkout) == "old"
    assert left_beside(checkout) == []
