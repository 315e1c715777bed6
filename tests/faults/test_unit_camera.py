"""A camera that is absent, goes and comes back: the recorder waits, and the centre hears of it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.buffer.segment_scan import scan_segment
from edge_agent.clock import SystemClock
from edge_agent.evidence.keys import load_or_create_unit_key
from edge_agent.paths import ring_directory
from tests.real.rtsp import RtspServer
from tests.support.centre import Centre
from tests.support.polling import wait_until
from tests.support.processes import Processes
from tests.support.unit import Unit, camera_of, make_noise_video, running, small_camera

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


def test_what_one_camera_or_the_link_lacks_stops_no_other_camera(tmp_path: Path, unit: Unit) -> None:
    unit.cameras = [small_camera("main"), small_camera("odd", width=191), camera_of("file:late.mp4", "late")]
    unit.write_settings(
        mqtt={"url": "mqtt://127.0.0.1:1", "password_file": "password"},
        upload={"url": "http://127.0.0.1:1/"},
        trust={"command_keys_file": "keys.json"},
    )
    unit.start(wait=False)
    unit.wait_recording("main")
    supervisor, recorder = unit.process, unit.pid_of("record main")
    unit.wait_other_pid("record odd", unit.pid_of("record odd"))
    make_noise_video(tmp_path / "video.mp4", seconds=4, mbit_s=1).rename(unit.directory / "late.mp4")
    unit.wait_recording("late")
    public = load_or_create_unit_key(tmp_path / "centre").public_jwk()
    (unit.directory / "password").write_text("secret")
    (unit.directory / "keys.json").write_text(json.dumps({"keys": [public]}))
    wait_until((unit.data_dir / "link" / "link.db").exists, what="a link that has its keys", timeout_s=60)
    unit.cameras[1]["width"] = 192
    unit.write_settings()
    unit.wait_recording("odd")
    assert unit.process is supervisor
    assert unit.pid_of("record main") == recorder
    assert unit.gaps("main") == []
    assert unit.end() == 0


def test_a_unit_of_which_no_camera_can_be_recorded_ends(unit: Unit) -> None:
    unit.cameras = [small_camera("main", width=191), small_camera("rear", height=65)]
    unit.write_settings()
    outcome = unit.cli("run")
    assert outcome.returncode == 2, outcome.stderr
    assert "camera 'main'" in outcome.stderr
    assert "camera 'rear'" in outcome.stderr


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
