"""`csu serve` with a whole unit enrolled at it, and clips asked for over its API."""

import hashlib
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

from csu.cli.enrol import COMMAND_KEYS_FILE, PASSWORD_FILE, write_unit_files
from csu.errors import ServiceUnreachableError
from csu.records import ClipRecord, CommandRecord
from edge_agent.buffer.clip.reader import PartReader, read_plan
from edge_agent.contract.times import format_utc
from edge_agent.errors import FormatError
from edge_agent.evidence.keys import load_or_create_unit_key
from edge_agent.paths import ring_directory
from tests.real.csu_service import CsuService
from tests.support.polling import wait_until
from tests.support.processes import Processes
from tests.support.unit import UNIT_ID, Unit

CLIP_TIMEOUT_S = 150.0


class Centre(CsuService):
    """The service, what it knows of the unit, and clips asked for as an operator."""

    def __init__(self, directory: Path, processes: Processes, *serve: str) -> None:
        super().__init__(directory, processes)
        self._serve = serve

    def serve(self) -> "Centre":
        self.start(*self._serve)
        return self

    def enrol_unit(self, unit: Unit, *, upload_url: str | None = None, **mqtt: object) -> None:
        """Let the unit in and complete its settings."""
        enrolment = self.client.enrol(UNIT_ID, load_or_create_unit_key(unit.data_dir).public_jwk())
        write_unit_files(unit.directory, enrolment)
        broker = f"mqtt://127.0.0.1:{urlsplit(enrolment['mqtt_url']).port}"
        unit.write_settings(
            mqtt={"url": broker, "username": UNIT_ID, "password_file": PASSWORD_FILE, "keepalive_s": 5, **mqtt},
            upload={"url": upload_url or enrolment["upload_url"], "chunk_bytes": 262_144},
            trust={"command_keys_file": COMMAND_KEYS_FILE},
        )

    @property
    def ingest_port(self) -> int:
        return urlsplit(self.client.info().ingest_url).port or 0

    # -- what it hears

    def body(self, topic: str) -> Mapping[str, Any]:
        """The last body of one of the unit's retained topics; empty before the first."""
        for unit in self.client.units():
            if unit.unit_id == UNIT_ID and topic in unit.states:
                return unit.states[topic].body
        return {}

    def wait_online(self) -> None:
        wait_until(lambda: self.body("status").get("state") == "online", what="unit online", timeout_s=90)

    def alarms(self) -> set[tuple[str, str | None]]:
        return {(alarm["name"], alarm.get("camera")) for alarm in self.body("alarms").get("alarms", ())}

    # -- clips

    def ask_clip(self, camera: str, from_us: int, to_us: int) -> str:
        """Ask for a clip; the command's id, which is the clip's."""
        order = {
            "unit_id": UNIT_ID,
            "cmd": "clip.request",
            "params": {"camera": camera, "from": format_utc(from_us), "to": format_utc(to_us)},
            "operator": "a.moreau",
            "reference": "PV 2026/118",
            "purpose": "requisition",
        }
        return self.client.command(order).command_id

    def look(self, clip_id: str) -> tuple[CommandRecord | None, ClipRecord | None]:
        try:
            return self.client.look(clip_id)
        except ServiceUnreachableError:
            return None, None

    def state_of(self, clip_id: str) -> str:
        command, _ = self.look(clip_id)
        return "unreachable" if command is None else command.state

    def wait_verdict(self, clip_id: str, timeout_s: float = CLIP_TIMEOUT_S) -> ClipRecord:
        """The delivered clip with the centre's verdict, once the unit's own reply is final too."""

        def settled() -> ClipRecord | None:
            command, clip = self.look(clip_id)
            if command is not None and command.state in {"rejected", "failed", "cancelled", "expired"}:
                raise AssertionError(f"clip {clip_id} {command.state}: {command.error}")
            if command is None or clip is None or clip.verdict == "pending" or command.state != "done":
                return None
            return clip

        found = wait_until(settled, what=f"verdict on {clip_id}", timeout_s=timeout_s)
        assert found is not None
        return found

    # -- its parts

    def broker_pid(self) -> int:
        """The id of the service's mosquitto."""

        def find() -> int:
            children = psutil.Process(self.process.pid).children()
            return next((child.pid for child in children if child.name() == "mosquitto"), 0)

        return wait_until(find, what="mosquitto")

    def kill_broker(self) -> None:
        psutil.Process(self.broker_pid()).send_signal(signal.SIGKILL)


def planned_sha256s(unit: Unit, camera: str, clip_id: str, timeout_s: float = 60.0) -> dict[str, str]:
    """Digest of each part as the durable plan and the ring's bytes have it, by file name."""
    ring = ring_directory(unit.data_dir, camera)
    plan_file = ring / "plans" / f"{clip_id}.plan"

    def planned() -> dict[str, str]:
        try:
            plan = read_plan(plan_file)
        except FormatError:
            return {}
        found = {}
        for part in plan.parts:
            with PartReader(ring, plan_file, part) as reader:
                found[part.file_name] = hashlib.sha256(b"".join(reader.chunks())).hexdigest()
        return found

    return wait_until(planned, what=f"plan of {clip_id}", timeout_s=timeout_s)


def arrived_sha256s(clip: ClipRecord) -> dict[str, str]:
    """Digest of each delivered part by file name."""
    parts = [path for path in Path(clip.folder).iterdir() if path.suffix == ".mp4"]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in parts}
