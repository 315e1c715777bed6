"""A supervision centre of few words: what a unit publishes, and signed commands to it."""

import json
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edge_agent.contract.ids import make_uuid7
from edge_agent.contract.jws import SigningKey
from edge_agent.contract.names import Topics
from edge_agent.contract.times import format_utc
from tests.support.polling import wait_until

FINAL = {"done", "failed", "rejected", "cancelled"}


def now_us() -> int:
    return time.time_ns() // 1000


def make_claims(unit_id: str, cmd: str, params: dict[str, Any], **changes: object) -> dict[str, Any]:
    """Claims of a command that would be carried out now."""
    now_s = now_us() // 1_000_000
    claims = {
        "iss": "csu-test",
        "aud": unit_id,
        "jti": make_uuid7(now_us()),
        "iat": now_s,
        "exp": now_s + (20 if cmd == "unit.check" else 600),
        "sub": "a. moreau",
        "role": "operator",
        "cmd": cmd,
        "params": params,
        "reference": "PV 2026/118",
        "purpose": "requisition",
    }
    return {name: value for name, value in (claims | changes).items() if value is not None}


def clip_params(**changes: object) -> dict[str, Any]:
    start_us = now_us() - 60_000_000
    return {"camera": "main", "from": format_utc(start_us), "to": format_utc(start_us + 10_000_000)} | changes


def _send_at_once(_client: mqtt.Client, _data: object, connection: object) -> None:
    assert isinstance(connection, socket.socket)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


@dataclass(slots=True)
class Operator:
    """Connected to a broker as the centre; remembers everything under the unit's `up/`."""

    broker_url: str
    username: str
    password: str
    topics: Topics
    key: SigningKey
    received: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    correlations: list[tuple[str, bytes | None]] = field(default_factory=list)
    _client: mqtt.Client | None = None

    def connect(self) -> None:
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=self.username, protocol=mqtt.MQTTv5)
        client.username_pw_set(self.username, self.password)
        client.reconnect_delay_set(1, 1)
        subscribed = threading.Event()
        client.on_connect = lambda c, *_: c.subscribe(self.topics.up("#"), 1)
        client.on_subscribe = lambda *_: subscribed.set()
        client.on_socket_open = _send_at_once
        client.on_message = self._remember
        parts = urlsplit(self.broker_url)
        client.connect(parts.hostname or "", parts.port or 1883, clean_start=True)
        client.loop_start()
        self._client = client
        assert subscribed.wait(20), "the operator is not subscribed"

    def disconnect(self) -> None:
        if self._client is not None:
            self._client.disconnect()
            self._client.loop_stop()

    def _remember(self, _client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        name = message.topic.removeprefix(self.topics.up(""))
        if message.payload:
            self.correlations.append((name, getattr(message.properties, "CorrelationData", None)))
            self.received.append((name, json.loads(message.payload)))

    # -- reading

    def all(self, name: str) -> list[dict[str, Any]]:
        return [body for topic, body in list(self.received) if topic == name]

    def last(self, name: str) -> dict[str, Any] | None:
        found = self.all(name)
        return found[-1] if found else None

    def replies(self, command_id: str) -> list[dict[str, Any]]:
        return [body for body in self.all("reply") if body["command_id"] == command_id]

    def wait_for(self, name: str, test: Callable[[dict[str, Any]], bool], timeout_s: float = 60) -> dict[str, Any]:
        found = wait_until(lambda: [body for body in self.all(name) if test(body)], what=name, timeout_s=timeout_s)
        return found[0]

    def wait_online(self, count: int = 1, timeout_s: float = 60) -> None:
        wait_until(
            lambda: sum(body["state"] == "online" for body in self.all("status")) >= count,
            what=f"online {count} times",
            timeout_s=timeout_s,
        )

    def wait_reply(self, command_id: str, *states: str, timeout_s: float = 60) -> dict[str, Any]:
        wanted = set(states) or FINAL
        return self.wait_for(
            "reply", lambda body: body["command_id"] == command_id and body["state"] in wanted, timeout_s
        )

    # -- writing

    def send(self, cmd: str, params: dict[str, Any], **changes: object) -> str:
        """Send a signed command; its id."""
        claims = make_claims(self.topics.unit_id, cmd, params, **changes)
        self.send_claims(claims)
        return str(claims["jti"])

    def send_claims(self, claims: dict[str, Any], **properties: object) -> None:
        self.send_bytes("command", self.key.sign("command", claims).encode(), **properties)

    def send_receipt(self, clip_id: str, sha256: str, verdict: str = "verified", **changes: object) -> None:
        claims = {
            "schema": "receipt/1",
            "aud": self.topics.unit_id,
            "clip_id": clip_id,
            "sha256": sha256,
            "verdict": verdict,
            "iat": now_us() // 1_000_000,
        }
        self.send_bytes("receipt", self.key.sign("receipt", claims | changes).encode())

    def send_bytes(self, name: str, body: bytes, **properties: object) -> None:
        assert self._client is not None
        extra = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho: unannotated
        for key, value in properties.items():
            setattr(extra, key, value)
        info = self._client.publish(self.topics.down(name), body, 1, properties=extra)
        info.wait_for_publish(30)
        assert info.is_published(), f"{name} was not taken by the broker"
