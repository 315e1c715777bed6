"""A `csu serve` of its own for tests, with enrolled fake units."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from csu.client import Client
from csu.errors import ServiceUnreachableError
from edge_agent.clock import SystemClock
from edge_agent.contract.jws import SigningKey
from tests.real.fake_unit import FakeUnit, Identity, Script
from tests.support.polling import wait_until
from tests.support.processes import Processes

UNIT_ID = "nomad-07"


class CsuService:
    """Starts, kills and restarts the service; runs its command line."""

    def __init__(self, directory: Path, processes: Processes) -> None:
        self.directory = directory
        self._processes = processes
        self._units: list[FakeUnit] = []
        self.client = Client(directory / "csu", SystemClock())

    def start(self, *more: str) -> None:
        """Start it and wait until its API answers."""
        command: list[str | Path] = [sys.executable, "-m", "csu", "serve", "--dir", self.directory / "csu", *more]
        self.process = self._processes.start(command)
        wait_until(self._is_ready, what="csu serve", timeout_s=60)

    def kill(self) -> None:
        """SIGKILL the service."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(30)

    def end(self) -> int:
        """SIGTERM; the exit code."""
        self.process.terminate()
        return self.process.wait(30)

    def enrol(self, unit_id: str = UNIT_ID) -> Identity:
        """Let a unit in."""
        key = SigningKey.generate()
        answer = self.client.enrol(unit_id, key.public_jwk())
        return Identity(
            unit_id, key, answer["mqtt_url"], answer["upload_url"], answer.get("password", ""), answer["command_keys"]
        )

    def unit(self, script: Script, identity: Identity | None = None) -> FakeUnit:
        """An enrolled unit that is connected and follows a script."""
        unit = FakeUnit(identity or self.enrol(), script, self.directory / "unit")
        unit.start()
        self._units.append(unit)
        return unit

    def stop_units(self) -> None:
        """Disconnect all units."""
        for unit in self._units:
            unit.stop()
        self._units.clear()

    def cli(self, *words: str | Path, timeout_s: float = 100) -> "subprocess.CompletedProcess[str]":
        """Run a client of the service."""
        environment = os.environ | {"CSU_DIR": str(self.directory / "csu"), "TZ": "Europe/Paris"}
        command: Sequence[str] = [sys.executable, "-m", "csu", *map(str, words)]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=timeout_s, env=environment, stdin=subprocess.DEVNULL
        )

    def _is_ready(self) -> bool:
        assert self.process.poll() is None, f"csu serve ended with {self.process.returncode}"
        try:
            info = self.client.info()
            return info.pid == self.process.pid and self.client.units() is not None
        except ServiceUnreachableError:
            return False
