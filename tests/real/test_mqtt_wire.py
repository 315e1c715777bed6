"""What a link says over MQTT, read by Wireshark's dissector and checked against the published schema documents."""

import json
from collections.abc import Iterator
from pathlib import Path

import jsonschema_rs
import pytest

from edge_agent.contract.model import MAX_MESSAGE_BYTES
from tests.support.link import ROOT, LinkRig, link_rig
from tests.support.operator import clip_params
from tests.support.processes import Processes
from tests.support.uploads import UNIT_ID
from tests.support.wire_capture import Capture, Packet

pytestmark = pytest.mark.real

CONNECT, PUBLISH, SUBSCRIBE = 1, 3, 8
SESSION_EXPIRY, WILL_DELAY = 17, 24
KEEPALIVE_S = 45
WEEK_S = 7 * 24 * 3600


@pytest.fixture
def rig(tmp_path: Path, processes: Processes) -> Iterator[LinkRig]:
    with link_rig(tmp_path, processes, keepalive_s=KEEPALIVE_S) as rig:
        yield rig


@pytest.fixture
def said(tmp_path: Path, processes: Processes, rig: LinkRig) -> list[Packet]:
    """A link's life: a clip delivered, commands refused, a kill, a second start."""
    capture = Capture(tmp_path / "wire.pcapng", rig.broker.port, processes)
    rig.start()
    rig.operator.wait_online()
    clip_id = rig.operator.send("clip.request", clip_params(), role="investigator")
    rig.deliver(clip_id)
    rig.operator.wait_reply(clip_id, "done")
    rig.operator.wait_reply(rig.operator.send("clip.request", {"camera": "none"}, role="investigator"), "rejected")
    rig.operator.send_bytes("command", b"\xff not JSON at all \x00")
    rig.operator.wait_reply(rig.operator.send("coverage.query", coverage_params()), "done")
    rig.operator.wait_reply(rig.operator.send("unit.check", {}), "done")
    rig.kill()
    rig.start()
    rig.operator.wait_online(2)
    reply = rig.operator.wait_reply(rig.operator.send("clip.list", {"limit": 1}), "done")
    capture.end(reply["command_id"])
    assert capture.complaints() == ""
    return capture.packets()


def coverage_params() -> dict[str, object]:
    return {name: value for name, value in clip_params().items() if name in {"camera", "from", "to"}}


def of_unit(said: list[Packet], rig: LinkRig, kind: int) -> list[Packet]:
    """Packets of the link: the operator speaks on the same port, and connects first."""
    packets = [packet for packet in said if packet.kind == kind and packet.to_port == rig.broker.port]
    if kind == PUBLISH:
        return [packet for packet in packets if "/up/" in packet.value("mqtt.topic")]
    return packets


def test_the_wire_is_as_the_contract_says(rig: LinkRig, said: list[Packet]) -> None:
    check_connections([packet for packet in of_unit(said, rig, CONNECT) if packet.value("mqtt.clientid") == UNIT_ID])
    for packet in of_unit(said, rig, SUBSCRIBE):
        assert set(packet.values("mqtt.sub.qos") + packet.values("mqtt.subscription_options_qos")) == {"1"}
    published = of_unit(said, rig, PUBLISH)
    names = {packet.value("mqtt.topic").rsplit("/", 1)[1] for packet in published}
    assert names >= {"status", "position", "health", "coverage", "alarms", "reply", "event"}
    for packet in published:
        check_publication(packet)


def check_connections(connections: list[Packet]) -> None:
    assert len(connections) == 2
    for packet in connections:
        assert packet.value("mqtt.ver") == "5"
        assert packet.value("mqtt.conflag.cleansess") in {"0", "False"}
        assert packet.value("mqtt.kalive") == str(KEEPALIVE_S)
        assert packet.property_of("mqtt.properties", SESSION_EXPIRY) == WEEK_S
        assert packet.value("mqtt.conflag.willflag") in {"1", "True"}
        assert packet.value("mqtt.conflag.qos") == "1"
        assert packet.value("mqtt.conflag.retain") in {"1", "True"}
        assert packet.property_of("mqtt.will_properties", WILL_DELAY) is None
        assert packet.value("mqtt.willtopic").endswith("/up/status")


def check_publication(packet: Packet) -> None:
    topic = packet.value("mqtt.topic")
    name = topic.rsplit("/", 1)[1]
    assert packet.value("mqtt.qos") == "1", topic
    assert (packet.value("mqtt.retain") in {"1", "True"}) == (name not in {"event", "reply", "history"}), topic
    assert len(packet.body) <= MAX_MESSAGE_BYTES, topic
    schema = json.loads((ROOT / "docs" / "schemas" / f"{name}.json").read_text(encoding="utf-8"))
    jsonschema_rs.validator_for(schema).validate(packet.to_object())
