"""A clip of a drive through a tunnel, from the receiver to the page: its places are those where the van was."""

import asyncio
import bisect
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from edge_agent.buffer.segment import SegmentInfo
from edge_agent.buffer.segment_scan import scan_segment
from edge_agent.clock import SystemClock
from edge_agent.contract.clip import Manifest, PositionAt
from edge_agent.contract.jws import TrustedKeys
from edge_agent.contract.manifest import MANIFEST_FILE_NAME, read_manifest
from edge_agent.contract.times import format_utc
from edge_agent.evidence.keys import load_or_create_unit_key
from edge_agent.paths import ring_directory
from tests.support.browser import chromium, new_page
from tests.support.centre import Centre
from tests.support.gpsd import Gpsd, Receiver
from tests.support.nmea import Epoch
from tests.support.polling import wait_until
from tests.support.processes import Processes
from tests.support.unit import UNIT_ID, Unit, running, small_camera

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.alone]

SPEED_MPS = 12.0
DEG_A_METRE = 1 / 77_590
"""Eastwards, at Lyon's latitude."""
SLACK_S = 3.0
"""A receiver speaks once a second, a tenth after it; a segment may bear a fix that is 2 s younger than its first
picture (`whereabouts`)."""
SEGMENT_S = 4.0
LEAST_TUNNEL_AGE_S = 13.0
"""A fix holds for 10 s; the second segment after it is older by its length."""


class Van:
    """Drives east, stands, loses its satellites; knows where it was at each second."""

    def __init__(self) -> None:
        self.epoch = Epoch()
        self.drives = False
        self.has_fix = True
        self.seconds_us: list[int] = []
        self.longitudes_deg: list[float] = []

    def __call__(self) -> Epoch:
        if self.drives:
            self.epoch = self.epoch.moved(SPEED_MPS, speed_mps=SPEED_MPS)
        else:
            self.epoch = self.epoch.moved(0, speed_mps=0)
        self.seconds_us.append(SystemClock().wall_us() // 1_000_000 * 1_000_000)
        self.longitudes_deg.append(self.epoch.longitude_deg)
        return self.epoch if self.has_fix else Epoch(quality=0)

    def longitude_deg_at(self, at_us: float) -> float:
        """Where it was; between two seconds at the former's place."""
        return self.longitudes_deg[max(bisect.bisect_right(self.seconds_us, at_us) - 1, 0)]

    def was_at(self, longitude_deg: float, at_us: float) -> bool:
        """Whether it was there, some seconds sooner or later, by so much as a receiver rounds."""
        rounding_deg = 0.5 * DEG_A_METRE
        first_deg = self.longitude_deg_at(at_us - SLACK_S * 1e6) - rounding_deg
        return first_deg <= longitude_deg <= self.longitude_deg_at(at_us + SLACK_S * 1e6) + rounding_deg


@pytest.fixture
def van() -> Van:
    return Van()


@pytest.fixture
def unit(tmp_path: Path, processes: Processes, van: Van) -> Iterator[Unit]:
    """A unit that listens to gpsd."""
    receiver = Receiver(van)
    try:
        gpsd = Gpsd(processes, receiver).start()
        made = Unit(tmp_path / "unit", processes, [small_camera(segment_s=4)])
        made.write_settings(position={"gpsd": gpsd.address})
        yield from running(made)
    finally:
        receiver.close()


@pytest.fixture
def centre(tmp_path: Path, processes: Processes, unit: Unit) -> Centre:
    made = Centre(tmp_path, processes).serve()
    made.enrol_unit(unit)
    return made


def written(unit: Unit) -> list[SegmentInfo]:
    """Every segment that has a fragment, up to its last whole one."""
    root = ring_directory(unit.data_dir, "main")
    found = [scan_segment(path, root).info for path in unit.segment_files()]
    return [info for info in found if info is not None and info.fragments]


def begun(unit: Unit, fix: str, after_us: int) -> list[SegmentInfo]:
    """Segments that begin after an instant of the monotonic clock, with such a fix."""
    infos = [info for info in written(unit) if info.header.monotonic_us > after_us]
    return [info for info in infos if info.header.position is not None and info.header.position.fix == fix]


def drive_through(unit: Unit, van: Van) -> tuple[int, int]:
    """Drive, stand in a tunnel, drive on; from when to when."""
    clock = SystemClock()
    begin_us = clock.wall_us()
    van.drives = True
    for drives, fix, least in ((True, "3d", 3), (False, "none", 2), (True, "3d", 2)):
        since_us = clock.monotonic_us()
        van.drives = van.has_fix = drives
        wait_until(lambda: len(begun(unit, fix, since_us)) >= least, what=f"footage, {fix}", timeout_s=150)  # noqa: B023 -- called before the next one
    newest_us = unit.newest_us("main")
    assert newest_us is not None
    return begin_us, newest_us


def order_clip(centre: Centre, from_us: int, to_us: int, out: Path) -> None:
    """As a person does, at the centre's command line."""
    span = ("--from", format_utc(from_us), "--to", format_utc(to_us))
    words = ("clip", UNIT_ID, "--camera", "main", *span, "--reference", "PV 7", "--purpose", "inquiry")
    done = centre.cli(*words, "-o", out, timeout_s=200)
    assert done.returncode == 0, done.stdout + done.stderr
    by_hand = centre.cli("verify", out)
    assert (by_hand.returncode, by_hand.stdout.startswith("verified")) == (0, True), by_hand.stdout + by_hand.stderr


def test_a_clip_says_where_the_van_was(unit: Unit, centre: Centre, van: Van, tmp_path: Path) -> None:
    unit.start()
    centre.wait_online()
    wait_until(lambda: centre.body("position").get("properties", {}).get("fix") == "3d", what="a fix at the centre")
    from_us, to_us = drive_through(unit, van)
    order_clip(centre, from_us, to_us, tmp_path / "out")

    keys = TrustedKeys.from_jwks(load_or_create_unit_key(unit.data_dir).public_jwk())
    manifest = read_manifest((tmp_path / "out" / MANIFEST_FILE_NAME).read_text(encoding="ascii"), keys)
    assert len(manifest.parts) == 1
    check_drive(manifest, van)
    check_tunnel(manifest, van)
    check_stamps(unit, van)
    view = clip_view(centre, manifest.clip_id)
    assert view["positions"] == [one.to_object() for one in manifest.parts[0].positions]
    asyncio.run(check_page(centre, manifest))


def positions_of(manifest: Manifest, fix: str) -> list[PositionAt]:
    return [one for one in manifest.parts[0].positions if one.fix == fix]


def check_drive(manifest: Manifest, van: Van) -> None:
    """While it drove, a place a segment, each where the van was when that began."""
    driving = positions_of(manifest, "3d")
    moved = [(one, two) for one, two in pairwise(driving) if two.longitude_deg > one.longitude_deg]
    assert len(moved) >= 3
    for one in driving:
        assert one.age_s is not None
        assert one.age_s <= 5
        assert van.was_at(one.longitude_deg, one.at_us - one.age_s * 1e6), format_utc(one.at_us)
    interval = manifest.parts[0].interval
    assert driving[0].at_us <= interval.start_us + SEGMENT_S * 1e6
    assert interval.start_us < driving[-1].at_us < interval.end_us


def check_tunnel(manifest: Manifest, van: Van) -> None:
    """In the tunnel one place, the last one that was known, marked and as old as it was."""
    (dark,) = positions_of(manifest, "none")
    assert dark.age_s is not None
    assert dark.age_s >= 9
    assert van.was_at(dark.longitude_deg, dark.at_us - dark.age_s * 1e6)
    places = manifest.parts[0].positions
    before, after = places[places.index(dark) - 1], places[places.index(dark) + 1]
    assert (before.fix, after.fix) == ("3d", "3d")
    assert before.longitude_deg <= dark.longitude_deg < after.longitude_deg


def check_stamps(unit: Unit, van: Van) -> None:
    """In the segments themselves the age grows with the monotonic clock while there is no fix."""
    dark = [info.header for info in written(unit) if info.header.position and info.header.position.fix == "none"]
    assert len(dark) >= 2
    known = [(header.monotonic_us / 1e6, header.position.age_s or 0.0) for header in dark if header.position]
    for (one_s, one_age_s), (two_s, two_age_s) in pairwise(known):
        assert two_s - one_s <= SEGMENT_S + 1.1
        assert two_age_s - one_age_s == pytest.approx(two_s - one_s, abs=0.2)
    assert known[-1][1] >= LEAST_TUNNEL_AGE_S


def clip_view(centre: Centre, clip_id: str) -> dict[str, Any]:
    answer: dict[str, Any] = centre.client._call("GET", f"/v1/clips/{UNIT_ID}/{clip_id}")
    return answer


async def check_page(centre: Centre, manifest: Manifest) -> None:
    """The page shows the places, and of those in the tunnel that they are the last known ones."""
    places = manifest.parts[0].positions
    async with chromium() as browser, new_page(browser) as page:
        await page.goto(centre.client.page_address())
        await page.goto(f"{centre.client.info().api_url}/#/units/{UNIT_ID}/clips/{manifest.clip_id}")
        await page.click(f"text={len(places)} places in this clip")
        shown = await page.locator("main ol > li").all_inner_texts()
    assert len(shown) == len(places)
    for text, place in zip(shown, places, strict=True):
        assert f"{place.latitude_deg:.5f}° N, {place.longitude_deg:.5f}° E" in text
        assert ("last known position" in text) == (place.fix == "none")
