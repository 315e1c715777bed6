"""A link process between a real broker, a made-up recorder and an ingest."""

import asyncio
import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from csu.broker import Broker
from edge_agent.contract.jws import SigningKey
from edge_agent.contract.manifest import MANIFEST_FILE_NAME
from edge_agent.contract.names import DEFAULT_PREFIX, Topics
from edge_agent.evidence.keys import load_or_create_unit_key
from tests.support.fake_recorder import FakeRecorder, FakeRing
from tests.support.operator import Operator
from tests.support.polling import wait_until
from tests.support.processes import Processes
from tests.support.uploads import UNIT_ID, Centre, running_ingest, trusted

ROOT = Path(__file__).parents[2]


class IngestThread:
    """An ingest on a loop of its own."""

    def __init__(self, directory: Path, key: SigningKey) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="ingest", daemon=True)
        self._thread.start()
        self._context: AbstractAsyncContextManager[Centre] = running_ingest(directory, {UNIT_ID: trusted(key)})
        self._listening = True
        self.centre = asyncio.run_coroutine_threadsafe(self._context.__aenter__(), self._loop).result(20)

    def stop_listening(self) -> None:
        """Nobody is behind the upload URL any more."""
        if self._listening:
            self._listening = False
            asyncio.run_coroutine_threadsafe(self._context.__aexit__(None, None, None), self._loop).result(20)

    def end(self) -> None:
        self.stop_listening()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@dataclass
class LinkRig:
    """Everything around a link, and the link's process."""

    directory: Path
    data_dir: Path
    broker: Broker
    operator: Operator
    ring: FakeRing
    recorder: FakeRecorder
    ingest: IngestThread
    processes: Processes
    settings_file: Path
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def arrived(self) -> list[tuple[str, str, Path]]:
        return self.ingest.centre.arrived

    def wait_arrival(self, clip_id: str) -> str:
        """Wait until the ingest has the clip; the digest of its manifest."""
        found = wait_until(lambda: [folder for _, clip, folder in self.arrived if clip == clip_id], what="arrival")
        return hashlib.sha256((found[0] / MANIFEST_FILE_NAME).read_bytes()).hexdigest()

    def deliver(self, clip_id: str) -> str:
        """Wait for the clip and send the receipt; the digest of its manifest."""
        digest = self.wait_arrival(clip_id)
        self.operator.send_receipt(clip_id, digest)
        return digest

    def start(self, die_at: str | None = None, *, hurry: bool = False) -> "subprocess.Popen[bytes]":
        """Start the link; see `link_main`."""
        command = [sys.executable, "-m", "tests.support.link_main", str(self.settings_file)]
        environment = os.environ | {"LINK_HURRY": "1"} if hurry else None
        self.process = self.processes.start([*command, *([die_at] if die_at else [])], cwd=ROOT, env=environment)
        return self.process

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(20)


def write_settings(path: Path, tables: dict[str, dict[str, Any]]) -> None:
    lines: list[str] = []
    for name, table in tables.items():
        lines.append(f"[[{name}]]" if name == "camera" else f"[{name}]")
        lines += [f"{key} = {_toml(value)}" for key, value in table.items()]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{key} = {_toml(inner)}' for key, inner in value.items())} }}"
    return json.dumps(str(value) if isinstance(value, Path) else value)


@contextmanager
def link_rig(directory: Path, processes: Processes, **mqtt: object) -> Iterator[LinkRig]:
    """A broker, an operator, a recorder and an ingest; the link is not started yet."""
    data_dir = directory / "data"
    data_dir.mkdir()
    unit_key, centre_key = load_or_create_unit_key(data_dir), SigningKey.generate()
    ingest = IngestThread(directory / "ingest", unit_key)
    ring = FakeRing(data_dir)
    recorder = FakeRecorder(ring)
    recorder.start()
    with Broker(directory / "broker") as broker:
        password_file, keys_file = directory / "password", directory / "keys.json"
        password_file.write_text(broker.add_user(UNIT_ID), encoding="utf-8")
        keys_file.write_text(json.dumps({"keys": [centre_key.public_jwk()]}), encoding="utf-8")
        settings_file = directory / "unit.toml"
        write_settings(
            settings_file,
            {
                "unit": {"id": UNIT_ID, "data_dir": data_dir},
                "camera": {"name": "main", "source": "test:"},
                "mqtt": {"url": broker.url, "username": UNIT_ID, "password_file": password_file, "keepalive_s": 5}
                | mqtt,
                "upload": {"url": ingest.centre.url},
                "trust": {"command_keys_file": keys_file},
                "position": {"longitude_deg": 4.85, "latitude_deg": 45.76},
            },
        )
        topics = Topics(DEFAULT_PREFIX, UNIT_ID)
        operator = Operator(broker.url, "csu", broker.password_of("csu"), topics, centre_key)
        operator.connect()
        rig = LinkRig(directory, data_dir, broker, operator, ring, recorder, ingest, processes, settings_file)
        try:
            yield rig
        finally:
            processes.kill_all()
            operator.disconnect()
            recorder.end()
            ingest.end()
