"""A real gpsd whose receiver is played by the test: over TCP, a second at a time, or by gpsfake from a log."""

import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from edge_agent.clock import SystemClock
from tests.support.nmea import Epoch
from tests.support.polling import wait_until
from tests.support.processes import Processes


def program(name: str) -> str:
    """Of Debian's gpsd and gpsd-clients; daemons lie where the path of an ordinary user does not lead."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    assert found is not None, f"{name} is not there: run scripts/setup"
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Receiver:
    """A receiver behind a TCP port: says its epoch every second, to gpsd as to a serial line.

    `epoch` is called at each second; None is silence. `is_frozen` repeats the time and the place of the last one.
    """

    def __init__(self, epoch: Callable[[], Epoch | None], ahead: timedelta = timedelta()) -> None:
        self.epoch = epoch
        self.ahead = ahead
        self.is_frozen = False
        self.raw: bytes | None = None
        self._last = b""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._stop = threading.Event()
        self._lines: list[socket.socket] = []
        self._threads = [
            threading.Thread(target=work, daemon=True, name="receiver") for work in (self._accept, self._talk)
        ]
        for thread in self._threads:
            thread.start()

    def _accept(self) -> None:
        while not self._stop.is_set():
            with suppress(OSError):
                self._lines.append(self._listener.accept()[0])

    def _talk(self) -> None:
        while not self._stop.wait(self._until_next_second_s()):
            said = self._said()
            for line in tuple(self._lines):
                try:
                    line.sendall(said)
                except OSError:
                    self._lines.remove(line)
                    line.close()

    def _until_next_second_s(self) -> float:
        """A tenth of a second after the second, as receivers are."""
        return 1.0 - (SystemClock().wall_us() % 1_000_000) / 1e6 + 0.1

    def _said(self) -> bytes:
        if self.raw is not None:
            return self.raw
        if not self.is_frozen:
            epoch = self.epoch()
            moment = (datetime.now(UTC) + self.ahead).replace(microsecond=0)
            self._last = b"" if epoch is None else epoch.sentences(moment)
        return self._last

    def close(self) -> None:
        self._stop.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for line in self._lines:
            line.close()
        for thread in self._threads:
            thread.join(5)


class Gpsd:
    """gpsd on a port of its own, with a receiver or none."""

    def __init__(self, processes: Processes, receiver: Receiver | None = None) -> None:
        self.port = free_port()
        self._processes = processes
        self._receiver = receiver
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> "Gpsd":
        source = [] if self._receiver is None else [f"tcp://127.0.0.1:{self._receiver.port}"]
        control = ["-F", f"/tmp/gpsd-test-{self.port}.sock"] if not source else []
        self.process = self._processes.start([program("gpsd"), "-N", "-n", "-S", str(self.port), *control, *source])
        wait_until(lambda: is_listening(self.port), what="gpsd listening")
        return self

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)


def start_gpsfake(processes: Processes, log: Path, cycle_s: float) -> int:
    """gpsfake with its own gpsd over a pseudo-terminal, playing a log over and over; the port."""
    port = free_port()
    processes.start(
        [program("gpsfake"), "-q", "-n", "-c", f"{cycle_s}", "-P", str(port), log], stdout=subprocess.DEVNULL
    )
    wait_until(lambda: is_listening(port), what="gpsd of gpsfake listening")
    return port
