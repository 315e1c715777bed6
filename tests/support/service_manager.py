"""What systemd is to a unit: a socket that hears sd_notify(3) messages."""

import socket
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.polling import wait_until


class ServiceManager:
    """Listens on a datagram socket and keeps every line."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: list[str] = []
        self._ears = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> Self:
        self._ears.bind(str(self.path))
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as voice:
            voice.sendto(b"", str(self.path))
        self._thread.join(10)
        self._ears.close()

    def _listen(self) -> None:
        while message := self._ears.recv(4096):
            self.lines += message.decode().splitlines()

    def count(self, line: str) -> int:
        return self.lines.count(line)

    def wait_for(self, line: str, times: int = 1, timeout_s: float = 60.0) -> None:
        wait_until(lambda: self.count(line) >= times, what=line, timeout_s=timeout_s)
