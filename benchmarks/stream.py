"""From a unit's MQTT message to the event of it on `/v1/stream`, beside 99 other units; and pages of long lists."""

import http.client
import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks.measure import median, percentile
from benchmarks.row import Row
from benchmarks.workspace import Workspace
from csu import stored_clips, stored_commands, stored_units
from csu.registry_schema import STEPS
from edge_agent.contract.messages import PointGeometry, Position, PositionProperties
from edge_agent.contract.names import Topics
from tests.real.csu_service import CsuService
from tests.real.fake_unit import FakeUnit
from tests.support.foreign_broker import ForeignBroker

_UNITS = 100
_TIMES = 200
_QUICK_TIMES = 30
_GAP_S = 0.15
_ROWS = 100_000
_BAR_MS = 50.0
_PAGE_BAR_MS = 10.0


def run(workspace: Workspace) -> Iterator[Row]:
    """One position at a time, and a page of a hundred out of 100,000 rows."""
    times = _QUICK_TIMES if workspace.quick else _TIMES
    directory = workspace.directory("stream")
    broker = ForeignBroker(directory / "broker", workspace.processes)
    broker.start()
    service = CsuService(directory, workspace.processes)
    service.start("--broker", broker.url)
    units = [service.unit(lambda *_: None, service.enrol(f"nomad-{number:03}")) for number in range(_UNITS)]
    events_ms, peer_ms = _measure(service, units, times)
    service.stop_units()
    service.end()
    yield Row(
        name="a unit's message to its event on the stream, p95",
        ours=percentile(events_ms, 95),
        unit="ms",
        peer=percentile(peer_ms, 95),
        peer_name="a bare MQTT subscriber of the same broker that writes each message to a file and syncs it",
        judge="difference",
        bar=_BAR_MS,
        note=f"{_UNITS} units online, {times} positions one after another; p50 {median(events_ms):.1f} ms; stored and"
        " synced first, then 20 ms in which further messages of the unit are taken together",
    )
    yield from _pages(workspace.directory("lists") / "registry.db")


def _measure(service: CsuService, units: list[FakeUnit], times: int) -> tuple[list[float], list[float]]:
    events, peers = _Heard(), _Heard()
    address = urlsplit(service.client.info().api_url)
    token = (service.directory / "csu" / "api.token").read_text()
    with closing(http.client.HTTPConnection(address.hostname or "", address.port, timeout=60)) as connection:
        connection.request("GET", "/v1/stream", headers={"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        threading.Thread(target=_listen, args=(answer, events), daemon=True).start()
        peer = _subscribe(units[0], peers)
        sent_s: dict[float, float] = {}
        for number in range(times):
            longitude_deg = 2 + number / 1000
            sent_s[longitude_deg] = time.perf_counter()
            units[number % 7].publish("position", _position(longitude_deg), retain=True)
            time.sleep(_GAP_S)
        time.sleep(1)
        peer.disconnect()
        peer.loop_stop()
    return events.since(sent_s), peers.since(sent_s)


class _Heard:
    """When each place was heard of first."""

    def __init__(self) -> None:
        self._at_s: dict[float, float] = {}

    def note(self, longitude_deg: float) -> None:
        self._at_s.setdefault(longitude_deg, time.perf_counter())

    def since(self, sent_s: dict[float, float]) -> list[float]:
        return [(self._at_s[place] - at_s) * 1e3 for place, at_s in sent_s.items() if place in self._at_s]


def _listen(answer: http.client.HTTPResponse, heard: _Heard) -> None:
    try:
        for line in answer:
            if line.startswith(b'data: {"unit_id"'):
                place = json.loads(line[6:]).get("place")
                if place:
                    heard.note(place["longitude_deg"])
    except (OSError, ValueError, AttributeError):
        return  # the connection was closed


def _subscribe(unit: FakeUnit, heard: _Heard) -> mqtt.Client:
    """The peer: the units' own client library, told of nothing but positions."""
    parts = urlsplit(unit.identity.mqtt_url)
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="peer", protocol=mqtt.MQTTv5)
    descriptor = os.open(unit.directory.parent / "peer", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def keep(_client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        os.write(descriptor, message.payload)
        os.fdatasync(descriptor)
        heard.note(json.loads(message.payload)["geometry"]["coordinates"][0])

    client.on_message = keep
    client.connect(parts.hostname or "", parts.port or 1883)
    client.subscribe(Topics(unit.identity.prefix, "+").up("position"), 1)
    client.loop_start()
    return client


def _position(longitude_deg: float) -> Position:
    properties = PositionProperties(fix="3d", source="gnss", deployment_id="bench")
    return Position(geometry=PointGeometry(coordinates=(longitude_deg, 48.8)), properties=properties)


def _pages(path: Path) -> Iterator[Row]:
    connection = sqlite3.connect(path)
    connection.row_factory = sqlite3.Row
    connection.executescript("".join(STEPS))
    with connection:
        _fill(connection)
    bare = "SELECT command_id FROM commands ORDER BY rowid DESC LIMIT 100"
    peer_ms = _best_ms(lambda: connection.execute(bare).fetchall())
    pages: dict[str, Callable[[], object]] = {
        "commands": lambda: stored_commands.load_commands(connection, None, 100, (_ROWS // 10, "z")),
        "a unit's commands": lambda: stored_commands.load_commands(connection, "nomad-050", 100, (_ROWS // 2, "z")),
        "clips": lambda: stored_clips.load_clips(connection, None, 100, (_ROWS // 10, "z", "z")),
        "events": lambda: stored_units.recent_events(connection, "nomad-050", 100),
    }
    for name, work in pages.items():
        yield Row(
            name=f"a page of 100 {name} out of {_ROWS:,}",
            ours=_best_ms(work),
            unit="ms",
            peer=peer_ms,
            peer_name="the last 100 ids alone",
            judge="ours",
            bar=_PAGE_BAR_MS,
            note="from the middle or the end of the list, models made; best of 20",
        )
    connection.close()


def _fill(connection: sqlite3.Connection) -> None:
    for number in range(_ROWS):
        unit_id, row_id = f"nomad-{number % 100:03}", f"0197a1b2-0000-7000-8000-{number:012}"
        connection.execute(
            "INSERT INTO commands (command_id, unit_id, cmd, params, operator, role, token, issued_us, expires_us,"
            " state, reply) VALUES (?, ?, 'clip.request', '{}', 'a', 'operator', ?, ?, ?, 'done', '{}')",
            (row_id, unit_id, "t" * 600, number, number),
        )
        connection.execute(
            "INSERT INTO clips (unit_id, clip_id, folder, completed_us, verdict, report) VALUES (?, ?, '/x', ?,"
            " 'verified', '{}')",
            (unit_id, row_id, number),
        )
        connection.execute(
            "INSERT INTO events (unit_id, event_id, body, heard_us) VALUES (?, ?, '{}', ?)", (unit_id, row_id, number)
        )


def _best_ms(work: Callable[[], object]) -> float:
    elapsed_s = []
    for _ in range(20):
        begun_s = time.perf_counter()
        work()
        elapsed_s.append(time.perf_counter() - begun_s)
    return min(elapsed_s) * 1e3
