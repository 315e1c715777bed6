"""Something dies while a clip of over ten megabytes is on its way: it arrives bit for bit as planned, verified."""

import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from edge_agent.paths import link_directory
from tests.faults.proxy import Proxy
from tests.support.centre import Centre, arrived_sha256s, planned_sha256s
from tests.support.polling import wait_until
from tests.support.processes import Processes
from tests.support.unit import Unit, camera_of, make_noise_video, running

pytestmark = [pytest.mark.faults, pytest.mark.slow]

CLIP_S = 6
LEAST_BYTES = 10_000_000
BYTES_PER_S = 2_500_000


@dataclass
class Street:
    """A unit that records a lot, a centre, and the narrow link between them."""

    unit: Unit
    centre: Centre
    proxy: Proxy
    start_us: int

    def ask_clip(self) -> str:
        return self.centre.ask_clip("main", self.start_us, self.start_us + CLIP_S * 1_000_000)

    def wait_sent(self, clip_bytes: float) -> None:
        sent_before = self.proxy.to_server_bytes
        wait_until(lambda: self.proxy.to_server_bytes > sent_before + clip_bytes, what="upload under way")

    def check_arrival(self, clip_id: str, planned: dict[str, str]) -> None:
        clip = self.centre.wait_verdict(clip_id)
        assert clip.verdict == "verified", clip.reason
        assert arrived_sha256s(clip) == planned
        assert sum(path.stat().st_size for path in Path(clip.folder).glob("*.mp4")) > LEAST_BYTES
        self.unit.wait_released("main")


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Street]:
    directory = tmp_path_factory.mktemp("street")
    processes = Processes()
    video = make_noise_video(directory / "noise.mp4")
    unit = Unit(directory / "unit", processes, [camera_of(f"file:{video}", max_bytes=400_000_000)])
    centre = Centre(directory, processes, "--public-host", "127.0.0.2").serve()
    try:
        with Proxy("127.0.0.1", centre.ingest_port, listen=("127.0.0.2", centre.ingest_port)) as proxy:
            proxy.throttle_bytes_per_s = BYTES_PER_S
            centre.enrol_unit(unit)
            for each in running(unit):
                each.start()
                centre.wait_online()
                newest_us = unit.newest_us("main")
                assert newest_us is not None
                unit.wait_footage_after("main", newest_us + CLIP_S * 1_000_000)
                yield Street(unit, centre, proxy, newest_us)
    finally:
        processes.kill_all()


def kill_recorder(street: Street) -> None:
    psutil.Process(street.unit.pid_of("record main")).kill()


def kill_link(street: Street) -> None:
    psutil.Process(street.unit.pid_of("link")).kill()


def kill_broker(street: Street) -> None:
    street.centre.kill_broker()


def kill_centre(street: Street) -> None:
    street.centre.kill()
    street.centre.serve()


def cut_power(street: Street) -> None:
    """Everything of the unit dies at once and starts again."""
    street.unit.cut_power()
    street.unit.start(wait=False)


@pytest.mark.parametrize("fault", [kill_recorder, kill_link, kill_broker, kill_centre, cut_power])
def test_a_clip_in_transfer_arrives_as_planned(street: Street, fault: Callable[[Street], None]) -> None:
    chance = random.Random(fault.__name__)
    clip_id = street.ask_clip()
    planned = planned_sha256s(street.unit, "main", clip_id)
    for _ in range(2):
        street.wait_sent(chance.uniform(0.05, 0.4) * LEAST_BYTES)
        fault(street)
    street.check_arrival(clip_id, planned)


def test_a_command_survives_the_broker_that_carried_it(street: Street) -> None:
    database = link_directory(street.unit.data_dir) / "link.db"
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as ledger:
        pid = street.centre.broker_pid()
        clip_id = street.ask_clip()
        sql = "SELECT 1 FROM commands WHERE command_id = ?"
        while not ledger.execute(sql, (clip_id,)).fetchone():
            continue  # the PUBACK follows at once
        psutil.Process(pid).kill()
    street.check_arrival(clip_id, planned_sha256s(street.unit, "main", clip_id))
