"""A whole unit, or its recorder alone, run from the command line as in the field."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

import psutil

from benchmarks.workspace import Workspace, python, wait_for
from csu.broker import Broker
from edge_agent.buffer.client import call_sync
from edge_agent.clock import SystemClock
from edge_agent.contract.jws import SigningKey
from edge_agent.contract.ring_protocol import RecorderState
from edge_agent.errors import RingError
from edge_agent.paths import ring_directory, ring_socket

UNIT_ID = "bench-01"
CAMERA = "main"
READY_TIMEOUT_S = 90.0


@dataclass(frozen=True, slots=True)
class Unit:
    """The settings and the data directory of a unit.

    Attributes:
        config: its settings file.
        data_dir: its data directory.
    """

    config: Path
    data_dir: Path

    @property
    def ring(self) -> Path:
        """The one camera's ring."""
        return ring_directory(self.data_dir, CAMERA)

    @property
    def socket(self) -> Path:
        """The one camera's socket."""
        return ring_socket(self.data_dir, CAMERA)

    def state(self) -> RecorderState | None:
        """The recorder's figures; None while it does not answer."""
        try:
            return RecorderState.from_object(call_sync(self.socket, {"op": "state"}, SystemClock(), 2.0))
        except RingError:
            return None

    def footage_since(self, begun_us: int) -> Callable[[], RecorderState | None]:
        """A probe: the recorder's figures once a fragment is synced that was recorded after this UTC instant."""

        def synced() -> RecorderState | None:
            state = self.state()
            return state if state is not None and (state.newest_us or 0) > begun_us else None

        return synced

    def record(self, workspace: Workspace, name: str) -> Popen[bytes]:
        """Start the recorder alone and wait until its first fragment is synced."""
        synced = self.footage_since(SystemClock().wall_us())
        process = workspace.start(python("-m", "edge_agent", "record", CAMERA, "--config", self.config), name)
        self.wait(workspace, process, name, synced)
        return process

    def wait(
        self, workspace: Workspace, process: Popen[bytes], name: str, probe: Callable[[], RecorderState | None]
    ) -> RecorderState:
        """Wait for a state; RuntimeError with the program's last words when it ends or the time is over."""

        def alive() -> RecorderState | None:
            if process.poll() is not None:
                raise RuntimeError(f"{name} ended with {process.returncode}:\n{workspace.log_tail(name)}")
            return probe()

        return wait_for(alive, f"{name}: a synced fragment", READY_TIMEOUT_S)


def write_unit(directory: Path, source: str, camera: dict[str, object] | None = None, link: str = "") -> Unit:
    """Write a unit's settings.

    Args:
        directory: new data directory, settings beside it.
        source: of the one camera.
        camera: more keys of the camera.
        link: further tables, such as `LinkSide.tables`.
    """
    values = {"name": CAMERA, "source": source, "min_free_bytes": 0, "max_age_h": 31 * 24} | (camera or {})
    lines = [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    data_dir = directory / "data"
    text = f"[unit]\nid = {json.dumps(UNIT_ID)}\ndata_dir = {json.dumps(str(data_dir))}\n\n[[camera]]\n"
    config = directory / "unit.toml"
    config.write_text(text + "\n".join(lines) + "\n\n" + link, encoding="utf-8")
    return Unit(config, data_dir)


@dataclass(frozen=True, slots=True)
class LinkSide:
    """What a link talks to: a real broker, and the key that signs its commands.

    Attributes:
        broker: started by the caller.
        key: signs commands.
        tables: of the unit's settings.
    """

    broker: Broker
    key: SigningKey
    tables: str


def prepare_link(directory: Path, broker: Broker, upload_url: str) -> LinkSide:
    """Enrol the unit with the broker and make the files that its settings name."""
    key = SigningKey.generate()
    keys_file = directory / "command-keys.jwks"
    keys_file.write_text(json.dumps({"keys": [key.public_jwk()]}), encoding="ascii")
    password_file = directory / "password"
    password_file.write_text(broker.add_user(UNIT_ID), encoding="ascii")
    password_file.chmod(0o600)
    tables: dict[str, dict[str, object]] = {
        "mqtt": {"url": broker.url, "username": UNIT_ID, "password_file": str(password_file)},
        "upload": {"url": upload_url},
        "trust": {"command_keys_file": str(keys_file)},
        "position": {"longitude_deg": 2.3522, "latitude_deg": 48.8566},
    }
    return LinkSide(broker, key, "".join(_table(name, values) for name, values in tables.items()))


def _table(name: str, values: dict[str, object]) -> str:
    lines = "\n".join(f"{key} = {json.dumps(value)}" for key, value in values.items())
    return f"[{name}]\n{lines}\n\n"


def child_running(parent: psutil.Process, words: tuple[str, ...]) -> psutil.Process | None:
    """The child of `edge-agent run` whose command line has these words one after another."""
    for child in parent.children(recursive=True):
        line = child.cmdline()
        if any(tuple(line[at : at + len(words)]) == words for at in range(len(line))):
            return child
    return None


def size_of_segments(unit: Unit) -> int:
    """Bytes of all segment files."""
    return sum(entry.stat().st_size for entry in _files(unit.ring / "segments"))


def _files(directory: Path) -> list[os.DirEntry[str]]:
    found: list[os.DirEntry[str]] = []
    for entry in os.scandir(directory):
        if entry.is_dir():
            found += _files(Path(entry.path))
        else:
            found.append(entry)
    return found
