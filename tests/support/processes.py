"""Programs that a test starts, and their certain end."""

import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

import psutil

_END_TIMEOUT_S = 10.0


class Processes:
    """Starts programs and ends them by their ids, stopped ones and their descendants included."""

    def __init__(self) -> None:
        self._started: list[subprocess.Popen[bytes]] = []

    def start(
        self,
        command: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stdin: int | IO[bytes] | None = subprocess.DEVNULL,
        stdout: int | IO[bytes] | None = subprocess.DEVNULL,
        stderr: int | IO[bytes] | None = None,
        pass_fds: Sequence[int] = (),
    ) -> subprocess.Popen[bytes]:
        """Start `command` in a session of its own; no stdin, and errors to the test's stderr, unless said."""
        process = subprocess.Popen(
            [str(part) for part in command],
            env=env,
            cwd=cwd,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
            pass_fds=pass_fds,
        )
        self._started.append(process)
        return process

    def kill_all(self) -> None:
        """SIGKILL everything that was started and all that it started, and wait for the end of each."""
        descendants = [child for process in self._started for child in _kill_with_descendants(process)]
        for process in self._started:
            process.wait(_END_TIMEOUT_S)
            for pipe in (process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()
        psutil.wait_procs(descendants, timeout=_END_TIMEOUT_S)
        self._started.clear()


def _kill_with_descendants(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """Kill the process before its children, which it could replace otherwise; return the children."""
    if process.poll() is not None:
        return []
    descendants = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    for child in descendants:
        with suppress(psutil.NoSuchProcess):
            child.kill()
    return descendants
