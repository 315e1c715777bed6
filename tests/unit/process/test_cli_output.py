"""Commands whose output nobody reads any more end silently, as other tools do."""

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.cli_output import EXIT_UNREAD, EXIT_UNWRITTEN, run_read_or_not

SETTINGS = '[unit]\nid = "nomad-07"\ndata_dir = "data"\n[[camera]]\nname = "main"\nsource = "test:"\n'


@pytest.fixture
def unread() -> Iterator[int]:
    """The writing end of a pipe that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


@pytest.fixture
def settings_file(tmp_path: Path) -> Path:
    path = tmp_path / "unit.toml"
    path.write_text(SETTINGS, encoding="utf-8")
    return path


def edge_agent(*words: str, stdout: int, stderr: int = subprocess.PIPE, buffered: bool = True) -> tuple[int, str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    command = [sys.executable, *([] if buffered else ["-u"]), "-m", "edge_agent", *words]
    done = subprocess.run(command, stdout=stdout, stderr=stderr, text=True, env=environment, timeout=60)
    return done.returncode, done.stderr or ""


@pytest.mark.parametrize("buffered", [True, False], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize("word", ["identity", "status", "check"])
def test_output_that_nobody_reads_ends_a_command_silently(
    unread: int, settings_file: Path, word: str, buffered: bool
) -> None:
    outcome = edge_agent(word, "--config", str(settings_file), stdout=unread, buffered=buffered)
    assert outcome == (EXIT_UNREAD, "")


@pytest.mark.parametrize("word", ["--help", "--version"])
def test_help_that_nobody_reads_ends_silently(unread: int, word: str) -> None:
    assert edge_agent(word, stdout=unread) == (EXIT_UNREAD, "")


def test_a_complaint_that_nobody_reads_ends_a_command_too(unread: int, tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.toml")
    assert edge_agent("status", "--config", missing, stdout=subprocess.DEVNULL, stderr=unread) == (EXIT_UNREAD, "")


@pytest.mark.parametrize(
    ("words", "buffered"),
    [(["identity", "--config"], True), (["identity", "--config"], False), (["--version"], True)],
)
def test_output_that_does_not_fit_ends_a_command_with_one_sentence(
    settings_file: Path, words: list[str], buffered: bool
) -> None:
    more = [str(settings_file)] if len(words) > 1 else []
    with Path("/dev/full").open("wb") as full:  # every write to it fails (full(4))
        code, said = edge_agent(*words, *more, stdout=full.fileno(), buffered=buffered)
    assert (code, said) == (EXIT_UNWRITTEN, "standard output cannot be written: No space left on device\n")


def test_a_commands_own_full_disk_is_not_standard_outputs() -> None:
    def fail() -> int:
        raise OSError(errno.ENOSPC, "of the ring")

    with pytest.raises(OSError, match="of the ring"):
        run_read_or_not(fail)


def test_a_command_without_standard_output_works(settings_file: Path) -> None:
    command = 'exec "$0" -m edge_agent identity --config "$1" >&-'
    done = subprocess.run(
        ["sh", "-c", command, sys.executable, str(settings_file)], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_another_broken_pipe_is_a_defect_as_before() -> None:
    def fail() -> int:
        raise BrokenPipeError

    assert run_read_or_not(lambda: 3) == 3
    with pytest.raises(BrokenPipeError):
        run_read_or_not(fail)
    assert EXIT_UNREAD == 141
