"""A camera that is absent, goes and comes back: the recorder waits, and the centre hears of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.buffer.segment_scan import scan_segment
from edge_agent.clock import SystemClock
from edge_agent.paths import ring_directory
from tests.real.rtsp import RtspServer
from tests.support.centre import Centre
from tests.support.polling import wait_until
from tests.support.processes import Processes
from tests.support.unit import Unit, camera_of, running, small_camera

pytestmark = pytest.mark.faults

LOST = ("camera-lost", "dome")
NOTICE_S = 60.0
"""A dead camera is alarmed within a minute."""


@pytest.fixture
def unit(tmp_path: Path, processes: Processes) -> Iterator[Unit]:
    yield from running(Unit(tmp_path / "unit", processes))


def test_a_camera_that_is_absent_at_the_start_gone_and_back(tmp_path: Path, processes: Processes, unit: Unit) -> None:
    server = RtspServer(processes).start()
    server.kill()
    timeouts = {"connect_timeout_s": 3, "stall_timeout_s": 3}
    unit.cameras = [camera_of(server.url(), "dome", **timeouts), small_camera("main")]
    centre = Centre(tmp_path, processes).serve()
    centre.enrol_unit(unit)
    unit.start(wait=False)
    unit.wait_recording("main")
    wait_until(lambda: LOST in centre.alarms(), what="alarm", timeout_s=NOTICE_S)
    recorder = unit.pid_of("record dome")
    server.start()
    unit.wait_recording("dome")
    wait_until(lambda: LOST not in centre.alarms(), what="alarm cleared", timeout_s=NOTICE_S)
    server.kill()
    wait_until(lambda: LOST in centre.alarms(), what="alarm again", timeout_s=NOTICE_S)
    server.start()
    unit.wait_recording("dome")
    wait_until(lambda: LOST not in centre.alarms(), what="alarm cleared again", timeout_s=NOTICE_S)
    assert {cause for _, cause in unit.gaps("dome")} == {"camera-lost"}
    clip_end_us = unit.newest_us("dome")
    assert clip_end_us is not None
    clip = centre.wait_verdict(centre.ask_clip("dome", clip_end_us - 1_000_000, clip_end_us))
    assert clip.verdict == "verified", clip.reason
    assert unit.pid_of("record dome") == recorder
    assert unit.gaps("main") == []
    assert unit.end() == 0
    unit.check_unbroken("main")
    assert unit.scanned("dome")


def samples_on_disk(unit: Unit, camera: str) -> int:
    """Pictures in whole fragments; the recorder may be writing one more."""
    root = ring_directory(unit.data_dir, camera)
    infos = [scan_segment(path, root, verify=False).info for path in unit.segment_files(camera)]
    return sum(len(info.samples) for info in infos if info is not None)


def test_the_last_pictures_of_a_camera_that_freezes_are_not_left_in_memory(
    tmp_path: Path, processes: Processes, unit: Unit
) -> None:
    server = RtspServer(processes, "--fps", "15").start()
    unit.cameras = [camera_of(server.url(), "dome", stall_timeout_s=30)]
    unit.write_settings()
    unit.start()
    unit.wait_recording("dome")
    wait_until(lambda: samples_on_disk(unit, "dome") > 15, what="a second of footage", timeout_s=60)
    server.freeze()
    clock = SystemClock()
    frozen_us = clock.monotonic_us()
    on_disk: list[int] = []

    def is_quiet() -> bool:
        """Four seconds have passed, and lately nothing was added."""
        on_disk.append(samples_on_disk(unit, "dome"))
        return clock.monotonic_us() - frozen_us > 4_000_000 and len(set(on_disk[-50:])) == 1

    wait_until(is_quiet, what="the disk quiet", timeout_s=60)
    assert unit.state("dome").recording
    assert unit.end() == 0
    assert samples_on_disk(unit, "dome") == on_disk[-1]
