"""1,000 messages a second of nonsense on `down/command` of a whole unit: `python -m benchmarks.flood [--seconds 30]`.

What must not move: the recording (no frame dropped, no gap), the memory of recorder and link, answers to valid
commands in the midst of it; and the centre hears of it a few times, not thousands of times.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from csu.broker import Broker
from edge_agent.clock import SystemClock
from edge_agent.contract.jws import SigningKey
from edge_agent.contract.names import DEFAULT_PREFIX, Topics
from tests.support.nonsense import nonsense
from tests.support.operator import Operator, make_claims
from tests.support.polling import wait_until
from tests.support.processes import Processes
from tests.support.unit import UNIT_ID, Unit, small_camera

FLOODER = "flooder"
TOPICS = Topics(DEFAULT_PREFIX, UNIT_ID)
RATE = 1_000
_BURSTS_A_SECOND = 20
_ASK_EVERY_S = 2.0
_MB = 1_000_000


@dataclass(slots=True)
class Watched:
    """Memory of one process: what it had, and the most that it had since."""

    process: psutil.Process
    before_bytes: int = 0
    most_bytes: int = 0

    def look(self) -> None:
        """Take a reading."""
        now_bytes = self.process.memory_info().rss
        self.before_bytes = self.before_bytes or now_bytes
        self.most_bytes = max(self.most_bytes, now_bytes)

    @property
    def grown_bytes(self) -> int:
        """How much more it had at most."""
        return self.most_bytes - self.before_bytes


@dataclass(frozen=True, slots=True)
class Rig:
    """A unit that records and obeys, and two clients of its broker."""

    unit: Unit
    operator: Operator
    flooder: mqtt.Client


@dataclass(slots=True)
class Result:
    """What came of the flood."""

    sent: int = 0
    seconds: float = 0.0
    asked: list[str] = field(default_factory=list)
    grown_mb: dict[str, float] = field(default_factory=dict)
    dropped_units: int = 0
    events: int = 0
    refusals: int = 0
    unanswered: int = 0

    def to_object(self) -> dict[str, Any]:
        """For the report."""
        return {
            "messages": self.sent,
            "a_second": round(self.sent / self.seconds),
            "commands_asked": len(self.asked),
            "commands_unanswered": self.unanswered,
            "grown_mb": self.grown_mb,
            "dropped_units": self.dropped_units,
            "events_said": self.events,
            "refusals_said": self.refusals,
        }


@contextmanager
def open_rig(directory: Path, processes: Processes) -> Iterator[Rig]:
    """Everything runs, and the operator is answered."""
    key = SigningKey.generate()
    unit = Unit(directory / "unit", processes, [small_camera()])
    with Broker(directory / "broker", service_users=("csu", FLOODER)) as broker:
        (unit.directory / "mqtt.password").write_text(broker.add_user(UNIT_ID), encoding="utf-8")
        (unit.directory / "keys.json").write_text(json.dumps({"keys": [key.public_jwk()]}), encoding="utf-8")
        unit.write_settings(
            mqtt={"url": broker.url, "username": UNIT_ID, "password_file": "mqtt.password"},
            upload={"url": "http://127.0.0.1:9/files/"},
            trust={"command_keys_file": "keys.json"},
        )
        operator = Operator(broker.url, "csu", broker.password_of("csu"), TOPICS, key)
        operator.connect()
        flooder = _connect(broker)
        try:
            unit.start()
            operator.wait_online()
            yield Rig(unit, operator, flooder)
        finally:
            unit.kill_everything()
            operator.disconnect()
            flooder.disconnect()
            flooder.loop_stop()


def _connect(broker: Broker) -> mqtt.Client:
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=FLOODER, protocol=mqtt.MQTTv5)
    client.username_pw_set(FLOODER, broker.password_of(FLOODER))
    client.connect(broker.host, broker.port)
    client.loop_start()
    return client


def flood(rig: Rig, seconds: float) -> Result:
    """Send nonsense, ask now and then, and look at what moves."""
    clock, result, bodies = SystemClock(), Result(), nonsense(UNIT_ID)
    watched = {name: Watched(psutil.Process(pid)) for name, pid in rig.unit.pids().items()}
    _ask(rig, result)
    wait_until(lambda: rig.operator.replies(result.asked[0]), what="an answer before the flood")
    for one in watched.values():
        one.look()
    begun_us = clock.monotonic_us()
    while (passed_s := (clock.monotonic_us() - begun_us) / 1e6) < seconds:
        for _ in range(max(round(passed_s * RATE) + RATE // _BURSTS_A_SECOND - result.sent, 0)):
            rig.flooder.publish(TOPICS.down("command"), next(bodies), 0)
            result.sent += 1
        if passed_s > len(result.asked) * _ASK_EVERY_S:
            _ask(rig, result)
        for one in watched.values():
            one.look()
        clock.sleep(1 / _BURSTS_A_SECOND)
    result.seconds = (clock.monotonic_us() - begun_us) / 1e6
    _settle(rig, result, watched)
    return result


def _ask(rig: Rig, result: Result) -> None:
    claims = make_claims(UNIT_ID, "clip.list", {})
    rig.operator.send_claims(claims)
    result.asked.append(str(claims["jti"]))


def _settle(rig: Rig, result: Result, watched: dict[str, Watched]) -> None:
    def unanswered() -> list[str]:
        return [one for one in result.asked if not rig.operator.replies(one)]

    wait_until(lambda: not unanswered(), what="answers to all valid commands", timeout_s=60)
    result.unanswered = len(unanswered())
    for name, one in watched.items():
        one.look()
        result.grown_mb[name] = round(one.grown_bytes / _MB, 1)
    result.dropped_units = rig.unit.state().dropped_units
    result.events = len(rig.operator.all("event"))
    result.refusals = sum(body["state"] == "rejected" for body in rig.operator.all("reply"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; 1 when something moved."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.flood")
    parser.add_argument("--seconds", type=float, default=30.0, help="how long (default: %(default)g)")
    options = parser.parse_args(arguments)
    processes = Processes()
    with tempfile.TemporaryDirectory(prefix="flood-") as directory:
        try:
            with open_rig(Path(directory), processes) as rig:
                result = flood(rig, options.seconds)
                rig.unit.end()
                rig.unit.check_unbroken("main")
        finally:
            processes.kill_all()
    print(json.dumps(result.to_object(), indent=2))
    moved = result.dropped_units or any(grown > 30 for grown in result.grown_mb.values())
    return 1 if moved else 0


if __name__ == "__main__":
    sys.exit(main())
