"""Contact with the broker that is lost in every way: what the centre sees of it, and how the link comes back."""

import asyncio
import itertools
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from csu.broker import Broker
from edge_agent.clock import SystemClock
from edge_agent.contract.upload import origin_of
from edge_agent.settings import MqttSettings
from edge_agent.uplink.paho_wire import PahoWire
from edge_agent.uplink.session import Session
from edge_agent.uplink.wire import Outgoing, WireEvents, WireOptions
from tests.faults.proxy import Proxy
from tests.support.authority import make_authority
from tests.support.link import LinkRig, link_rig
from tests.support.operator import clip_params
from tests.support.polling import until, wait_until
from tests.support.processes import Processes
from tests.support.road import CENTRE_ADDRESS, Road, open_road, require_name_spaces

pytestmark = pytest.mark.real

ROOT = Path(__file__).parents[2]
KEEPALIVE_S = 5
BROKER_LOOKS_S = 7.0
"""mosquitto looks every 6 s for clients that are silent for too long."""
SHOWS_WITHIN_S = 1.5 * KEEPALIVE_S + BROKER_LOOKS_S


@pytest.fixture
def rig(tmp_path: Path, processes: Processes) -> Iterator[LinkRig]:
    with link_rig(tmp_path, processes, keepalive_s=KEEPALIVE_S) as made:
        yield made


@pytest.fixture
def proxy(rig: LinkRig) -> Iterator[Proxy]:
    """Between link and broker; the operator is not behind it."""
    with Proxy("127.0.0.1", urlsplit(rig.broker.url).port or 0) as running:
        rewrite(rig, rig.broker.url, f"mqtt://127.0.0.1:{running.port}")
        yield running


def rewrite(rig: LinkRig, old: str, new: str) -> None:
    text = rig.settings_file.read_text(encoding="utf-8")
    assert old in text
    rig.settings_file.write_text(text.replace(old, new), encoding="utf-8")


def states(rig: LinkRig) -> list[str]:
    return [body["state"] for body in rig.operator.all("status")]


def seconds_until(probe: Any, what: str, timeout_s: float) -> float:  # noqa: ANN401 -- any probe of wait_until
    begun_us = SystemClock().monotonic_us()
    wait_until(probe, what=what, timeout_s=timeout_s)
    return (SystemClock().monotonic_us() - begun_us) / 1e6


def test_no_will_comes_after_the_return(rig: LinkRig, proxy: Proxy) -> None:
    """Its connection ends, for the broker too or for the unit alone, so that it takes its session over."""
    rig.start(hurry=True)
    rig.operator.wait_online()
    for count, end in enumerate((proxy.cut, proxy.strand, proxy.cut, proxy.strand, proxy.strand), 2):
        end()
        rig.operator.wait_online(count)
    SystemClock().sleep(BROKER_LOOKS_S)  # until a will of the connections that were left behind would have come
    assert states(rig)[-1] == "online"
    assert states(rig).count("online") == 6


def test_a_loss_shows_in_time_and_the_return_wins(rig: LinkRig, proxy: Proxy) -> None:
    rig.start()
    rig.operator.wait_online()
    proxy.refuse = True
    proxy.freeze()
    took_s = seconds_until(lambda: "offline" in states(rig), "the loss", 60)
    assert 1.4 * KEEPALIVE_S < took_s < SHOWS_WITHIN_S + 2
    proxy.refuse = False
    rig.operator.wait_online(2)
    command_id = rig.operator.send("unit.check", {})
    assert rig.operator.wait_reply(command_id)["state"] == "done"
    assert states(rig) == ["online", "offline", "online"]


def test_what_was_noted_on_a_half_open_connection_comes_as_history(rig: LinkRig, proxy: Proxy) -> None:
    rig.start(hurry=True)
    rig.operator.wait_online()
    rig.operator.wait_for("health", lambda body: body["storage"]["state"] != "critical")
    proxy.refuse = True
    proxy.freeze()
    rig.ring.storage_ok = False  # while the link still believes in its connection
    wait_until(lambda: proxy.connections > 1, what="the link's doubt", timeout_s=60)
    proxy.refuse = False
    rig.operator.wait_online(2)
    event = rig.operator.wait_for("event", lambda body: body["name"] == "storage-error")
    history = rig.operator.wait_for("history", is_critical)
    names = [name for name, body in rig.operator.received if body in (event, history)]
    assert names.index("event") < names.index("history")


def is_critical(batch: dict[str, Any]) -> bool:
    return "critical" in {sample["storage"]["state"] for sample in batch["samples"]}


@pytest.mark.parametrize("pattern", [bytes(199) + b"\x01", bytes(40) + b"\xff" * 3], ids=["bit", "burst"])
def test_corruption_on_the_way_costs_time_and_nothing_else(
    rig: LinkRig, proxy: Proxy, tmp_path: Path, pattern: bytes
) -> None:
    """Bytes are changed between the link and the ends of its TLS, for messages and for uploads."""
    authority = make_authority(tmp_path / "ca")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*authority.issue("centre"))
    ingest = urlsplit(rig.ingest.centre.url)
    with (
        Proxy("127.0.0.1", urlsplit(rig.broker.url).port or 0, tls=context) as broker_end,
        Proxy("127.0.0.1", ingest.port or 0, tls=context) as ingest_end,
        Proxy("127.0.0.1", broker_end.port) as messages,
        Proxy("127.0.0.1", ingest_end.port) as uploads,
    ):
        rewrite(
            rig,
            f'"mqtt://127.0.0.1:{proxy.port}"',
            f'"mqtts://127.0.0.1:{messages.port}"\nca_file = "{authority.file}"',
        )
        url = rig.ingest.centre.url.replace(origin_of(rig.ingest.centre.url), f"https://127.0.0.1:{uploads.port}")
        rewrite(rig, f'"{rig.ingest.centre.url}"', f'"{url}"\nca_file = "{authority.file}"')
        rig.ingest.centre.ingest.add_origin(origin_of(url))
        rig.start(hurry=True)
        rig.operator.wait_online()
        messages.corrupt_to_server = uploads.corrupt_to_server = pattern
        rig.ring.storage_ok = False
        clip_id = rig.operator.send("clip.request", clip_params())
        wait_until(lambda: messages.connections > 2, what="connections that break", timeout_s=60)
        messages.corrupt_to_server = b""
        wait_until(lambda: uploads.connections > 2, what="uploads that break", timeout_s=60)
        uploads.corrupt_to_server = b""
        rig.deliver(clip_id)
        assert rig.operator.wait_reply(clip_id)["state"] == "done"
        event = rig.operator.wait_for("event", lambda body: body["name"] == "storage-error")
        assert event["state"] == "raised"
        assert {name for name, _ in rig.operator.received} <= {
            *("status", "position", "health", "coverage", "alarms", "event", "reply", "history")
        }


def test_a_slow_way_keeps_its_connection(rig: LinkRig, proxy: Proxy) -> None:
    proxy.delay_s, proxy.throttle_bytes_per_s = 0.4, 16_000
    rig.start()
    rig.operator.wait_online()
    ids = [rig.operator.send("unit.check", {}) for _ in range(4)]
    assert {rig.operator.wait_reply(one)["state"] for one in ids} == {"done"}
    assert proxy.connections == 1


class Nobody:
    async def on_online(self, session_present: bool) -> None:
        """Nothing is published."""


def make_session(url: str, username: str, password_file: Path) -> Session:
    settings = MqttSettings(url=url, username=username, password_file=password_file, keepalive_s=KEEPALIVE_S)

    def factory(options: WireOptions, events: WireEvents, generation: int) -> PahoWire:
        return PahoWire(settings, options, events, generation)

    options = WireOptions(username, Outgoing(f"csu/v1/{username}/up/status", b'{"state":"offline"}'))
    return Session(options, f"csu/v1/{username}/down/#", factory, SystemClock())


async def test_the_brokers_name_leads_elsewhere_and_a_lookup_that_hangs_holds_nobody_up(
    rig: LinkRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A resolver that gives one address, then hangs, then gives another, as after a move of the broker."""
    look_up = socket.getaddrinfo
    answers = itertools.chain(["127.0.0.2"], itertools.repeat("127.0.0.3"))
    hangs, released = threading.Event(), threading.Event()

    def resolve(host: str, *rest: Any, **more: Any) -> Any:  # noqa: ANN401 -- as socket's
        if host != "broker.test":
            return look_up(host, *rest, **more)
        if hangs.is_set():
            released.wait(60)
        return look_up(next(answers), *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    port = urlsplit(rig.broker.url).port or 0
    with (
        Proxy("127.0.0.1", port, ("127.0.0.2", 0)) as before,
        Proxy("127.0.0.1", port, ("127.0.0.3", before.port)) as after,
    ):
        session = make_session(f"mqtt://broker.test:{before.port}", "nomad-07", rig.directory / "password")
        task = asyncio.create_task(session.run(Nobody()))
        await until(lambda: session.is_online, what="online by the first address")
        hangs.set()
        before.refuse = True
        before.cut()
        await until(lambda: not session.is_online, what="the loss")
        await asyncio.sleep(5)
        assert not session.is_online
        released.set()
        await until(lambda: session.is_online, what="online by the second address", timeout_s=60)
        assert (before.connections, after.connections) == (1, 1)
        task.cancel()
        await asyncio.wait({task}, timeout=5)
        assert task.done()


async def test_a_lookup_that_hangs_does_not_keep_the_session_from_ending(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_arguments, **_more: released.wait(60) and [])
    (tmp_path / "password").write_text("x", encoding="utf-8")
    session = make_session("mqtt://broker.test:1883", "nomad-07", tmp_path / "password")
    task = asyncio.create_task(session.run(Nobody()))
    await asyncio.sleep(0.3)
    task.cancel()
    await asyncio.wait({task}, timeout=5)
    assert task.done()
    released.set()


async def online_wire(rig: LinkRig, attempt: int) -> PahoWire:
    """A connection with a will, over which `online` was said."""
    will = Outgoing("csu/v1/nomad-07/up/status", b'{"state":"offline"}', retain=True)
    wire = PahoWire(
        MqttSettings(url=rig.broker.url, username="nomad-07", password_file=rig.directory / "password"),
        WireOptions("nomad-07", will),
        WireEvents(),
        attempt,
    )
    await wire.open()
    await wire.publish(Outgoing(will.topic, b'{"state":"online"}', retain=True))
    return wire


@pytest.mark.parametrize("said_farewell", [False, True])
async def test_an_end_without_a_farewell_leaves_the_will_in_place(rig: LinkRig, said_farewell: bool) -> None:
    """As of a unit that is told to end while a connection begins: its status of the last one says `online`."""
    wire = await online_wire(rig, 1)
    await wire.close(1.0, said_farewell=said_farewell)
    if said_farewell:
        # A will of the connection that ended would come before what the next one says.
        wire = await online_wire(rig, 2)
        await until(lambda: states(rig).count("online") == 2, what="the status of the next one")
        await wire.close(1.0, said_farewell=True)
        assert states(rig) == ["online", "online"]
    else:
        await until(lambda: states(rig) == ["online", "offline"], what="the will")


@pytest.fixture
def spaces(processes: Processes) -> Iterator[Road]:
    require_name_spaces()
    with open_road(processes, 2_000, one_way_ms=5) as road:
        yield road


def test_a_unit_whose_address_changes_connects_anew_at_once(
    spaces: Road, tmp_path: Path, processes: Processes
) -> None:
    """Its mobile network gives it another one: nothing is answered to the old one any more, and nobody says so."""
    with spaces.centre.entered():
        broker = Broker(tmp_path / "broker", host=CENTRE_ADDRESS)
        broker.start()
        (tmp_path / "password").write_text(broker.add_user("nomad-07"), encoding="utf-8")
    try:
        session = ("-m", "tests.support.session_main", broker.url, "nomad-07", tmp_path / "password")
        process = processes.start(spaces.unit.command(sys.executable, *session), cwd=ROOT, stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stdout.readline() == b"online\n"
        begun_us = SystemClock().monotonic_us()
        spaces.unit.ip("address", "flush", "dev", "wire")
        spaces.unit.ip("address", "add", "10.88.0.5/29", "dev", "wire")
        spaces.unit.ip("route", "replace", "default", "via", "10.88.0.2")
        spaces.router.ip("address", "add", "10.88.0.2/29", "dev", "near")
        assert process.stdout.readline() == b"online\n"
        assert SystemClock().monotonic_us() - begun_us < 20e6  # far less than a keep-alive of 45 s
    finally:
        broker.stop()
