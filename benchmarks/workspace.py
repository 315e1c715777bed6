"""A temporary directory, the programs started in it, and their certain end."""

import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen
from typing import TypeVar

from tests.support.processes import Processes

Outcome = TypeVar("Outcome")

_POLL_S = 0.005


@dataclass(slots=True)
class Workspace:
    """What one run of the benchmarks uses.

    Attributes:
        root: temporary; everything that is written lies in it.
        quick: shorter and rougher.
        minutes: how long those watch that watch for long; None for their own length.
        shared: things that several benchmarks use, made by the first that asks.
    """

    root: Path
    quick: bool
    minutes: float | None = None
    processes: Processes = field(default_factory=Processes)
    shared: dict[str, Path] = field(default_factory=dict)

    def directory(self, name: str) -> Path:
        """A fresh directory."""
        path = self.root / name
        path.mkdir(parents=True)
        return path

    def once(self, name: str, make: Callable[[Path], None]) -> Path:
        """The file `name`, made at the first call."""
        if name not in self.shared:
            path = self.root / name
            make(path)
            self.shared[name] = path
        return self.shared[name]

    def start(self, command: Sequence[str | Path], name: str) -> Popen[bytes]:
        """Start a program; its output goes to a log in the workspace."""
        with (self.root / f"{name}.log").open("ab") as log:
            return self.processes.start(command, stdout=log, stderr=log)

    def log_tail(self, name: str) -> str:
        """The last lines of a program's log."""
        path = self.root / f"{name}.log"
        return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-20:])


@contextmanager
def open_workspace(quick: bool, parent: Path | None, minutes: float | None = None) -> Iterator[Workspace]:
    """A workspace that is gone, with all its processes, when the block is left."""
    root = Path(tempfile.mkdtemp(prefix="edge-agent-bench-", dir=parent))
    workspace = Workspace(root, quick, minutes)
    try:
        yield workspace
    finally:
        workspace.processes.kill_all()
        shutil.rmtree(root)


def wait_for(probe: Callable[[], Outcome | None], what: str, timeout_s: float = 60.0) -> Outcome:
    """The probe's first result that is not None; RuntimeError that names `what` when the time is over."""
    deadline_s = time.monotonic() + timeout_s
    while (outcome := probe()) is None:
        if time.monotonic() > deadline_s:
            raise RuntimeError(f"{what}: not within {timeout_s:g} s")
        time.sleep(_POLL_S)
    return outcome


def end(process: Popen[bytes], timeout_s: float = 15.0) -> None:
    """SIGTERM, and wait."""
    process.terminate()
    process.wait(timeout_s)


def python(*arguments: str | Path) -> list[str | Path]:
    """A command line of this interpreter."""
    return [sys.executable, *arguments]
