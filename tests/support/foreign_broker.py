"""A mosquitto that is not the centre's own."""

import getpass
import subprocess
from pathlib import Path

from csu.mosquitto_program import find_mosquitto, free_port
from tests.support.processes import Processes


class ForeignBroker:
    """Everybody may do everything there; what is retained outlives a kill."""

    def __init__(self, directory: Path, processes: Processes, access: str = "") -> None:
        directory.mkdir()
        self.port = free_port("127.0.0.1")
        self._processes = processes
        self._config = directory / "mosquitto.conf"
        self._config.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\nsys_interval 1\nuser {getpass.getuser()}\n"
            f"persistence true\npersistence_location {directory}/\nautosave_interval 1\nautosave_on_changes true\n"
            + access
        )

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"mqtt://127.0.0.1:{self.port}"

    def start(self) -> "subprocess.Popen[bytes]":
        return self._processes.start([find_mosquitto(), "-c", self._config])
