"""A unit that follows a script: real MQTT, real uploads of a really recorded clip, no camera."""

import http.client
import queue
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edge_agent.buffer.clip.plan import plan_parts
from edge_agent.buffer.clip.save import save_clip
from edge_agent.buffer.clip.store import write_plan
from edge_agent.clock import SystemClock
from edge_agent.contract.clip import ClipPlan, Interval, Requester
from edge_agent.contract.commands import CommandClaims
from edge_agent.contract.ids import make_uuid7
from edge_agent.contract.jws import SigningKey, TrustedKeys
from edge_agent.contract.messages import Event, Reply, Status
from edge_agent.contract.model import ContractModel
from edge_agent.contract.names import Topics
from edge_agent.contract.upload import (
    PATCH_CONTENT_TYPE,
    TUS_VERSION,
    UploadClaims,
    UploadKind,
    UploadMetadata,
    origin_of,
)
from tests.builders import WALL_US, make_units
from tests.support.polling import wait_until
from tests.support.recording import LinearUtc, rotated

BOOT_ID = "b0" * 16
CLIP_START_US = WALL_US + 1_000_000
CLIP_END_US = WALL_US + 5_000_000
"""Footage that `record_clip` has: four seconds of a day in 2026."""


@dataclass(frozen=True)
class Identity:
    """What `csu enrol` hands out, and the unit's own key."""

    unit_id: str
    key: SigningKey
    mqtt_url: str
    upload_url: str
    password: str
    command_keys: dict[str, Any]
    prefix: str = "csu/v1"


Script = Callable[["FakeUnit", CommandClaims], None]


class FakeUnit:
    """Connects, listens, and runs its script for each command in a thread of its own."""

    def __init__(self, identity: Identity, script: Script, directory: Path) -> None:
        self.identity = identity
        self.directory = directory
        self.commands: list[CommandClaims] = []
        self.receipts: list[dict[str, Any]] = []
        self.begun: set[str] = set()
        """Commands whose script ran, as far as it is a script that runs once."""
        self._script = script
        self._topics = Topics(identity.prefix, identity.unit_id)
        self._trusted = TrustedKeys.from_jwks(identity.command_keys)
        self._clock = SystemClock()
        self._seq = 0
        self._subscribed = threading.Event()
        self._work: queue.Queue[CommandClaims | None] = queue.Queue()
        self._client = self._make_client()

    def start(self) -> None:
        parts = urlsplit(self.identity.mqtt_url)
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho: unannotated
        properties.SessionExpiryInterval = 3600
        self._client.connect(parts.hostname or "", parts.port or 1883, clean_start=False, properties=properties)
        self._client.loop_start()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._subscribed.wait(30), "the broker did not take the unit's subscription"
        self.publish("status", self.online_status(), retain=True)

    def stop(self) -> None:
        self._work.put(None)
        self._thread.join(30)
        self._client.disconnect()
        self._client.loop_stop()

    def online_status(self) -> Status:
        """As of a connection that has just begun."""
        nonce = make_uuid7(self._clock.wall_us())
        return Status(state="online", unit_id=self.identity.unit_id, boot_id=BOOT_ID, nonce=nonce)

    def cut(self) -> None:
        """Fall silent: connect no more, and let the broker notice what it can."""
        self._client.loop_stop()

    def publish(self, name: str, body: ContractModel | bytes, retain: bool = False) -> None:
        payload = body if isinstance(body, bytes) else body.to_json()
        self._client.publish(self._topics.up(name), payload, qos=1, retain=retain)

    def publish_elsewhere(self, topic: str, payload: bytes) -> None:
        self._client.publish(topic, payload, qos=1).wait_for_publish(30)

    def reply(self, command: CommandClaims, state: str, **more: object) -> None:
        self._seq += 1
        body = {
            "unit_id": self.identity.unit_id,
            "boot_id": BOOT_ID,
            "at": self._clock.wall_us(),
            "seq": self._seq,
            "clock_source": "chrony",
            "command_id": command.jti,
            "command": command.cmd,
            "state": state,
        }
        self.publish("reply", Reply.from_object(body | more))

    def event(self, name: str, state: str = "raised") -> Event:
        event = Event.from_object(
            {
                "unit_id": self.identity.unit_id,
                "boot_id": BOOT_ID,
                "at": self._clock.wall_us(),
                "seq": 1,
                "clock_source": "chrony",
                "event_id": make_uuid7(self._clock.wall_us()),
                "name": name,
                "state": state,
            }
        )
        self.publish("event", event)
        return event

    def upload(self, clip_id: str, folder: Path) -> None:
        """Send a saved clip, the manifest last."""
        names = sorted(path.name for path in folder.glob("*.mp4"))
        for index, name in enumerate(names, 1):
            self._send_file(folder / name, self._meta(clip_id, "part", index, name))
        self._send_file(folder / "manifest.jws", self._meta(clip_id, "manifest", 0, "manifest.jws"))

    def _meta(self, clip_id: str, kind: UploadKind, index: int, name: str) -> UploadMetadata:
        return UploadMetadata(clip_id=clip_id, unit_id=self.identity.unit_id, kind=kind, index=index, filename=name)

    def _send_file(self, path: Path, metadata: UploadMetadata) -> None:
        content = path.read_bytes()
        new = {"Upload-Length": str(len(content)), "Upload-Metadata": metadata.to_header()}
        location = self._request("POST", urlsplit(self.identity.upload_url).path, new, None, 201)
        rest = {"Upload-Offset": "0", "Content-Type": PATCH_CONTENT_TYPE}
        self._request("PATCH", urlsplit(location).path, rest, content, 204)

    def _request(self, method: str, path: str, headers: dict[str, str], body: bytes | None, status: int) -> str:
        """Send one request that has to be answered with `status`; the answer's Location."""
        url = urlsplit(self.identity.upload_url)
        head = {"Tus-Resumable": TUS_VERSION, "Authorization": f"Bearer {self._upload_token()}"} | headers
        with closing(http.client.HTTPConnection(url.hostname or "", url.port, timeout=30)) as connection:
            connection.request(method, path, body, head)
            answer = connection.getresponse()
            words = answer.read()
        assert answer.status == status, words
        return str(answer.headers.get("Location", ""))

    def _upload_token(self) -> str:
        now_us = self._clock.wall_us()
        claims = UploadClaims(
            iss=self.identity.unit_id,
            aud=origin_of(self.identity.upload_url),
            iat=now_us // 1_000_000,
            exp=now_us // 1_000_000 + 300,
            jti=make_uuid7(now_us),
        )
        return self.identity.key.sign("upload", claims.to_object())

    def _run(self) -> None:
        while (command := self._work.get()) is not None:
            self._script(self, command)

    def _make_client(self) -> mqtt.Client:
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=self.identity.unit_id, protocol=mqtt.MQTTv5)
        client.username_pw_set(self.identity.unit_id, self.identity.password)
        client.on_connect = self._on_connect
        client.on_subscribe = lambda *_: self._subscribed.set()
        client.on_message = self._on_message
        return client

    def _on_connect(self, client: mqtt.Client, *_: object) -> None:
        client.subscribe(self._topics.down("#"), 1)

    def _on_message(self, _client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        token = message.payload.decode()
        if message.topic == self._topics.down("receipt"):
            self.receipts.append(self._trusted.verify("receipt", token))
            return
        claims = CommandClaims.from_object(self._trusted.verify("command", token))
        self.commands.append(claims)
        self._work.put(claims)


def record_clip(directory: Path, identity: Identity, command: CommandClaims) -> Path:
    """Record, plan, sign and save what a `clip.request` asks for: a folder with parts and manifest."""
    ring = directory / f"ring-{command.jti}"
    ring.mkdir(parents=True)
    segments = rotated(ring, make_units(8), 75)
    asked = Interval.from_object({"start_us": command.params["from"], "end_us": command.params["to"]})
    planned = plan_parts(segments, LinearUtc(), asked)
    plan = ClipPlan(
        clip_id=command.jti,
        unit_id=identity.unit_id,
        camera=command.params["camera"],
        state="planned",
        asked=asked,
        delivered=planned.delivered,
        gaps=planned.gaps,
        parts=planned.parts,
        created_us=SystemClock().wall_us(),
        requester=Requester(
            operator=command.sub, role=command.role, reference=command.reference or "", purpose=command.purpose or ""
        ),
        software_version="0.1.0",
    )
    plan_file = write_plan(ring / "plans", plan, planned.headers)
    save_clip(plan, ring, plan_file, directory / command.jti, identity.key)
    return directory / command.jti


def once(script: Script) -> Script:
    """That script at a command's first copy only: a centre that hears nothing yet sends others."""

    def run(unit: FakeUnit, command: CommandClaims) -> None:
        if command.jti not in unit.begun:
            unit.begun.add(command.jti)
            script(unit, command)

    return run


@once
def deliver(unit: FakeUnit, command: CommandClaims) -> None:
    """A script: accept, upload, wait for the receipt, end as it says."""
    unit.reply(command, "accepted")
    folder = record_clip(unit.directory, unit.identity, command)
    total_bytes = sum(path.stat().st_size for path in folder.glob("*.mp4"))
    unit.reply(command, "running", progress={"sent_bytes": 0, "total_bytes": total_bytes})
    unit.upload(command.jti, folder)
    unit.reply(command, "running", progress={"sent_bytes": total_bytes, "total_bytes": total_bytes})
    receipt = wait_until(lambda: next(iter(unit.receipts), None), what="receipt", timeout_s=120)
    if receipt["verdict"] == "verified":
        unit.reply(command, "done")
    else:
        unit.reply(command, "failed", error={"code": "verification-failed", "message": receipt["reason"]})
