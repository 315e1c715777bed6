"""More waits at the broker than the Receive Maximum: a centre of many units, a unit of many commands.

mosquitto 2.0 releases a whole further window with each acknowledgement, and sends all of them again at once when the
session is resumed.
"""

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from csu.broker import Broker
from csu.bus import Bus
from csu.mqtt_connection import BusSettings, Message
from edge_agent.clock import SystemClock
from edge_agent.contract.names import DEFAULT_PREFIX, Topics
from tests.support.link import link_rig
from tests.support.operator import FINAL
from tests.support.polling import until, wait_until
from tests.support.processes import Processes

pytestmark = pytest.mark.real

UNITS = [f"unit-{number:03d}" for number in range(100)]
STATES = ("status", "position", "health", "coverage", "alarms")
COMMANDS = 300


class Centre:
    """Stores what a bus hands it, as slowly as a disk does; `connections` counts."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.connections = 0

    def connected(self) -> None:
        self.connections += 1

    async def handle(self, message: Message) -> None:
        await asyncio.sleep(0.003)
        self.kept[message.topic] = message.payload


@asynccontextmanager
async def running(broker: Broker) -> AsyncIterator[Centre]:
    password = await asyncio.to_thread(broker.password_of, "csu")
    centre = Centre()
    settings = BusSettings(broker.url, "csu", "csu", password)
    ups = f"{DEFAULT_PREFIX}/+/up"
    said_once = (f"{ups}/event", f"{ups}/reply")
    bus = Bus(settings, said_once, centre.handle, centre.connected, SystemClock(), (f"{ups}/#",))
    task = asyncio.create_task(bus.run())
    try:
        yield centre
    finally:
        task.cancel()
        await asyncio.wait({task})


def publish_retained(broker: Broker, bodies: dict[str, bytes]) -> None:
    """As all units together would."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="crowd", protocol=mqtt.MQTTv5)
    client.username_pw_set("crowd", broker.password_of("crowd"))
    client.max_inflight_messages_set(20)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    for sent in [client.publish(topic, body, 1, retain=True) for topic, body in bodies.items()]:
        sent.wait_for_publish(60)
        assert sent.is_published()
    client.disconnect()
    client.loop_stop()


async def hear_all_and_an_alarm(broker: Broker, bodies: dict[str, bytes], alarm: bytes) -> None:
    """Over one connection; the alarm becomes one of `bodies`."""
    async with running(broker) as centre:
        await until(lambda: len(centre.kept) >= len(bodies), what="all states", timeout_s=90)
        assert centre.kept == bodies
        topic = Topics(DEFAULT_PREFIX, "unit-003").up("alarms")
        await asyncio.to_thread(publish_retained, broker, {topic: alarm})
        bodies[topic] = alarm
        await until(lambda: centre.kept[topic] == alarm, what="the alarm")
        assert centre.connections == 1


async def test_a_centre_of_a_hundred_units_comes_back(tmp_path: Path) -> None:
    broker = Broker(tmp_path, service_users=("csu", "crowd"))
    await asyncio.to_thread(broker.start)
    try:
        bodies = {Topics(DEFAULT_PREFIX, unit).up(state): unit.encode() * 50 for unit in UNITS for state in STATES}
        await asyncio.to_thread(publish_retained, broker, bodies)
        async with running(broker) as first:
            await until(lambda: len(first.kept) > 100, what="some of them")
        await hear_all_and_an_alarm(broker, bodies, b"camera lost")
        await hear_all_and_an_alarm(broker, bodies, b"disk full")
    finally:
        await asyncio.to_thread(broker.stop)


def test_a_unit_that_many_commands_wait_for_takes_each_once(tmp_path: Path, processes: Processes) -> None:
    with link_rig(tmp_path, processes) as rig:
        link = rig.start()
        rig.operator.wait_online()
        link.send_signal(signal.SIGTERM)
        link.wait(20)
        asked = [rig.operator.send("clip.list", {"limit": 1}) for _ in range(COMMANDS)]
        rig.start()

        def answered() -> Counter[str]:
            return Counter(reply["command_id"] for reply in rig.operator.all("reply") if reply["state"] in FINAL)

        wait_until(lambda: len(answered()) == COMMANDS, what="an answer to each", timeout_s=120)
        assert answered() == Counter(asked)
        assert {reply["state"] for reply in rig.operator.all("reply")} == {"done"}
        online = [body for body in rig.operator.all("status") if body["state"] == "online"]
        assert len(online) == 2
