"""Main stream and proxy of a whole recorder: made in one process, or recorded by two; clips of both, and SIGKILL."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import av
import pytest

from csu.verify import verify_clip
from edge_agent.buffer.segment_scan import scan_segment
from edge_agent.contract.jws import TrustedKeys
from edge_agent.contract.times import format_utc
from edge_agent.evidence.keys import load_or_create_unit_key
from edge_agent.paths import ring_directory
from tests.real.rtsp import RtspServer
from tests.support.polling import wait_until
from tests.support.processes import Processes
from tests.support.unit import Unit, camera_of, log_text, running, small_camera

pytestmark = pytest.mark.real

RINGS = ("main", "main-proxy")
REASON = ("--reference", "PV 2026/118", "--purpose", "requisition")
CLIP_US = 3_000_000

Fragments = dict[tuple[int, int], bytes]
"""Digests by segment and number."""


@pytest.fixture
def unit(tmp_path: Path, processes: Processes) -> Iterator[Unit]:
    """One whose proxy is made here, smaller and of half the rate."""
    proxy = {"width": 96, "height": 72, "bitrate_kbps": 60, "gop_s": 1.0, "sync": "fragment"}
    yield from running(Unit(tmp_path / "unit", processes, [small_camera(proxy=proxy)]))


@pytest.fixture
def profiles(tmp_path: Path, processes: Processes) -> Iterator[Unit]:
    """One whose camera sends a second, small profile."""
    large = RtspServer(processes, "--fps", "15", "--kbps", "500").start()
    small = RtspServer(processes, "--width", "320", "--height", "240", "--fps", "8", "--gop", "8", "--kbps", "200")
    proxy = {"source": small.start().url(), "sync": "fragment"}
    yield from running(Unit(tmp_path / "unit", processes, [camera_of(large.url(), proxy=proxy)]))


def newest_us(unit: Unit, camera: str) -> int:
    found = unit.newest_us(camera)
    assert found is not None, f"{camera}: its recorder does not answer"
    return found


def wait_seconds_of_both(unit: Unit, seconds: float = 5.0) -> None:
    """Until each ring has synced so much since this call."""
    unit.wait_recording(*RINGS)
    wanted = {camera: newest_us(unit, camera) + round(seconds * 1e6) for camera in RINGS}
    for camera, utc_us in wanted.items():
        unit.wait_footage_after(camera, utc_us)


def fragments(unit: Unit, camera: str) -> Fragments:
    """All that lies whole on the disk, the open segment's included."""
    root = ring_directory(unit.data_dir, camera)
    found: Fragments = {}
    for path in unit.segment_files(camera):
        info = scan_segment(path, root).info
        if info is not None:
            found |= {(info.sequence, entry.record.number): bytes(entry.digest) for entry in info.fragments}
    return found


def clip_of(unit: Unit, camera: str, start_us: int, end_us: int, folder: Path) -> list[Path]:
    """The verified parts of a clip."""
    times = ("--from", format_utc(start_us), "--to", format_utc(end_us))
    saved = unit.cli("clip", camera, *times, *REASON, "-o", folder)
    assert saved.returncode == 0, saved.stderr
    verdict = verify_clip(folder, TrustedKeys.from_jwks(load_or_create_unit_key(unit.data_dir).public_jwk()))
    assert verdict.ok, verdict
    return sorted(folder.glob("*.mp4"))


def shown(path: Path) -> tuple[int, int, int]:
    """Width, height and number of the pictures that a file decodes to, without a fault."""
    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.options = {"err_detect": "explode"}
        sizes = [(frame.width, frame.height) for frame in container.decode(video=0)]
    ((width, height),) = set(sizes)
    return width, height, len(sizes)


def check_clips(unit: Unit, folder: Path, sizes: dict[str, tuple[int, int, float]]) -> None:
    """A clip of the last seconds of both rings has pictures of the right size, and as many as there should be.

    Args:
        unit: whose.
        folder: takes the clips.
        sizes: width, height and pictures a second by ring.
    """
    end_us = min(newest_us(unit, camera) for camera in RINGS) - 500_000
    for camera, (width, height, fps) in sizes.items():
        (part,) = clip_of(unit, camera, end_us - CLIP_US, end_us, folder / camera)
        *size, pictures = shown(part)
        assert size == [width, height]
        wanted = fps * CLIP_US / 1e6
        assert 0.5 * wanted <= pictures <= 1.5 * wanted + fps, "up to a group of pictures more before its beginning"


def check_went_on(unit: Unit, camera: str, before: Fragments, synced_us: int) -> None:
    """A second life of its recorder: what lay on the disk still does, and what is missing came after it."""
    after = fragments(unit, camera)
    assert before.items() <= after.items(), f"{camera}: {before.keys() - after.keys()} are lost"
    holes = [interval for interval in unit.coverage(camera).last_24h if not interval.held]
    assert [hole.cause for hole in holes] in ([], ["restart"])
    assert all(hole.start_us >= synced_us - 1000 for hole in holes), "nothing that was synced is missing"


def check_lives(unit: Unit, camera: str) -> None:
    """Every file is whole, and each of the two lives has some."""
    infos = unit.scanned(camera)
    lives = list(dict.fromkeys(info.header.run_id for info in infos))
    firsts = [next(info for info in infos if info.header.run_id == life) for life in lives]
    assert [info.header.opened_cause for info in firsts] == ["start", "restart"]


@pytest.mark.slow
def test_both_rings_of_one_process_give_clips_and_outlive_sigkill(tmp_path: Path, unit: Unit) -> None:
    recorder = unit.spawn("record", "main")
    wait_seconds_of_both(unit)
    sizes = {"main": (192, 144, 10.0), "main-proxy": (96, 72, 5.0)}
    check_clips(unit, tmp_path / "before", sizes)

    synced_us = {camera: newest_us(unit, camera) for camera in RINGS}
    before = {camera: fragments(unit, camera) for camera in RINGS}
    recorder.kill()
    recorder.wait(10)
    again = unit.spawn("record", "main")
    wait_seconds_of_both(unit)
    check_clips(unit, tmp_path / "after", sizes)
    for camera in RINGS:
        check_went_on(unit, camera, before[camera], synced_us[camera])
        across = tmp_path / f"across-{camera}"
        parts = clip_of(unit, camera, synced_us[camera] - 2_000_000, newest_us(unit, camera), across)
        assert {shown(part)[:2] for part in parts} == {sizes[camera][:2]}
    again.terminate()
    assert again.wait(10) == 0
    for camera in RINGS:
        check_lives(unit, camera)


def test_a_proxy_whose_storage_comes_late_holds_up_nothing(unit: Unit) -> None:
    in_the_way = ring_directory(unit.data_dir, "main-proxy")
    in_the_way.parent.mkdir(parents=True)
    in_the_way.touch()
    recorder = unit.spawn("record", "main")
    unit.wait_recording("main")
    assert unit.newest_us("main-proxy") is None
    wait_until(lambda: "nothing is recorded in main-proxy" in log_text(unit), what="words about it")
    in_the_way.unlink()
    unit.wait_recording("main-proxy")
    assert log_text(unit).count("nothing is recorded in main-proxy") == 1
    assert unit.gaps("main") == []
    recorder.terminate()
    assert recorder.wait(10) == 0
    unit.check_unbroken("main")
    assert {(info.config.width_px, info.config.height_px) for info in unit.scanned("main-proxy")} == {(96, 72)}


def recorders(unit: Unit) -> dict[str, int]:
    """Process ids by ring."""
    return {camera: unit.pid_of(f"record {camera}") for camera in RINGS}


@pytest.mark.slow
def test_a_second_profile_is_recorded_by_a_process_of_its_own(tmp_path: Path, profiles: Unit) -> None:
    unit = profiles.start(wait=False)
    wait_seconds_of_both(unit)
    pids = recorders(unit)
    assert len(set(pids.values())) == 2
    sizes = {"main": (704, 576, 15.0), "main-proxy": (320, 240, 8.0)}
    check_clips(unit, tmp_path / "before", sizes)
    for camera in RINGS:
        assert unit.state(camera).warnings == (), "a proxy is small by design"

    for victim, other in (RINGS, RINGS[::-1]):
        holes = unit.gaps(other)
        synced_us, before = newest_us(unit, victim), fragments(unit, victim)
        os.kill(pids[victim], signal.SIGKILL)
        unit.wait_other_pid(f"record {victim}", pids[victim])
        unit.wait_recording(*RINGS)
        check_went_on(unit, victim, before, synced_us)
        assert unit.gaps(other) == holes, "the other notices nothing"
    wait_seconds_of_both(unit)
    check_clips(unit, tmp_path / "after", sizes)
    assert unit.end() == 0
    for camera in RINGS:
        check_lives(unit, camera)
