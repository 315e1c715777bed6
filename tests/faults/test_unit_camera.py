"""A camera that is absent, goes and comes back: the recorder waits, and the centre hears of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

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
