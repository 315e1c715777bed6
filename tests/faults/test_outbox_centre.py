"""The link dies at every step of what waits; the registry of the real centre has all of it once, in order."""

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from csu.cli.enrol import COMMAND_KEYS_FILE, PASSWORD_FILE, write_unit_files
from edge_agent.contract.times import parse_utc
from edge_agent.evidence.keys import load_or_create_unit_key
from edge_agent.paths import link_directory
from tests.faults.proxy import Proxy
from tests.real.csu_service import CsuService
from tests.support.fake_recorder import FakeRecorder, FakeRing
from tests.support.gpsd import Gpsd, Receiver
from tests.support.link import ROOT, write_settings
from tests.support.nmea import Epoch
from tests.support.polling import wait_until
from tests.support.processes import Processes
from tests.support.unit import UNIT_ID

pytestmark = [pytest.mark.faults, pytest.mark.slow]

OFFLINE_STEPS = ["events:stored", "history:kept"]
ONLINE_STEPS = ["history:sealed", "events:settled", "history_batches:settled"]
MOMENTS = ["before", "after"]

Sample = tuple[str, int]
"""Kind, and the monotonic time, µs, which no two of a kind share."""


class Driver:
    """Drives east, so that there are places to tell of; may lose its fix."""

    def __init__(self) -> None:
        self.epoch = Epoch()

    def __call__(self) -> Epoch:
        self.epoch = self.epoch.moved(25, speed_mps=25)
        return self.epoch


class Road:
    """A link with a receiver, the centre, and the way between them."""

    def __init__(self, directory: Path, processes: Processes, proxy: Proxy, ring: FakeRing, settings: Path) -> None:
        self.directory, self.proxy, self.ring = directory, proxy, ring
        self._processes, self._settings = processes, settings
        self.noted: dict[Sample, int] = {}
        """What was seen waiting, and the instants of it, µs."""
        self.most_events = 0
        self.process: subprocess.Popen[bytes] | None = None
        self._is_bad = False

    def start(self, die_at: str | None = None) -> None:
        command = [sys.executable, "-m", "tests.support.link_main", str(self._settings)]
        environment = os.environ | {"LINK_HURRY": "1"}
        if self.most_events:
            environment["LINK_MOST_EVENTS"] = str(self.most_events)
        self.process = self._processes.start([*command, *([die_at] if die_at else [])], cwd=ROOT, env=environment)

    def has_died(self) -> bool:
        assert self.process is not None
        return self.process.poll() == -9

    def has_died_looking(self) -> bool:
        """As `has_died`, after a look at what waits."""
        self.look()
        return self.has_died()

    def live(self, die_at: str | None = None) -> None:
        """Another life of the link; something went wrong meanwhile, or was mended, that it does not know yet."""
        self._is_bad = not self._has_alarm()
        self.ring.storage_ok = not self._is_bad
        self.start(die_at)

    def has_noticed(self) -> bool:
        return self._has_alarm() == self._is_bad

    def _has_alarm(self) -> bool:
        return ("storage-error",) in self.ask("SELECT name FROM alarms")

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(20)

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """What the link's database answers; nothing before it is there."""
        self.look()
        return self._rows(sql)

    def _rows(self, sql: str) -> list[tuple[Any, ...]]:
        path = link_directory(self.directory / "data") / "link.db"
        try:
            with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
                return connection.execute(sql).fetchall()
        except sqlite3.OperationalError:
            return []

    def look(self) -> None:
        """Remember the samples that the database holds now: it may have sent them by the next time."""
        rows = self._rows("SELECT kind, monotonic_us, at_us FROM history")
        self.noted |= {(kind, monotonic_us): at_us for kind, monotonic_us, at_us in rows}
        for (body,) in self._rows("SELECT body FROM history_batches"):
            batch = json.loads(body)
            for sample in batch["samples"]:
                self.noted.setdefault((batch["kind"], sample["monotonic_us"]), parse_utc(sample["at"]))

    def is_empty(self) -> bool:
        tables = ("events", "history", "history_batches")
        return all(self.ask(f"SELECT count(*) FROM {table}") == [(0,)] for table in tables)

    def has_place_waiting(self) -> bool:
        return bool(self.ask("SELECT 1 FROM history WHERE kind = 'position'"))

    def total(self, table: str) -> int:
        """How many rows the link ever stored."""
        rows = self.ask(f"SELECT seq FROM sqlite_sequence WHERE name = '{table}'")
        return int(rows[0][0]) if rows else 0

    def registry(self, sql: str) -> list[tuple[Any, ...]]:
        """What the centre's registry answers."""
        with closing(sqlite3.connect(f"file:{self.directory / 'csu' / 'registry.db'}?mode=ro", uri=True)) as opened:
            return opened.execute(sql, (UNIT_ID,)).fetchall()

    def events(self) -> list[dict[str, Any]]:
        rows = self.registry("SELECT body FROM events WHERE unit_id = ? ORDER BY number")
        return [json.loads(body) for (body,) in rows]

    def samples(self) -> list[tuple[str, int, dict[str, Any]]]:
        """Kind, instant and body, a kind after the other, by instant; those of a batch say their monotonic time."""
        rows = self.registry("SELECT kind, at_us, body FROM history WHERE unit_id = ? ORDER BY kind, at_us")
        return [(kind, at_us, json.loads(body)) for kind, at_us, body in rows]

    def left_out(self) -> int:
        return int(self.registry("SELECT total(left_out) FROM history_batches WHERE unit_id = ?")[0][0])


@pytest.fixture
def road(tmp_path: Path, processes: Processes) -> Iterator[Road]:
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    receiver, ring = Receiver(Driver()), FakeRing(data_dir)
    recorder = FakeRecorder(ring)
    recorder.start()
    centre = CsuService(tmp_path, processes)
    centre.start()
    enrolment = centre.client.enrol(UNIT_ID, load_or_create_unit_key(data_dir).public_jwk())
    write_unit_files(tmp_path, enrolment)
    try:
        with Proxy("127.0.0.1", urlsplit(enrolment["mqtt_url"]).port or 0) as proxy:
            gpsd = Gpsd(processes, receiver).start()
            settings = tmp_path / "unit.toml"
            write_settings(settings, tables(data_dir, proxy.port, enrolment["upload_url"], gpsd.address))
            yield Road(tmp_path, processes, proxy, ring, settings)
            processes.kill_all()
    finally:
        recorder.end()
        receiver.close()


def tables(data_dir: Path, broker_port: int, upload_url: str, gpsd: str) -> dict[str, dict[str, Any]]:
    mqtt = {"url": f"mqtt://127.0.0.1:{broker_port}", "username": UNIT_ID, "password_file": PASSWORD_FILE}
    return {
        "unit": {"id": UNIT_ID, "data_dir": data_dir},
        "camera": {"name": "main", "source": "test:"},
        "mqtt": mqtt | {"keepalive_s": 5},
        "upload": {"url": upload_url},
        "trust": {"command_keys_file": COMMAND_KEYS_FILE},
        "position": {"gpsd": gpsd},
    }


def each(steps: list[str]) -> list[str]:
    return [f"{step}:{moment}" for step in steps for moment in MOMENTS]


def test_the_centre_has_everything_once_and_in_order(road: Road) -> None:
    road.proxy.refuse = True
    for step in each(OFFLINE_STEPS):
        road.live(step)
        wait_until(road.has_died_looking, what=f"the death at {step}", timeout_s=60)
    for step in each(ONLINE_STEPS):
        road.proxy.refuse = True
        road.live()
        wait_until(road.has_noticed, what="notice taken", timeout_s=60)
        wait_until(road.has_place_waiting, what="a place that nobody heard", timeout_s=60)
        road.kill()
        road.start(step)
        road.proxy.refuse = False
        wait_until(road.has_died_looking, what=f"the death at {step}", timeout_s=60)
    road.start()
    wait_until(road.is_empty, what="an empty outbox", timeout_s=60)
    # The broker acknowledges before the centre has stored it.
    wait_until(lambda: len(road.events()) >= road.total("events") and not missing(road), what="all at the centre")
    check(road)


def check(road: Road) -> None:
    events = road.events()
    instants = [event["monotonic_us"] for event in events]
    assert len({event["event_id"] for event in events}) == len(events) == road.total("events")
    assert instants == sorted(set(instants))
    states = [event["state"] for event in events if event["name"] == "storage-error"]
    assert states == ["raised", "cleared"] * (len(states) // 2) + ["raised"] * (len(states) % 2)
    assert len(states) >= len(each(ONLINE_STEPS))

    told = told_late(road.samples())
    assert road.left_out() == 0
    assert told == sorted(set(told))
    assert {kind for kind, _ in told} == {"health", "position"}
    assert missing(road) == []
    assert set(told) <= road.noted.keys()
    assert len(road.noted) == road.total("history")


def told_late(samples: list[tuple[str, int, dict[str, Any]]]) -> list[Sample]:
    """Kind and instant of the samples that came in batches."""
    return [(kind, body["monotonic_us"]) for kind, _, body in samples if "monotonic_us" in body]


def missing(road: Road) -> list[Sample]:
    """Samples of the unit that the centre has not.

    The body of a retained topic is the sample of its instant, whichever of the two comes first.
    """
    samples = road.samples()
    live = {(kind, at_us // 1000) for kind, at_us, body in samples if "monotonic_us" not in body}
    left = road.noted.keys() - set(told_late(samples))
    return [sample for sample in left if (sample[0], road.noted[sample] // 1000) not in live]


def test_what_had_no_room_is_counted_at_the_centre(road: Road) -> None:
    road.most_events = 4
    road.proxy.refuse = True
    for step in each(["events:stored"]):
        road.live(step)
        wait_until(road.has_died_looking, what=f"the death at {step}", timeout_s=60)
    for _ in range(8):
        road.live()
        wait_until(road.has_noticed, what="notice taken", timeout_s=60)
        road.kill()
    raised = road.total("events")
    road.start()
    road.proxy.refuse = False
    wait_until(road.is_empty, what="an empty outbox", timeout_s=60)
    wait_until(lambda: told_or_counted(road) == road.total("events"), what="all at the centre")
    (lost,) = [event for event in road.events() if event["name"] == "events-lost"]
    assert lost["details"]["count"] == sum(lost["details"]["of"].values()) > 0
    assert lost["details"]["count"] + len(road.events()) - 1 == road.total("events") >= raised


def told_or_counted(road: Road) -> int:
    """Events that the centre has, and those that it was told to have been lost."""
    events = road.events()
    lost: list[int] = [event["details"]["count"] for event in events if event["name"] == "events-lost"]
    return sum(lost) + len(events) - len(lost)
