"""Connections that are encrypted, refused, silent, or to nobody; a link whose broker is stopped in its tracks."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from csu.mosquitto_program import find_mosquitto
from edge_agent import paho_connection
from edge_agent.clock import SystemClock
from edge_agent.errors import BrokerUnavailableError, ConnectionLostError
from edge_agent.link import run_link
from edge_agent.mqtt_options import ConnectionOptions
from edge_agent.settings import MqttSettings
from edge_agent.settings_file import load_settings
from edge_agent.uplink import paho_wire
from edge_agent.uplink.paho_wire import PahoWire
from edge_agent.uplink.wire import Outgoing, WireEvents, WireOptions
from tests.support.authority import Authority, make_authority
from tests.support.link import LinkRig, link_rig
from tests.support.operator import clip_params
from tests.support.polling import until, wait_until
from tests.support.processes import Processes

pytestmark = pytest.mark.real

WILL = Outgoing("csu/v1/nomad-07/up/status", b"offline", retain=True)


def make_wire(settings: MqttSettings) -> PahoWire:
    return PahoWire(settings, WireOptions("nomad-07", WILL), WireEvents(), 1)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return make_authority(tmp_path / "ca")


@pytest.fixture
def tls_url(tmp_path: Path, authority: Authority, processes: Processes) -> str:
    """A broker that wants client certificates."""
    port = free_port()
    certificate_file, key_file = authority.issue("broker")
    config = tmp_path / "mosquitto.conf"
    config.write_text(
        f"listener {port} 127.0.0.1\ncafile {authority.file}\ncertfile {certificate_file}\nkeyfile {key_file}\n"
        f"require_certificate true\nallow_anonymous true\nuser {os.environ.get('USER', 'root')}\n",
        encoding="utf-8",
    )
    processes.start([find_mosquitto(), "-c", config])
    wait_until(lambda: listens(port), what="the broker")
    return f"mqtts://127.0.0.1:{port}"


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def test_both_ends_show_certificates(authority: Authority, tls_url: str) -> None:
    certificate_file, key_file = authority.issue("nomad-07")
    settings = MqttSettings(url=tls_url, ca_file=authority.file, certificate_file=certificate_file, key_file=key_file)
    wire = make_wire(settings)
    assert await wire.open() is False
    await wire.subscribe("csu/v1/nomad-07/down/#")
    assert await wire.publish(Outgoing("csu/v1/nomad-07/up/status", b"x"))
    await wire.close(5, said_farewell=True)


# paho 2.2 leaves a socket whose handshake failed to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_broker_of_another_authority_is_not_trusted(
    tmp_path: Path, authority: Authority, tls_url: str
) -> None:
    certificate_file, key_file = authority.issue("nomad-07")
    stranger = make_authority(tmp_path / "stranger")
    settings = MqttSettings(url=tls_url, ca_file=stranger.file, certificate_file=certificate_file, key_file=key_file)
    with pytest.raises(BrokerUnavailableError, match="is not trusted"):
        await make_wire(settings).open()


async def open_and_subscribe(wire: PahoWire) -> None:
    await wire.open()  # TLS 1.3: the client learns of its refusal after its own handshake
    await wire.subscribe("x")


async def test_a_unit_without_certificate_is_not_let_in(authority: Authority, tls_url: str) -> None:
    wire = make_wire(MqttSettings(url=tls_url, ca_file=authority.file))
    with pytest.raises((BrokerUnavailableError, ConnectionLostError)):
        await open_and_subscribe(wire)


@pytest.mark.parametrize("name", ["ca_file", "certificate_file", "password_file"])
async def test_a_missing_file_is_said_and_tried_again(tmp_path: Path, name: str) -> None:
    settings = MqttSettings.model_validate(
        {"url": "mqtts://127.0.0.1:1", "username": "nomad-07", name: tmp_path / "missing"}
    )
    with pytest.raises(BrokerUnavailableError, match="No such file"):
        await make_wire(settings).open()


@pytest.mark.parametrize("host", ["127.0.0.1:1", "nowhere.invalid:1883", "x" * 70 + ":1883"])
async def test_nobody_there(host: str) -> None:
    with pytest.raises(BrokerUnavailableError):
        await make_wire(MqttSettings(url=f"mqtt://{host}")).open()


@asynccontextmanager
async def server_that(answer: bytes) -> AsyncIterator[str]:
    """A TCP server that says `answer` and then nothing."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"mqtt://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x20\xff\xff\xff\xff\xff", b"\x20\x03\x00"]
)
async def test_a_server_that_is_no_broker(answer: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paho_connection, "_CONNECT_TIMEOUT_S", 2.0)
    monkeypatch.setattr(paho_wire, "ConnectionOptions", partial(ConnectionOptions, answer_timeout_s=1.0))
    async with server_that(answer) as url:
        wire = make_wire(MqttSettings(url=url))
        with pytest.raises(BrokerUnavailableError):
            await wire.open()
        await wire.close(1, said_farewell=False)


@pytest.fixture
def rig(tmp_path: Path, processes: Processes) -> Iterator[LinkRig]:
    with link_rig(tmp_path, processes) as made:
        yield made


def test_sigterm_ends_in_time_though_the_broker_is_stopped(rig: LinkRig) -> None:
    process = rig.start()
    rig.operator.wait_online()
    os.kill(rig.broker.pid, signal.SIGSTOP)
    try:
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    finally:
        os.kill(rig.broker.pid, signal.SIGCONT)


async def test_the_whole_link_never_blocks_its_loop(rig: LinkRig) -> None:
    """In this process, where the blocking-call detector watches the loop."""
    settings = await asyncio.to_thread(load_settings, rig.settings_file)
    link = asyncio.create_task(run_link(settings, SystemClock()))
    await asyncio.to_thread(rig.operator.wait_online)
    clip_id = await asyncio.to_thread(rig.operator.send, "clip.request", clip_params())
    await asyncio.to_thread(rig.deliver, clip_id)
    check_id = await asyncio.to_thread(rig.operator.send, "unit.check", {})
    assert (await asyncio.to_thread(rig.operator.wait_reply, clip_id))["state"] == "done"
    assert (await asyncio.to_thread(rig.operator.wait_reply, check_id))["state"] == "done"
    await until(lambda: not rig.ring.clips, what="release of the pin")
    os.kill(os.getpid(), signal.SIGTERM)
    await link
