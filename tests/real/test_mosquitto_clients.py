"""mosquitto's own clients as the supervision centre: mosquitto_sub(1) and mosquitto_pub(1) speak MQTT 5 to a link."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_agent.contract.names import DEFAULT_PREFIX, Topics
from tests.support.link import LinkRig, link_rig
from tests.support.operator import make_claims
from tests.support.polling import wait_until
from tests.support.processes import Processes
from tests.support.uploads import UNIT_ID

pytestmark = pytest.mark.real

TOPICS = Topics(DEFAULT_PREFIX, UNIT_ID)


class Clients:
    """The two programs, as the broker's user `csu`, which connects once at a time."""

    def __init__(self, rig: LinkRig, processes: Processes) -> None:
        self._rig = rig
        self._processes = processes
        rig.operator.disconnect()
        self._heard = rig.directory / "heard.jsonl"

    def _options(self, program: str) -> list[str]:
        broker = self._rig.broker
        who = ["-u", "csu", "-P", broker.password_of("csu"), "-i", "csu"]
        return [program, "-V", "5", "-h", "127.0.0.1", "-p", str(broker.port), *who, "-q", "1"]

    def listen(self, topic: str) -> subprocess.Popen[bytes]:
        """Subscribe until killed; a line of JSON a message."""
        with self._heard.open("ab") as heard:
            command = [*self._options("mosquitto_sub"), "-t", topic, "-F", "%J"]
            return self._processes.start(command, stdout=heard)

    def heard(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._heard.read_text(encoding="utf-8").splitlines() if line[-1] == "}"]

    def on(self, name: str) -> list[dict[str, Any]]:
        """What came on `up/<name>`."""
        return [message for message in self.heard() if message["topic"] == TOPICS.up(name)]

    def wait_for(self, name: str, state: str, timeout_s: float = 60) -> dict[str, Any]:
        """The first message on `up/<name>` with this state."""

        def found() -> list[dict[str, Any]]:
            return [message for message in self.on(name) if message["payload"].get("state") == state]

        return wait_until(found, what=f"{name} {state}", timeout_s=timeout_s)[0]

    def count(self, name: str, state: str) -> int:
        """How many messages with this state came on `up/<name>`."""
        return sum(message["payload"].get("state") == state for message in self.on(name))

    def publish(self, cmd: str) -> str:
        """Give a signed command as another service would; its id."""
        command_id, file = self._signed(cmd)
        command = [*self._options("mosquitto_pub"), "-t", TOPICS.down("command"), "-f", str(file)]
        subprocess.run(command, check=True, timeout=30)
        return command_id

    def ask(self, cmd: str, response_topic: str, correlation: str) -> dict[str, Any]:
        """Give a signed command by mosquitto_rr(1) and wait for the answer on a topic of its own."""
        command_id, file = self._signed(cmd)
        body = file.read_text(encoding="ascii")  # given on the line: mosquitto_rr 2.0 sends files garbled
        where = ["-t", TOPICS.down("command"), "-e", response_topic, "-m", body, "-W", "60", "-F", "%J"]
        properties = ["-D", "publish", "correlation-data", correlation]
        command = [*self._options("mosquitto_rr"), *where, *properties]
        answer = subprocess.run(command, check=True, capture_output=True, text=True, timeout=90).stdout
        reply: dict[str, Any] = json.loads(answer)
        assert reply["payload"]["command_id"] == command_id
        return reply

    def _signed(self, cmd: str) -> tuple[str, Path]:
        claims = make_claims(UNIT_ID, cmd, {"limit": 1})
        file = self._rig.directory / "command.jws"
        file.write_text(self._rig.operator.key.sign("command", claims), encoding="ascii")
        return str(claims["jti"]), file


@pytest.fixture
def rig(tmp_path: Path, processes: Processes) -> Iterator[LinkRig]:
    with link_rig(tmp_path, processes) as rig:
        yield rig


@pytest.fixture
def clients(rig: LinkRig, processes: Processes) -> Clients:
    return Clients(rig, processes)


def stop(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait(10)


def test_a_newcomer_gets_what_is_retained_and_nothing_else(rig: LinkRig, clients: Clients) -> None:
    rig.start()
    stop_when_online(clients)
    wait_until(lambda: retained(clients), what="retained topics", timeout_s=60)


def stop_when_online(clients: Clients) -> None:
    listener = clients.listen(TOPICS.up("status"))
    clients.wait_for("status", "online")
    stop(listener)


def retained(clients: Clients) -> bool:
    """Whether a newcomer hears each of the five, retained and at QoS 1, and no event or reply."""
    options = [*clients._options("mosquitto_sub"), "-t", TOPICS.up("#"), "--retained-only", "-W", "2", "-F", "%J"]
    text = subprocess.run(options, capture_output=True, text=True, timeout=30).stdout
    messages = [json.loads(line) for line in text.splitlines()]
    assert all(message["retain"] == 1 and message["qos"] == 1 for message in messages)
    names = {message["topic"].removeprefix(TOPICS.up("")) for message in messages}
    assert names.isdisjoint({"event", "reply", "history"})
    return names >= {"status", "position", "health", "coverage", "alarms"}


def test_the_will_is_told_and_what_was_sent_meanwhile_is_answered(rig: LinkRig, clients: Clients) -> None:
    rig.start()
    listener = clients.listen(TOPICS.up("#"))
    online = clients.wait_for("status", "online")["payload"]
    rig.kill()
    offline = clients.wait_for("status", "offline")["payload"]
    assert (offline["unit_id"], offline["boot_id"]) == (UNIT_ID, online["boot_id"])
    stop(listener)
    command_id = clients.publish("clip.list")
    clients.listen(TOPICS.up("#"))
    wait_until(lambda: clients.count("status", "offline") > 1, what="a subscription")
    rig.start()
    assert clients.wait_for("reply", "done")["payload"]["command_id"] == command_id


def test_a_reply_goes_to_the_response_topic_too(rig: LinkRig, clients: Clients) -> None:
    rig.start()
    stop_when_online(clients)
    reply = clients.ask("clip.list", TOPICS.up("reply/desk-3"), "desk 3, line 7")
    assert reply["topic"] == TOPICS.up("reply/desk-3")
    assert reply["payload"]["state"] == "done"
    assert reply["properties"]["correlation-data"] == "desk 3, line 7"
