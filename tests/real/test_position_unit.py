"""A unit with a receiver: it drives, records, and the clip says where; its link and gpsd may come and go."""

import json
import os
import signal
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from csu.verify import verify_clip
from edge_agent.buffer.segment import SegmentInfo
from edge_agent.buffer.segment_scan import scan_segment
from edge_agent.clock import SystemClock
from edge_agent.contract.clip import ManifestPart
from edge_agent.contract.jws import TrustedKeys
from edge_agent.contract.manifest import MANIFEST_FILE_NAME, read_manifest
from edge_agent.evidence.keys import load_or_create_unit_key
from edge_agent.paths import last_place_file, ring_directory
from tests.support.gpsd import Gpsd, Receiver
from tests.support.nmea import Epoch
from tests.support.polling import wait_until
from tests.support.processes import Processes
from tests.support.unit import Unit, running, small_camera

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.alone]

SPEED_MPS = 12.0
METRES_A_SECOND_DEG = SPEED_MPS / 77_590


class Van:
    """Stands, and drives east when told to."""

    def __init__(self) -> None:
        self.epoch = Epoch()
        self.drives = False
        self.has_fix = True

    def __call__(self) -> Epoch:
        if self.drives:
            self.epoch = self.epoch.moved(SPEED_MPS, speed_mps=SPEED_MPS)
        return self.epoch if self.has_fix else Epoch(quality=0)


@pytest.fixture
def van() -> Van:
    return Van()


@pytest.fixture
def receiver(van: Van) -> Iterator[Receiver]:
    made = Receiver(van)
    yield made
    made.close()


@pytest.fixture
def gpsd(processes: Processes, receiver: Receiver) -> Gpsd:
    return Gpsd(processes, receiver).start()


@pytest.fixture
def unit(request: pytest.FixtureRequest, tmp_path: Path, processes: Processes, gpsd: Gpsd) -> Iterator[Unit]:
    """Its segments are a minute long unless a test says otherwise."""
    made = Unit(tmp_path / "unit", processes, [small_camera(segment_s=getattr(request, "param", 60))])
    made.write_settings(position={"gpsd": gpsd.address})
    yield from running(made)


def written(unit: Unit) -> list[SegmentInfo]:
    """Every segment up to its last whole fragment: the unit may be writing the next one."""
    root = ring_directory(unit.data_dir, "main")
    found = [scan_segment(path, root).info for path in unit.segment_files()]
    return [info for info in found if info is not None]


def newest(unit: Unit) -> SegmentInfo | None:
    infos = [info for info in written(unit) if info.fragments]
    return infos[-1] if infos else None


def stamped(info: SegmentInfo | None, fix: str, longitude_deg: float | None = None) -> bool:
    stamp = None if info is None else info.header.position
    if stamp is None or stamp.fix != fix:
        return False
    return longitude_deg is None or abs(stamp.longitude_deg - longitude_deg) < 1e-4


def length_s(info: SegmentInfo) -> float:
    return (info.samples.end_90k - info.samples.dts_90k[0]) / 90_000


def fetch(unit: Unit, destination: Path, *span: str) -> tuple[ManifestPart, ...]:
    """A clip by the command line, verified against the unit's key; its parts."""
    words = ("clip", "main", *span, "--reference", "PV 7", "--purpose", "inquiry", "-o", str(destination))
    done = unit.cli(*words)
    assert done.returncode == 0, done.stderr
    keys = TrustedKeys.from_jwks(load_or_create_unit_key(unit.data_dir).public_jwk())
    verdict = verify_clip(destination, keys)
    assert verdict.ok, verdict.findings
    return read_manifest((destination / MANIFEST_FILE_NAME).read_text(), keys).parts


def test_a_driving_unit_says_in_its_footage_where_it_was(unit: Unit, van: Van, gpsd: Gpsd, tmp_path: Path) -> None:
    unit.start()
    unit.wait_link_ready()
    begun_deg = van.epoch.longitude_deg
    wait_until(lambda: last_place_file(unit.data_dir).exists(), what="the last known place stored")
    van.drives = True
    before = len(unit.segment_files())
    wait_until(lambda: len(unit.segment_files()) >= before + 3, what="segments of the drive", timeout_s=120)

    infos = [info for info in written(unit) if info.closed or info.sequence < len(unit.segment_files())]
    driving = [info for info in infos if stamped(info, "3d") and place_deg(info) > begun_deg + 1e-5][:-1]
    assert driving
    for info in driving:
        stamp = info.header.position
        assert stamp is not None
        assert length_s(info) <= 10.1
        assert stamp.age_s is not None
        assert stamp.age_s <= 5.0
        assert stamp.accuracy_m == pytest.approx(5.7, abs=0.2)
    for one, two in pairwise(driving):
        passed_s = (two.header.monotonic_us - one.header.monotonic_us) / 1e6
        assert place_deg(two) - place_deg(one) == pytest.approx(
            passed_s * METRES_A_SECOND_DEG, abs=5 * METRES_A_SECOND_DEG
        )

    parts = fetch(unit, tmp_path / "clip", "--from", "-20s", "--to", "-2s")
    positions = [position for part in parts for position in part.positions]
    assert len(positions) >= 2
    assert [one.longitude_deg for one in positions] == sorted(one.longitude_deg for one in positions)
    assert positions[-1].at_us - positions[-2].at_us <= 10_200_000
    assert {one.fix for one in positions} == {"3d"}


def place_deg(info: SegmentInfo) -> float:
    assert info.header.position is not None
    return info.header.position.longitude_deg


@pytest.mark.parametrize("unit", [3], indirect=True)
def test_what_is_known_outlives_link_gpsd_and_unit(unit: Unit, van: Van, gpsd: Gpsd) -> None:
    unit.start()
    unit.wait_link_ready()
    stored = wait_until(lambda: stored_place(unit), what="the last known place stored")
    assert stored["longitude_deg"] == pytest.approx(van.epoch.longitude_deg, abs=1e-5)

    van.drives = True
    wait_until(lambda: stamped(newest(unit), "3d"), what="footage with a place", timeout_s=60)
    gpsd.kill()
    wait_until(lambda: stamped(newest(unit), "none"), what="footage that says that the fix is old", timeout_s=60)
    old = newest(unit)
    assert age_s(old) > 5
    gpsd.start()

    link = unit.pid_of("link")
    wait_until(lambda: stamped(newest(unit), "3d"), what="footage with a place again", timeout_s=90)
    os.kill(link, signal.SIGSTOP)  # its supervisor kills it after 20 s of silence
    wait_until(lambda: age_s(newest(unit)) > 8, what="a place that grows old", timeout_s=60)
    unit.wait_link_ready(other_than=link)
    began_us = SystemClock().monotonic_us()
    wait_until(lambda: is_fresh(newest(unit), began_us), what="the new link's word in the footage", timeout_s=90)
    assert unit.state().recording

    van.has_fix = False
    assert unit.end() == 0
    known_deg = wait_until(lambda: stored_place(unit), what="the last place")["longitude_deg"]
    assert known_deg > Epoch().longitude_deg
    before = len(unit.segment_files())
    unit.start()
    again = wait_until(lambda: written(unit)[before:], what="footage of the next life", timeout_s=60)[0]
    stamp = again.header.position
    assert stamp is not None
    assert (stamp.fix, stamp.source, stamp.longitude_deg) == ("none", "gnss", known_deg)


def age_s(info: SegmentInfo | None) -> float:
    stamp = None if info is None else info.header.position
    return 0.0 if stamp is None or stamp.age_s is None else stamp.age_s


def is_fresh(info: SegmentInfo | None, after_us: int) -> bool:
    """A segment that was begun after an instant, with a place that is known since."""
    stamp = None if info is None else info.header.position
    if info is None or stamp is None or stamp.age_s is None:
        return False
    return info.header.monotonic_us - stamp.age_s * 1e6 > after_us


def stored_place(unit: Unit) -> dict[str, float]:
    path = last_place_file(unit.data_dir)
    return dict(json.loads(path.read_text())) if path.exists() else {}
