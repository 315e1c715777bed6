"""`scripts/test` and the tests that need a system of their own: skipped where they cannot run, never silently."""

import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.support.polling import wait_until

ROOT = Path(__file__).parents[2]
CANNOT_RUN = 77
REPORT = '<testsuites><testsuite tests="{}" failures="{}" errors="0" skipped="0" time="1"/></testsuites>'
PYTHON = f"""#!/bin/sh
# Writes the report of a run of pytest; what else is asked of Python is real.
[ "$2" = pytest ] || exec {sys.executable} "$@"
for word in "$@"; do
    case $word in --junit-xml=*) echo '{REPORT.format(2, 0)}' > "${{word#*=}}" ;; esac
done
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """With the scripts, and nothing behind them."""
    root = tmp_path / "a check out"
    shutil.copytree(ROOT / "scripts", root / "scripts")
    (root / "tests" / "support").mkdir(parents=True)
    for name in ("__init__.py", "counts.py"):
        shutil.copy(ROOT / "tests" / "support" / name, root / "tests" / "support")
    (root / ".cache" / "picamera2" / "out").mkdir(parents=True)
    (root / ".venv" / "bin").mkdir(parents=True)
    write_script(root / ".venv" / "bin" / "python", PYTHON)
    write_script(root / "scripts" / "setup", "#!/bin/sh\n")
    return root


def write_script(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def run_all(root: Path, picamera2: str, v4l2: str) -> "subprocess.CompletedProcess[str]":
    """Run `scripts/test`, where the scripts of the two do what is given."""
    write_script(root / "scripts" / "test-picamera2", f"#!/bin/sh\n{picamera2}\n")
    write_script(root / "scripts" / "test-v4l2", f"#!/bin/sh\n{v4l2}\n")
    return run(root, ["scripts/test"])


def run(root: Path, command: list[str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command, cwd=root, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, check=False
    )


def writes(report: str, tests: int, failures: int, code: int = 0) -> str:
    return f"echo '{REPORT.format(tests, failures)}' > {report}; exit {code}"


PICAMERA2, V4L2 = ".cache/picamera2/out/picamera2.xml", ".cache/tests-v4l2.xml"


def test_all_runs_are_counted_in_the_last_line(checkout: Path) -> None:
    outcome = run_all(checkout, writes(PICAMERA2, 20, 0), writes(V4L2, 8, 0))
    assert outcome.stdout.splitlines()[-1] == "32 passed, 0 failed, 0 skipped in 4s"
    assert outcome.returncode == 0


def test_what_cannot_run_here_is_named_and_counted_as_skipped(checkout: Path) -> None:
    why = f"echo 'needs root' >&2; exit {CANNOT_RUN}"
    outcome = run_all(checkout, why, why.replace("root", "qemu"))
    *before, last = outcome.stdout.splitlines()
    assert last == "4 passed, 0 failed, 2 skipped in 2s"
    assert [line.split(":")[0] for line in before[-2:]] == ["scripts/test-picamera2", "scripts/test-v4l2"]
    assert "needs root" in outcome.stderr
    assert "needs qemu" in outcome.stdout
    assert outcome.returncode == 0


@pytest.mark.parametrize("which", ["picamera2", "v4l2"])
def test_a_test_that_fails_there_fails_the_run(checkout: Path, which: str) -> None:
    scripts = {"picamera2": writes(PICAMERA2, 20, 0), "v4l2": writes(V4L2, 8, 0)}
    report = {"picamera2": PICAMERA2, "v4l2": V4L2}[which]
    outcome = run_all(checkout, **scripts | {which: writes(report, 5, 1, code=1)})
    assert " 1 failed, " in outcome.stdout.splitlines()[-1]
    assert outcome.returncode == 1


AWAITS_THE_OTHER = "until [ -s .cache/begun ]; do sleep 0.05; done"


def test_they_run_side_by_side(checkout: Path) -> None:
    """The first, which is timed by its camera, while the second yields to it."""
    outcome = run_all(
        checkout,
        f"{AWAITS_THE_OTHER}; {writes(PICAMERA2, 20, 0)}",
        f"nice > .cache/begun; {writes(V4L2, 8, 0)}",
    )
    assert outcome.returncode == 0, outcome.stdout
    assert (checkout / ".cache" / "begun").read_text() == "19\n"


def test_an_interrupted_run_leaves_nothing_behind(checkout: Path) -> None:
    outcome = run_all(checkout, f"{AWAITS_THE_OTHER}; kill -TERM $PPID", "echo $$ > .cache/begun; exec sleep 600")
    assert outcome.returncode != 0
    beside = int((checkout / ".cache" / "begun").read_text())
    wait_until(lambda: not psutil.pid_exists(beside), what="the end of what ran beside")


def test_a_script_that_breaks_off_without_a_report_fails_the_run(checkout: Path) -> None:
    (checkout / PICAMERA2).write_text(REPORT.format(20, 0))  # of the run before
    outcome = run_all(checkout, "exit 1", writes(V4L2, 8, 0))
    assert outcome.stdout.splitlines()[-1] == "12 passed, 1 failed, 0 skipped in 3s"
    assert outcome.returncode == 1


@pytest.mark.parametrize(
    ("broken", "code"),
    [
        ("unshare() { return 1; }; require_root", CANNOT_RUN),
        ("require_debian_packages() { exit 1; }; require_tree", CANNOT_RUN),
        ("debian_base() { echo no mirror; return 1; }; require_tree", CANNOT_RUN),
        ("debian_base() { mkdir -p $1; }; fill_tree() { echo a wrong digest; return 1; }; require_tree", 1),
    ],
)
def test_only_what_the_machine_lacks_is_a_reason_to_skip(checkout: Path, broken: str, code: int) -> None:
    source = "set -euo pipefail; . scripts/lib/debian.sh; . scripts/lib/picamera2.sh"
    usual = "tree_stamp() { echo 1; }; require_debian_packages() { :; }"
    outcome = run(checkout, ["bash", "-c", f"{source}; {usual}; {broken}"])
    assert outcome.returncode == code, outcome.stderr
    assert ("skipped: " in outcome.stderr) is (code == CANNOT_RUN)
    assert not (checkout / ".cache" / "picamera2" / "tree").exists()
