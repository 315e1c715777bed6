"""The directory of a demonstration: one at a time, and nothing of other things."""

import fcntl
import os
from pathlib import Path

from csu.errors import CsuSettingsError, DemoError
from edge_agent.clock import Clock
from edge_agent.durable import make_directory, write_file

_MARK = "demo.json"
_END_TIMEOUT_S = 10.0
_POLL_S = 0.2


class DemoFolder:
    """Taken when it is prepared, until `release`."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self.path = path.absolute()
        self._clock = clock
        self._lock: int | None = None

    @property
    def centre(self) -> Path:
        """All that the centre keeps."""
        return self.path / "csu"

    def prepare(self) -> None:
        """Make it, take it, and forget the ports of the last run.

        Raises:
            CsuSettingsError: it holds other things.
            DemoError: another demonstration or another centre works in it.
        """
        if self.path.exists() and any(self.path.iterdir()) and not (self.path / _MARK).exists():
            raise CsuSettingsError(f"--dir {self.path} holds other things; name an empty or a new directory")
        make_directory(self.path)
        self._take()
        write_file(self.path / _MARK, b'{"schema":"demo/1"}\n')
        self._forget_ports()

    def release(self) -> None:
        """Another demonstration may have it."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _take(self) -> None:
        """Lock the directory itself: another demonstration must not be disturbed by this one's start."""
        self._lock = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        if not _is_locked_by_us(self._lock):
            raise DemoError(f"another demonstration runs in {self.path}; end it, or name another --dir")

    def _forget_ports(self) -> None:
        """The unit's settings are written anew each time, so the ports need not be those of the last run."""
        if not self.centre.is_dir():
            return
        deadline_us = self._clock.monotonic_us() + round(_END_TIMEOUT_S * 1e6)
        with (self.centre / "serve.lock").open("ab") as lock:
            # That of a demonstration which was killed a moment ago is just ending.
            while not _is_locked_by_us(lock.fileno()):
                if self._clock.monotonic_us() > deadline_us:
                    raise DemoError(f"a csu serve runs on {self.centre}; end it, or name another --dir")
                self._clock.sleep(_POLL_S)
            for kept in ("ports.json", "broker/port"):
                (self.centre / kept).unlink(missing_ok=True)


def _is_locked_by_us(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
