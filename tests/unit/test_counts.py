"""The closing line of `scripts/test`: what failed in either run is in it, whatever the other one says."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.counts import counted

TESTS = """
import pytest

@pytest.fixture
def broken():
    raise OSError

def test_good():
    pass

@pytest.mark.skipif(True, reason="a count of it")
def test_left_out():
    pass

@pytest.mark.parametrize("number", range(3))
def test_bad(number, request):
    if number == 1:
        request.getfixturevalue("broken")
    assert number == 2
"""


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Of a run with each outcome, and of one in which all is well."""
    tmp_path = tmp_path_factory.mktemp("runs")
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_it.py").write_text(TESTS)
    files = [tmp_path / "one.xml", tmp_path / "two.xml"]
    for file, words in zip(files, ([], ["-k", "good"]), strict=True):
        command = [sys.executable, "-m", "pytest", "-q", str(tmp_path), f"--junit-xml={file}", *words]
        subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=120, stdin=subprocess.DEVNULL)
    return files


def test_both_runs_are_counted(reports: list[Path]) -> None:
    line, code = counted(reports)
    assert line.startswith("3 passed, 2 failed, 1 skipped in ")
    assert code == 1
    line, code = counted(reports[1:])
    assert line.startswith("1 passed, 0 failed, 0 skipped in ")
    assert code == 0


@pytest.mark.parametrize("left", [None, b"", b"<testsuites><testsuite tes", b"\x00garbage"])
def test_a_run_that_broke_off_is_no_success(reports: list[Path], tmp_path: Path, left: bytes | None) -> None:
    if left is not None:
        (tmp_path / "nothing.xml").write_bytes(left)
    line, code = counted([reports[1], tmp_path / "nothing.xml"])
    assert line.startswith("1 passed, 1 failed")
    assert code == 1


def test_a_run_that_could_not_begin_is_one_that_was_skipped(reports: list[Path]) -> None:
    line, code = counted([reports[1]], ["scripts/test-picamera2"])
    assert line.startswith("1 passed, 0 failed, 1 skipped in ")
    assert code == 0
