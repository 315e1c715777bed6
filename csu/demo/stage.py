"""What runs in a demonstration, and what is said about it: processes that are started here are ended here."""

import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from csu.children import bound
from csu.client import Client
from csu.demo.folder import DemoFolder
from csu.errors import DemoError
from edge_agent.clock import Clock

_POLL_S = 0.2
_END_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class _Part:
    name: str
    process: "subprocess.Popen[bytes]"
    log: Path


class Stage:
    """The directory, the clock, the centre's client, and the processes."""

    def __init__(self, folder: DemoFolder, clock: Clock) -> None:
        self.folder = folder
        self.clock = clock
        self.client = Client(folder.centre, clock)
        self._start_us = clock.monotonic_us()
        self._parts: list[_Part] = []

    def say(self, text: str) -> None:
        """A step, with the time since the start."""
        print(f"{(self.clock.monotonic_us() - self._start_us) / 1e6:6.1f} s  {text}", flush=True)

    def log_of(self, name: str) -> Path:
        """Where a process of this name writes."""
        return self.folder.path / f"{name}.log"

    def start(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        descriptors: Sequence[int] = (),
        when_we_end: signal.Signals = signal.SIGTERM,
    ) -> int:
        """Start a process that ends with this one.

        Args:
            name: of its log, and in messages.
            command: its words.
            descriptors: what it inherits.
            when_we_end: what the kernel sends it when this process ends; SIGKILL reaches a stopped one too.

        Returns:
            Its id.
        """
        # Settings of the caller's own unit must not leak into this one.
        environment = {key: value for key, value in os.environ.items() if not key.startswith("EDGE_")}
        with self.log_of(name).open("wb") as output:
            process = subprocess.Popen(
                bound(command, when_we_end),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=environment,
                pass_fds=descriptors,
            )
        self._parts.append(_Part(name, process, self.log_of(name)))
        return process.pid

    def wait(self, what: str, probe: Callable[[], bool], timeout_s: float, why: Callable[[], str] = str) -> None:
        """Ask `probe` until it says yes.

        Raises:
            DemoError: a process ended, or the time is over; with what `why` says then.
        """
        deadline_us = self.clock.monotonic_us() + round(timeout_s * 1e6)
        while not probe():
            self.check()
            if self.clock.monotonic_us() > deadline_us:
                reason = f" ({why()})" if why() else ""
                logs = ", ".join(str(part.log) for part in self._parts)
                raise DemoError(f"waited {timeout_s:.0f} s for {what} in vain{reason}; look into {logs}")
            self.clock.sleep(_POLL_S)

    def pause(self, duration_s: float) -> None:
        """Let things go on for a while.

        Raises:
            DemoError: a process ended.
        """
        end_us = self.clock.monotonic_us() + round(duration_s * 1e6)
        while self.clock.monotonic_us() < end_us:
            self.check()
            self.clock.sleep(_POLL_S)

    def check(self) -> None:
        """Raise DemoError when a process ended."""
        for part in self._parts:
            code = part.process.poll()
            if code is not None:
                raise DemoError(f"the {part.name} ended with code {code}: {_last_line(part.log)} (all in {part.log})")

    def stop(self) -> None:
        """End what was started, the last first; by force what does not end."""
        for part in reversed(self._parts):
            self._end(part)
        self._parts.clear()
        self.folder.release()

    def _end(self, part: _Part) -> None:
        process = part.process
        if process.poll() is None:
            process.terminate()
            process.send_signal(signal.SIGCONT)  # one that is stopped would not end
        try:
            process.wait(_END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.say(f"the {part.name} does not end; killing it")
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # its own group: what it left behind
        process.wait()


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"
