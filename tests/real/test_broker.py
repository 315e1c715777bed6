"""Our mosquitto: who may do what, what survives, and its supervision."""

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from csu.broker import Broker
from csu.errors import BrokerError
from csu.mosquitto_program import find_mosquitto
from csu.mqtt_probe import accepts
from tests.support.polling import wait_until
from tests.support.processes import Processes

pytestmark = pytest.mark.real


class Client:
    """A paho client that remembers what it got."""

    def __init__(self, broker: Broker, user: str, password: str, client_id: str | None = None) -> None:
        self.got: list[bytes] = []
        self.closed = threading.Event()
        self._port = broker.port
        self._acked: set[int] = set()
        self._granted: dict[int, bool] = {}
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=client_id or user, protocol=mqtt.MQTTv5, reconnect_on_failure=False
        )
        self._client.username_pw_set(user, password)
        self._client.on_message = lambda _c, _u, message: self.got.append(bytes(message.payload))
        self._client.on_publish = lambda _c, _u, packet_id, _r, _p: self._acked.add(packet_id)
        self._client.on_disconnect = lambda *_: self.closed.set()
        self._client.on_subscribe = lambda _c, _u, packet_id, reasons, _p: self._granted.update(
            {packet_id: not reasons[0].is_failure}
        )

    def open(self) -> "Client":
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho: unannotated
        properties.SessionExpiryInterval = 3600
        self._client.connect("127.0.0.1", self._port, clean_start=False, properties=properties)
        self._client.loop_start()
        wait_until(self._client.is_connected, what="connection")
        return self

    def subscribe(self, topic: str) -> bool:
        _, packet_id = self._client.subscribe(topic, 1)
        assert packet_id is not None
        wait_until(lambda: packet_id in self._granted, what="SUBACK")
        return self._granted[packet_id]

    def publish(self, topic: str, payload: bytes) -> None:
        """Returns with the acknowledgement."""
        self._client.publish(topic, payload, qos=1).wait_for_publish(30)

    def send(self, topic: str, payload: bytes) -> None:
        """Returns at once."""
        self._client.publish(topic, payload, qos=1)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with Broker(tmp_path / "a broker") as broker:
        yield broker


def open_client(broker: Broker, user: str, client_id: str | None = None) -> Client:
    password = broker.password_of("csu") if user == "csu" else broker.add_user(user)
    return Client(broker, user, password, client_id).open()


def test_a_unit_uses_its_own_topics_only(broker: Broker) -> None:
    centre = open_client(broker, "csu")
    assert centre.subscribe("csu/v1/#")
    mine, other = open_client(broker, "nomad-07"), open_client(broker, "nomad-08")
    for topic in ("csu/v1/#", "csu/v1/+/down/#", "csu/v1/nomad-07/up/#", "#"):
        other.subscribe(topic)
    mine.subscribe("csu/v1/nomad-07/down/#")
    centre.publish("csu/v1/nomad-07/down/command", b"for 07")
    other.publish("csu/v1/nomad-07/up/status", b"forged")
    other.publish("csu/v1/nomad-07/down/command", b"forged")
    other.publish("csu/v1/nomad-08/down/command", b"forged")
    mine.publish("csu/v1/nomad-07/up/status", b"mine")
    other.publish("csu/v1/nomad-08/up/status", b"last")
    wait_until(lambda: b"last" in centre.got, what="the last message")
    wait_until(lambda: mine.got, what="the command")
    assert centre.got == [b"for 07", b"mine", b"last"]
    assert mine.got == [b"for 07"]
    assert other.got == []
    for client in (centre, mine, other):
        client.close()


def test_a_wrong_password_and_an_unknown_user_are_refused(broker: Broker) -> None:
    password = broker.add_user("nomad-07")
    assert accepts("127.0.0.1", broker.port, "nomad-07", password)
    assert not accepts("127.0.0.1", broker.port, "nomad-07", password[:-1])
    assert not accepts("127.0.0.1", broker.port, "nomad-08", password)
    broker.remove_user("nomad-07")
    wait_until(lambda: not accepts("127.0.0.1", broker.port, "nomad-07", password), what="the unit shut out")
    with pytest.raises(BrokerError, match="reserved"):
        broker.remove_user("csu")


def test_no_unit_takes_another_ones_session(broker: Broker) -> None:
    mine = open_client(broker, "nomad-07")
    mine.subscribe("csu/v1/nomad-07/down/#")
    thief = open_client(broker, "nomad-08", client_id="nomad-07")
    centre = open_client(broker, "csu")
    centre.publish("csu/v1/nomad-07/down/command", b"for 07")
    wait_until(lambda: mine.got == [b"for 07"], what="the command")
    assert not mine.closed.is_set()
    for client in (mine, thief, centre):
        client.close()


def test_enrolling_leaves_connected_units_alone(broker: Broker) -> None:
    mine = open_client(broker, "nomad-07")
    mine.subscribe("csu/v1/nomad-07/down/#")
    for number in range(8, 12):
        broker.add_user(f"nomad-{number:02}")
    centre = open_client(broker, "csu")
    centre.publish("csu/v1/nomad-07/down/command", b"still there")
    wait_until(lambda: mine.got == [b"still there"], what="the command")
    mine.close()
    centre.close()


def test_what_was_acknowledged_survives_sigkill(broker: Broker) -> None:
    """An acknowledgement that follows proves the message stored: see `csu.broker_files`."""
    password = broker.add_user("nomad-07")
    mine = Client(broker, "nomad-07", password).open()
    mine.subscribe("csu/v1/nomad-07/down/#")
    mine.close()
    sent: list[bytes] = []
    for kill in range(5):
        centre = open_client(broker, "csu")
        for number in range(20):
            sent.append(f"{kill}/{number}".encode())
            centre.publish("csu/v1/nomad-07/down/command", sent[-1])
        centre.publish("csu/v1/nobody/down/command", b"an acknowledgement that follows")
        broker.kill()
        centre.close()
        broker.start()
    mine = Client(broker, "nomad-07", password).open()
    wait_until(lambda: len(mine.got) >= len(sent), what="all commands")
    assert sorted(mine.got) == sorted(sent)
    mine.close()


def test_an_oversized_command_passes_and_a_monster_does_not(broker: Broker) -> None:
    mine = open_client(broker, "nomad-07")
    mine.subscribe("csu/v1/nomad-07/down/#")
    centre, monster = open_client(broker, "csu"), open_client(broker, "nomad-08")
    centre.subscribe("csu/v1/+/up/#")
    centre.publish("csu/v1/nomad-07/down/command", b"x" * 64_000)
    wait_until(lambda: [len(payload) for payload in mine.got] == [64_000], what="the large command")
    monster.send("csu/v1/nomad-08/up/event", b"y" * 200_000)
    wait_until(monster.closed.is_set, what="the end of the connection that sent too much")
    mine.publish("csu/v1/nomad-07/up/event", b"end")
    wait_until(lambda: centre.got == [b"end"], what="what is not too large")
    for client in (mine, centre, monster):
        client.close()


def test_it_comes_back_when_it_dies(broker: Broker) -> None:
    first, port = broker.pid, broker.port
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: _pid(broker) not in {0, first}, what="another mosquitto")
    password = broker.password_of("csu")
    wait_until(lambda: accepts("127.0.0.1", port, "csu", password), what="a broker on the same port")


def test_a_watch_that_fails_is_taken_up_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failures = [OSError(24, "too many open files: so the test wants it")]
    watch = Broker._watch

    def failing_once(broker: Broker) -> None:
        if failures:
            raise failures.pop()
        watch(broker)

    monkeypatch.setattr(Broker, "_watch", failing_once)
    monkeypatch.setattr("csu.broker._CHECK_INTERVAL_S", 0.1)
    with Broker(tmp_path) as broker:
        wait_until(lambda: not failures, what="the failure")
        before = broker.pid
        os.kill(before, signal.SIGKILL)
        wait_until(lambda: _pid(broker) not in {0, before}, what="another mosquitto")


def test_a_broker_that_was_left_behind_is_ended(tmp_path: Path, processes: Processes) -> None:
    broker = Broker(tmp_path)
    broker.start()
    broker.stop()
    left = processes.start([find_mosquitto(), "-c", tmp_path / "mosquitto.conf"])
    password = broker.password_of("csu")
    wait_until(lambda: accepts("127.0.0.1", broker.port, "csu", password), what="the broker that is left behind")
    with broker:
        assert broker.pid != left.pid
        assert left.wait(30) == 0


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(BrokerError, match=f"port {port}"):
            Broker(tmp_path, port=port).start()


def test_an_address_that_is_not_ours_is_told(tmp_path: Path) -> None:
    with pytest.raises(BrokerError, match=r"192\.0\.2\.1"):
        Broker(tmp_path, host="192.0.2.1").start()


def test_a_missing_program_is_named_with_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CSU_MOSQUITTO", str(tmp_path / "mosquitto"))
    with pytest.raises(BrokerError, match="CSU_MOSQUITTO"):
        Broker(tmp_path).start()


def test_reserved_names_are_refused(broker: Broker) -> None:
    for name in ("csu", "_probe", "a:b"):
        with pytest.raises(BrokerError, match="reserved"):
            broker.add_user(name)


def test_start_is_quick_and_keeps_the_port(tmp_path: Path) -> None:
    broker = Broker(tmp_path)
    broker.start()
    port = broker.port
    broker.stop()
    start_s = time.monotonic()
    broker.start()
    assert (broker.port, broker.url) == (port, f"mqtt://127.0.0.1:{port}")
    assert time.monotonic() - start_s < 20
    broker.stop()


def _pid(broker: Broker) -> int:
    try:
        return broker.pid
    except BrokerError:
        return 0
