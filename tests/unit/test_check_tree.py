"""`scripts/check-tree` reads what is, or would be, in the repository, and nothing else."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    root = tmp_path / "checkout"
    (root / "scripts").mkdir(parents=True)
    (root / "requirements").mkdir()
    (root / "requirements" / "unit.txt").write_text("")
    (root / ".venv").symlink_to(ROOT / ".venv")
    shutil.copy(ROOT / "scripts" / "check-tree", root / "scripts")
    shutil.copy(ROOT / ".gitignore", root)
    subprocess.run(["git", "init", "--quiet"], cwd=root, check=True)
    return root


def check(root: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HOME": "/home/somebody"}
    return subprocess.run(["scripts/check-tree"], cwd=root, capture_output=True, text=True, env=environment)


@pytest.mark.parametrize("folder", ["demo-data", "first-look", "centre", "csu-data"])
def test_what_the_documented_commands_leave_behind_is_not_of_the_tree(checkout: Path, folder: str) -> None:
    left = checkout / folder / "csu" / "broker"
    left.mkdir(parents=True)
    (left / "mosquitto.conf").write_text(f"password_file {left}/passwords\n")
    assert check(checkout).returncode == 0


@pytest.mark.parametrize("is_tracked", [False, True])
def test_a_file_that_names_the_machine_fails(checkout: Path, is_tracked: bool) -> None:
    (checkout / "notes.md").write_text("See /home/somebody/notes.\n")
    if is_tracked:
        subprocess.run(["git", "add", "notes.md"], cwd=checkout, check=True)
    outcome = check(checkout)
    assert outcome.returncode == 1
    assert "notes.md" in outcome.stdout


def test_a_lock_file_of_npm_that_names_a_registry_fails(checkout: Path) -> None:
    (checkout / "page").mkdir()
    lock = checkout / "page" / "package-lock.json"
    lock.write_text('{"packages": {"node_modules/a": {"version": "1.0.0", "integrity": "sha512-x"}}}\n')
    assert check(checkout).returncode == 0
    lock.write_text('{"packages": {"node_modules/a": {"resolved": "https://registry.example/a.tgz"}}}\n')
    outcome = check(checkout)
    assert outcome.returncode == 1
    assert "package-lock.json" in outcome.stdout
