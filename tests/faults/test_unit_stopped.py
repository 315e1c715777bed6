"""SIGTERM to `edge-agent run`: everything ends within 5 s, segments closed, whatever is going on."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.faults.proxy import Proxy
from tests.real.rtsp import RtspServer
from tests.support.centre import Centre
from tests.support.polling import wait_until
from tests.support.processes import Processes
from tests.support.unit import Unit, camera_of, make_noise_video, plain_environment, running, small_camera

pytestmark = pytest.mark.faults

END_LIMIT_S = 5.0


@pytest.fixture
def unit(tmp_path: Path, processes: Processes) -> Iterator[Unit]:
    yield from running(Unit(tmp_path / "unit", processes))


def end_in_time(unit: Unit, signal_number: int = signal.SIGTERM) -> None:
    """Signal the supervisor; nothing is left after 5 s, and every segment is good to its last byte."""
    children = [psutil.Process(pid) for pid in unit.pids().values()]
    assert unit.process is not None
    begun_s = time.monotonic()
    unit.process.send_signal(signal_number)
    assert unit.process.wait(30) == 0
    took_s = time.monotonic() - begun_s
    assert [child for child in children if child.is_running()] == []
    assert took_s < END_LIMIT_S, f"{took_s:.1f} s"


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
def test_a_recording_unit(unit: Unit, processes: Processes, signal_number: int) -> None:
    unit.cameras = [small_camera("main"), small_camera("proxy")]
    unit.write_settings()
    unit.start()
    end_in_time(unit, signal_number)
    for camera in unit.camera_names:
        assert unit.scanned(camera)
        unit.check_unbroken(camera)


def test_a_unit_whose_camera_is_absent(unit: Unit, processes: Processes) -> None:
    unit.cameras = [camera_of("rtsp://127.0.0.1:9/none", "gone"), small_camera("main")]
    unit.write_settings()
    unit.start(wait=False)
    unit.wait_recording("main")
    end_in_time(unit)
    unit.check_unbroken("main")


def test_a_unit_whose_camera_hangs(unit: Unit, processes: Processes) -> None:
    server = RtspServer(processes).start()
    unit.cameras = [camera_of(server.url(), "hung"), small_camera("main")]
    unit.write_settings()
    unit.start()
    server.freeze()
    wait_until(lambda: (unit.state("hung").last_frame_age_s or 0) > 1, what="silence of the camera")
    end_in_time(unit)
    for camera in unit.camera_names:
        assert unit.scanned(camera)


def test_a_unit_whose_children_do_not_run(unit: Unit, processes: Processes) -> None:
    unit.start()
    for pid in unit.pids().values():
        psutil.Process(pid).suspend()
    end_in_time(unit)


def test_a_unit_whose_log_nobody_reads(unit: Unit, processes: Processes) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as log:
        unit.process = processes.start(unit.command("run"), stdout=log, stderr=log, env=plain_environment())
    unit.wait_recording()
    link = unit.pid_of("link")
    psutil.Process(link).kill()  # something to log
    unit.wait_other_pid("link", link)
    end_in_time(unit)
    unit.check_unbroken("main")


def test_a_unit_in_the_middle_of_its_start(unit: Unit, processes: Processes) -> None:
    for moment_s in (0.3, 0.6, 0.9, 1.2, 1.6):
        unit.start(wait=False)
        time.sleep(moment_s)  # a moment of the start, whichever it is
        assert unit.process is not None
        unit.process.terminate()
        assert unit.process.wait(30) in {0, -signal.SIGTERM}  # before the interpreter listens, the signal's own way
        assert unit.pids() == {}
    unit.start()
    end_in_time(unit)
    assert unit.scanned()


def test_a_unit_that_uploads(tmp_path: Path, unit: Unit, processes: Processes) -> None:
    centre = Centre(tmp_path, processes, "--public-host", "127.0.0.2").serve()
    unit.cameras = [camera_of(f"file:{make_noise_video(tmp_path / 'noise.mp4')}")]
    with Proxy("127.0.0.1", centre.ingest_port, listen=("127.0.0.2", centre.ingest_port)) as proxy:
        centre.enrol_unit(unit)
        proxy.throttle_bytes_per_s = 300_000
        unit.start()
        newest_us = unit.newest_us("main")
        assert newest_us is not None
        unit.wait_footage_after("main", newest_us + 4_000_000)
        clip_id = centre.ask_clip("main", newest_us, newest_us + 3_000_000)
        wait_until(lambda: proxy.to_server_bytes > 500_000, what="upload under way", timeout_s=60)
        end_in_time(unit)
        assert unit.scanned()
        proxy.throttle_bytes_per_s = 0
        unit.start()
        assert centre.wait_verdict(clip_id).verdict == "verified"
