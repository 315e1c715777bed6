"""A whole unit and its centre on two sides of a mobile network that swallows every packet on request."""

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from csu.broker import Broker
from edge_agent.clock import SystemClock
from edge_agent.contract.names import DEFAULT_PREFIX, Topics, unit_of_topic
from edge_agent.contract.times import format_utc
from edge_agent.evidence.keys import load_or_create_unit_key
from edge_agent.paths import link_directory
from tests.real.csu_service import CsuService
from tests.support.polling import wait_until
from tests.support.processes import Processes
from tests.support.road import CENTRE_ADDRESS, UNIT_ADDRESS, Road, open_road
from tests.support.unit import UNIT_ID, Unit, small_camera

WATCHER = "watcher"
TOPICS = Topics(DEFAULT_PREFIX, UNIT_ID)
HANG_S = 38.0
"""So long a recorder is stopped in its tracks, and the supervisor that would replace it: long enough for an alarm."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done.

    Attributes:
        length_s: from the unit's first contact to its return.
        away_s: so long of it is the line gone.
        kbit_s: rate of the unit's uplink.
        one_way_ms: delay in each direction.
        hang_every_s: a recorder hangs so often while the line is gone.
        keepalive_s: of the unit's session.
    """

    length_s: float = 3600.0
    away_s: float = 3000.0
    kbit_s: int = 256
    one_way_ms: float = 150.0
    hang_every_s: float = 300.0
    keepalive_s: int = 45


@dataclass(frozen=True, slots=True)
class Arrival:
    """One message as a client of the broker saw it; `at_us` is the wall clock then."""

    at_us: int
    name: str
    size_bytes: int
    body: dict[str, Any]


@dataclass(slots=True)
class Watcher:
    """A client of the broker at the centre that remembers what the unit says, and when it came."""

    url: str
    password: str
    arrivals: list[Arrival] = field(default_factory=list)

    @contextmanager
    def listening(self) -> Iterator["Watcher"]:
        """Connected and subscribed; its thread is made here, in the caller's name space."""
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=WATCHER, protocol=mqtt.MQTTv5)
        client.username_pw_set(WATCHER, self.password)
        subscribed = threading.Event()
        client.on_connect = lambda c, *_: c.subscribe(TOPICS.up("#"), 1)
        client.on_subscribe = lambda *_: subscribed.set()
        client.on_message = self._remember
        host, _, port = self.url.removeprefix("mqtt://").partition(":")
        client.connect(host, int(port))
        client.loop_start()
        if not subscribed.wait(20):
            raise RuntimeError("the watcher is not subscribed")
        try:
            yield self
        finally:
            client.disconnect()
            client.loop_stop()

    def _remember(self, _client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        place = unit_of_topic(DEFAULT_PREFIX, message.topic)
        if place is not None and message.payload:
            name, size_bytes = place[1].removeprefix("up/"), len(message.payload)
            self.arrivals.append(Arrival(now_us(), name, size_bytes, json.loads(message.payload)))

    def named(self, name: str, since_us: int = 0) -> list[Arrival]:
        """Arrivals of one topic, in order."""
        return [one for one in list(self.arrivals) if one.name == name and one.at_us >= since_us]


def now_us() -> int:
    """The wall clock."""
    return SystemClock().wall_us()


@dataclass(frozen=True, slots=True)
class Rig:
    """Everything around the road."""

    road: Road
    unit: Unit
    centre: CsuService
    watcher: Watcher

    def cut(self) -> None:
        """Swallow every packet from now on: nobody is told."""
        for address in (CENTRE_ADDRESS, UNIT_ADDRESS):
            self.road.router.ip("route", "add", "blackhole", f"{address}/32")

    def mend(self) -> None:
        """Let packets through again."""
        for address in (CENTRE_ADDRESS, UNIT_ADDRESS):
            self.road.router.ip("route", "delete", "blackhole", f"{address}/32")

    def ask_clip(self, from_us: int, to_us: int) -> str:
        """Ask for footage as an operator; the command's id."""
        with self.road.centre.entered():
            return self.centre.client.command(
                {
                    "unit_id": UNIT_ID,
                    "cmd": "clip.request",
                    "params": {"camera": "main", "from": format_utc(from_us), "to": format_utc(to_us)},
                    "operator": "a.moreau",
                    "reference": "PV 2026/118",
                    "purpose": "requisition",
                }
            ).command_id

    def hang_recorder(self) -> None:
        """Stop the recorder for `HANG_S`, and its supervisor, which would replace it before the alarm."""
        assert self.unit.process is not None
        stopped = [psutil.Process(self.unit.process.pid), psutil.Process(self.unit.pid_of("record main"))]
        for process in stopped:
            process.suspend()
        SystemClock().sleep(HANG_S)
        for process in reversed(stopped):
            process.resume()

    def kept_at_centre(self, since_us: int) -> list[str]:
        """`at` of each sample of health that the centre's service keeps and tells, oldest first."""
        query = f"kind=health&from={format_utc(since_us)}&to={format_utc(now_us())}&limit=1000"
        with self.road.centre.entered():
            answer = self.centre.client._call("GET", f"/v1/units/{UNIT_ID}/history?{query}")  # noqa: SLF001 -- its API has no method for it
        return [sample["at"] for sample in answer["samples"]]

    def waiting(self) -> dict[str, int]:
        """Rows that wait in the link's database, by table."""
        path = link_directory(self.unit.data_dir) / "link.db"
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
            tables = ("events", "history", "history_batches")
            return {name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in tables}


@contextmanager
def open_rig(directory: Path, processes: Processes, plan: Plan) -> Iterator[Rig]:
    """A unit and its centre on two sides of the road, all running and in contact."""
    with ExitStack() as stack:
        road = stack.enter_context(open_road(processes, plan.kbit_s, one_way_ms=plan.one_way_ms))
        with road.centre.entered():
            broker = Broker(directory / "broker", host=CENTRE_ADDRESS, service_users=("csu", WATCHER))
            stack.enter_context(broker)
            centre = CsuService(directory, processes)
            password_file = directory / "csu.password"
            password_file.write_text(broker.password_of("csu"), encoding="utf-8")
            external = ("--broker", broker.url, "--broker-user", "csu", "--broker-password-file", str(password_file))
            centre.start("--host", CENTRE_ADDRESS, *external)
            watcher = stack.enter_context(Watcher(broker.url, broker.password_of(WATCHER)).listening())
            unit = Unit(directory / "unit", processes, [small_camera(bitrate_kbps=200)])
            enrolment = centre.client.enrol(UNIT_ID, load_or_create_unit_key(unit.data_dir).public_jwk())
            _write_settings(unit, broker, enrolment, plan)
        unit.process = unit.spawn("run", prefix=[str(word) for word in road.unit.command()])
        stack.callback(unit.kill_everything)
        unit.wait_recording()
        rig = Rig(road, unit, centre, watcher)
        wait_until(lambda: rig.watcher.named("health"), what="the unit's health at the centre", timeout_s=120)
        yield rig


def _write_settings(unit: Unit, broker: Broker, enrolment: dict[str, Any], plan: Plan) -> None:
    (unit.directory / "mqtt.password").write_text(broker.add_user(UNIT_ID), encoding="utf-8")
    (unit.directory / "keys.json").write_text(json.dumps(enrolment["command_keys"]), encoding="utf-8")
    unit.write_settings(
        mqtt={
            "url": broker.url,
            "username": UNIT_ID,
            "password_file": "mqtt.password",
            "keepalive_s": plan.keepalive_s,
        },
        upload={"url": enrolment["upload_url"]},
        trust={"command_keys_file": "keys.json"},
        position={"longitude_deg": 4.85, "latitude_deg": 45.76},
    )
