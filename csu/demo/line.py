"""A unit's network, which can be taken away and given back."""

import os
import signal
import socket
import sys
from typing import Any

from yarl import URL

from csu.demo.stage import Stage

_HOST = "127.0.0.1"
"""Of the centre too, whose addresses differ in the port alone."""


class Line:
    """Stands between one unit and its centre; everything the unit says goes through it."""

    def __init__(self, stage: Stage, name: str) -> None:
        """Its ports are taken at once, since the centre has to know that of its ingest when it starts."""
        self._stage = stage
        self._name = name
        self._ends = {key: socket.create_server((_HOST, 0)) for key in ("mqtt_url", "upload_url")}
        self._pid = 0

    @property
    def ingest_origin(self) -> str:
        """Where the unit reaches the ingest."""
        return f"http://{_HOST}:{self._port('upload_url')}"

    def lead(self, enrolment: dict[str, Any]) -> dict[str, Any]:
        """Start it; the enrolment with addresses of the line instead of the centre's."""
        addresses = {key: URL(enrolment[key]) for key in self._ends}
        roads = [f"{self._ends[key].fileno()}:{address.port}" for key, address in addresses.items()]
        self._pid = self._stage.start(
            self._name,
            [sys.executable, "-m", "csu.demo.relay", *roads],
            descriptors=[end.fileno() for end in self._ends.values()],
            when_we_end=signal.SIGKILL,  # a line that is away is stopped, and would heed no other signal
        )
        led = {key: str(address.with_port(self._port(key))) for key, address in addresses.items()}
        self.close()
        return enrolment | led

    def cut(self) -> None:
        """From now on nothing comes through, and nobody is told."""
        os.kill(self._pid, signal.SIGSTOP)

    def mend(self) -> None:
        """What waited comes through."""
        os.kill(self._pid, signal.SIGCONT)

    def close(self) -> None:
        """Leave the ports to the relay, if it was started."""
        for end in self._ends.values():
            end.close()

    def _port(self, key: str) -> int:
        return int(self._ends[key].getsockname()[1])
