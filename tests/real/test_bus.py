"""The centre's MQTT session against real brokers: TLS, refusals, messages stored before they are acknowledged."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from csu.broker import Broker
from csu.bus import Bus
from csu.errors import BrokerError, RegistryError
from csu.mosquitto_program import find_mosquitto
from csu.mqtt_connection import BusSettings, Connection, Message
from edge_agent.clock import SystemClock
from tests.support.authority import Authority, make_authority
from tests.support.polling import until, wait_until
from tests.support.processes import Processes

pytestmark = pytest.mark.real

TOPIC = "csu/v1/nomad-07/up/event"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return make_authority(tmp_path / "ca")


@pytest.fixture
def tls_url(tmp_path: Path, authority: Authority, processes: Processes) -> str:
    """A broker that wants client certificates."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    certificate_file, key_file = authority.issue("broker")
    (tmp_path / "mosquitto.conf").write_text(
        f"listener {port} 127.0.0.1\ncafile {authority.file}\ncertfile {certificate_file}\nkeyfile {key_file}\n"
        f"require_certificate true\nallow_anonymous true\nuser {os.environ.get('USER', 'root')}\n"
    )
    processes.start([find_mosquitto(), "-c", tmp_path / "mosquitto.conf"])

    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    wait_until(listens, what="the broker")
    return f"mqtts://127.0.0.1:{port}"


async def test_both_ends_show_certificates(authority: Authority, tls_url: str) -> None:
    certificate_file, key_file = await asyncio.to_thread(authority.issue, "csu")
    connection = Connection(BusSettings(tls_url, "csu", None, None, authority.file, certificate_file, key_file))
    await connection.open()
    await connection.subscribe(TOPIC)
    await connection.publish(TOPIC, b"x", 60)
    assert (await connection.receive()).payload == b"x"
    await connection.close()


# paho 2.2 leaves a socket whose handshake failed to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_broker_of_an_unknown_authority_is_not_trusted(tls_url: str) -> None:
    connection = Connection(BusSettings(tls_url, "csu"))
    with pytest.raises(BrokerError, match=r"(?i)certificate"):
        await connection.open()
    await connection.close()


async def test_nobody_and_a_wrong_password_are_told(tmp_path: Path) -> None:
    broker = Broker(tmp_path)
    await asyncio.to_thread(broker.start)
    wrong = Connection(BusSettings(broker.url, "csu", "csu", "wrong"))
    with pytest.raises(BrokerError, match="refused"):
        await wrong.open()
    await wrong.close()
    await asyncio.to_thread(broker.stop)
    gone = Connection(BusSettings(broker.url, "csu", "csu", "wrong"))
    with pytest.raises(BrokerError, match=broker.url):
        await gone.open()
    await gone.close()


class Store:
    """What a bus hands its messages to; refuses as long as it is told to."""

    def __init__(self) -> None:
        self.kept: list[bytes] = []
        self.refuses = False
        self.refused = 0
        self.begun = False
        self.going = asyncio.Event()
        self.going.set()

    async def handle(self, message: Message) -> None:
        self.begun = True
        await self.going.wait()
        if self.refuses:
            self.refused += 1
            raise RegistryError("disk full")
        self.kept.append(message.payload)


@asynccontextmanager
async def running_bus(broker: Broker, store: Store) -> AsyncIterator[Bus]:
    password = await asyncio.to_thread(broker.password_of, "csu")
    settings = BusSettings(broker.url, "csu", "csu", password)
    said_once = ("csu/v1/+/up/event", "csu/v1/+/up/reply")
    bus = Bus(settings, said_once, store.handle, lambda: None, SystemClock(), ("csu/v1/+/up/#",))
    task = asyncio.create_task(bus.run())
    await until(lambda: bus.is_connected, what="connection")
    yield bus
    task.cancel()
    await asyncio.wait({task})


@asynccontextmanager
async def running_broker(directory: Path) -> AsyncIterator[Broker]:
    broker = Broker(directory)
    await asyncio.to_thread(broker.start)
    yield broker
    await asyncio.to_thread(broker.stop)


async def test_what_could_not_be_stored_comes_again(tmp_path: Path) -> None:
    store = Store()
    async with running_broker(tmp_path) as broker, running_bus(broker, store) as bus:
        store.refuses = True
        with suppress(BrokerError):  # the refusal may end the connection before the acknowledgement comes
            await bus.publish(TOPIC, b"kept in the end", 60)
        await until(lambda: store.refused, what="the first attempt")
        store.refuses = False
        await until(lambda: store.kept, what="the second attempt")
    assert store.kept == [b"kept in the end"]


async def test_it_connects_again_and_hears_what_it_missed(tmp_path: Path) -> None:
    store = Store()
    async with running_broker(tmp_path) as broker:
        async with running_bus(broker, store) as bus:
            await asyncio.to_thread(broker.kill)
            await until(lambda: not bus.is_connected, what="the end of the connection")
            with pytest.raises(BrokerError, match="not connected"):
                await bus.publish(TOPIC, b"lost", 60)
            await asyncio.to_thread(broker.start)
            await until(lambda: bus.is_connected, what="another connection")
        password = await asyncio.to_thread(broker.add_user, "nomad-07")
        unit = Connection(BusSettings(broker.url, "nomad-07", "nomad-07", password))
        await unit.open()
        for number in range(200):
            await unit.publish(TOPIC, str(number).encode(), 60)
        await unit.close()
        async with running_bus(broker, store):
            await until(lambda: len(store.kept) >= 200, what="what was said meanwhile")
    assert store.kept == [str(number).encode() for number in range(200)]


async def test_a_unit_that_floods_at_qos_0_takes_nothing_from_others(tmp_path: Path) -> None:
    store = Store()
    async with running_broker(tmp_path) as broker, running_bus(broker, store) as bus:
        password = await asyncio.to_thread(broker.add_user, "nomad-08")
        store.going.clear()
        await bus.publish(TOPIC, b"first", 60)
        await until(lambda: store.begun, what="a store that is slow")
        await asyncio.to_thread(flood, broker.port, password)
        words = [str(number).encode() for number in range(100)]
        await asyncio.gather(*(bus.publish(TOPIC, word, 60) for word in words))
        store.going.set()
        await until(lambda: set(words) <= set(store.kept), what="what was said at QoS 1")


def flood(port: int, password: str) -> None:
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="nomad-08", protocol=mqtt.MQTTv5)
    client.username_pw_set("nomad-08", password)
    client.connect("127.0.0.1", port)
    client.loop_start()
    for _ in range(1000):
        client.publish("csu/v1/nomad-08/up/event", b"flood", qos=0)
    client.publish("csu/v1/nomad-08/up/event", b"flood", qos=1).wait_for_publish(30)
    client.disconnect()
    client.loop_stop()


async def test_states_take_no_event_its_place_while_the_centre_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("csu.broker_files.MAX_QUEUED_MESSAGES", 30)
    events = [f"event-{number}".encode() for number in range(8)]
    async with running_broker(tmp_path) as broker:
        await leave_old_session(broker)
        password = await asyncio.to_thread(broker.add_user, "nomad-08")
        async with running_bus(broker, Store()):
            pass
        await asyncio.to_thread(say, broker.port, password, events)
        assert await said_to_a_new_connection(broker, 9) == sorted([b"state-99", *events])
        assert await said_to_a_new_connection(broker, 1) == [b"state-99"]


async def said_to_a_new_connection(broker: Broker, number: int) -> list[bytes]:
    store = Store()
    async with running_bus(broker, store):
        await until(lambda: len(store.kept) >= number, what="what waited and what is retained")
    return sorted(store.kept)


async def leave_old_session(broker: Broker) -> None:
    """As of a centre that had states wait for it too."""
    connection = Connection(BusSettings(broker.url, "csu", "csu", await asyncio.to_thread(broker.password_of, "csu")))
    await connection.open()
    await connection.subscribe("csu/v1/+/up/#")
    await connection.close()


def say(port: int, password: str, events: list[bytes]) -> None:
    """A hundred retained states, then the events."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="nomad-08", protocol=mqtt.MQTTv5)
    client.username_pw_set("nomad-08", password)
    client.connect("127.0.0.1", port)
    client.loop_start()
    for number in range(100):
        client.publish("csu/v1/nomad-08/up/health", f"state-{number}".encode(), qos=1, retain=True)
    for event in events:
        client.publish("csu/v1/nomad-08/up/event", event, qos=1).wait_for_publish(30)
    client.disconnect()
    client.loop_stop()
