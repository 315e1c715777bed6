"""`python -m csu.demo` for tests, and what it left behind."""

import sys
from pathlib import Path

import psutil


def demo(*words: str | Path) -> list[str]:
    """The command; Ctrl-C ends it, even where whoever runs the tests in the background ignores that."""
    return ["env", "--default-signal=INT", sys.executable, "-m", "csu.demo", *map(str, words)]


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
