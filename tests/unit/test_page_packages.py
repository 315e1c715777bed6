"""What the centre's page takes of npm: what is pinned is served, and what is served stays when npm fails."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = "set -euo pipefail; venv=.venv; . scripts/lib/node.sh"
NPM = """npm() {
    mkdir -p "$2/node_modules/plan/src"
    for name in plan.js LICENSE src/plan.ts; do echo "$words" > "$2/node_modules/plan/$name"; done
}
is_node_new_enough() { :; }"""
"""An npm that fetches one package of three files."""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    root = tmp_path / "a check out"
    shutil.copytree(ROOT / "scripts", root / "scripts")
    page = root / "csu" / "page"
    page.mkdir(parents=True)
    (root / ".cache").mkdir()
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy(ROOT / "csu" / "page" / name, page)
    (page / "served.txt").write_text("plan/LICENSE\nplan/plan.js\n")
    return root


def fetch(root: Path, words: str, *overrides: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["bash", "-c", "\n".join([SOURCE, NPM, *overrides, "require_page_packages"])],
        cwd=root,
        env=os.environ | {"words": words},
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )


def served(root: Path) -> dict[str, str]:
    folder = root / "csu" / "page" / "packages"
    files = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {str(path.relative_to(folder)): path.read_text().strip() for path in files}


def test_only_what_is_listed_is_served(checkout: Path) -> None:
    outcome = fetch(checkout, "first")
    assert outcome.returncode == 0, outcome.stderr
    assert served(checkout) == {"plan/LICENSE": "first", "plan/plan.js": "first"}
    assert list((checkout / ".cache").iterdir()) == [checkout / ".cache" / "npm.log"]


def test_they_are_fetched_again_when_a_pin_changes_and_only_then(checkout: Path) -> None:
    fetch(checkout, "first")
    assert fetch(checkout, "second").returncode == 0
    assert set(served(checkout).values()) == {"first"}
    lock = checkout / "csu" / "page" / "package-lock.json"
    lock.write_text(lock.read_text() + "\n")
    assert fetch(checkout, "second").returncode == 0
    assert set(served(checkout).values()) == {"second"}


@pytest.mark.parametrize("failure", ["npm() { echo no way >&2; false; }", "cp() { [ $1 != --parents ]; }"])
def test_what_was_served_stays_when_it_fails(checkout: Path, failure: str) -> None:
    fetch(checkout, "first")
    with (checkout / "csu" / "page" / "served.txt").open("a") as lines:
        lines.write("plan/src/plan.ts\n")
    assert fetch(checkout, "second", failure).returncode != 0
    assert set(served(checkout).values()) == {"first"}
    assert fetch(checkout, "third").returncode == 0
    assert len(served(checkout)) == 3


def test_without_npm_and_without_an_index_the_remedy_is_named(checkout: Path) -> None:
    bin_folder = checkout / ".venv" / "bin"
    bin_folder.mkdir(parents=True)
    (bin_folder / "python").symlink_to("/bin/false")
    outcome = fetch(checkout, "", "unset -f npm; is_node_new_enough() { false; }")
    assert outcome.returncode == 1
    assert "apt-get install npm" in outcome.stderr
    assert list((checkout / ".cache").glob("node*")) == []


def test_every_package_is_pinned_by_a_hash() -> None:
    for folder in (ROOT / "csu" / "page", ROOT / "tests" / "node"):
        packages = json.loads((folder / "package-lock.json").read_text())["packages"]
        pinned = {name: one for name, one in packages.items() if name}
        assert pinned
        assert all(re.match(r"sha512-", one.get("integrity", "")) for one in pinned.values())
        assert "omit-lockfile-registry-resolved=true" in (folder / ".npmrc").read_text()


def test_a_wheel_carries_the_page_with_its_packages(tmp_path: Path) -> None:
    root = tmp_path / "checkout"
    shutil.copytree(ROOT / "csu", root / "csu", ignore=shutil.ignore_patterns("__pycache__", "packages"))
    (root / "edge_agent").mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", ".gitignore"):
        shutil.copy(ROOT / name, root)
    page = ROOT / "csu" / "page"
    lines = (page / "served.txt").read_text().split()
    for line in lines:
        file = root / "csu" / "page" / "packages" / line
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path / "dist")]
    subprocess.run(command, cwd=root, check=True, capture_output=True, timeout=120)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    expected = {f"csu/page/packages/{line}" for line in lines}
    expected |= {str(path.relative_to(ROOT)) for path in (page / "static").rglob("*") if path.is_file()}
    assert expected <= names
