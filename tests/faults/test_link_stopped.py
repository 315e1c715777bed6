"""The link is stopped in its tracks, hundreds of times: the recorders do not notice."""

import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from edge_agent.paths import ring_directory
from tests.support.centre import Centre
from tests.support.polling import wait_until
from tests.support.processes import Processes
from tests.support.unit import Unit, plain_environment, running, small_camera

pytestmark = [pytest.mark.faults, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
MAX_WAL_BYTES = 4_200_000
LEAST_STOPS = 300


class Prodder:
    """Continues a process whenever it is found stopped, after having left it so for a moment."""

    def __init__(self, pid: int, pause_s: float) -> None:
        self._process = psutil.Process(pid)
        self._pause_s = pause_s
        self._end = threading.Event()
        self.stops = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._end.is_set() and self._process.is_running():
            if self._process.status() == psutil.STATUS_STOPPED:
                self.stops += 1
                self._end.wait(self._pause_s)
                self._process.resume()
            else:
                self._end.wait(0.001)

    def end(self) -> None:
        self._end.set()
        self._thread.join()


@pytest.fixture
def unit(tmp_path: Path, processes: Processes) -> Iterator[Unit]:
    yield from running(Unit(tmp_path / "unit", processes, [small_camera("main"), small_camera("proxy")]))


def test_a_link_that_is_stopped_at_every_access_harms_no_recording(
    tmp_path: Path, processes: Processes, unit: Unit
) -> None:
    centre = Centre(tmp_path, processes).serve()
    centre.enrol_unit(unit, keepalive_s=60)
    recorders = [unit.spawn("record", camera) for camera in unit.camera_names]
    unit.wait_recording()
    with (unit.directory / "log-link.txt").open("wb") as log:
        link = processes.start(
            [sys.executable, "-m", "tests.support.link_stopper", unit.settings_file],
            cwd=ROOT,
            env=plain_environment(),
            stdout=log,
            stderr=log,
        )
    prodder = Prodder(link.pid, pause_s=0.005)
    try:
        centre.wait_online()
        start_us = unit.newest_us("main")
        assert start_us is not None
        clips = [centre.ask_clip(camera, start_us - 1_000_000, start_us) for camera in unit.camera_names]
        for clip_id in clips:
            assert centre.wait_verdict(clip_id).verdict == "verified"
        wait_until(lambda: prodder.stops > LEAST_STOPS, what="stops", timeout_s=60)
    finally:
        prodder.end()
    psutil.Process(link.pid).suspend()  # for good, wherever it is
    stopped_us = unit.newest_us("main")
    assert stopped_us is not None
    unit.wait_footage_after("main", stopped_us + 5_000_000)
    for camera in unit.camera_names:
        state = unit.state(camera)
        assert (state.dropped_units, state.write_errors, state.storage_ok) == (0, 0, True)
        assert unit.gaps(camera) == []
        wal = ring_directory(unit.data_dir, camera) / "index.db-wal"
        assert wal.stat().st_size < MAX_WAL_BYTES
    for recorder in recorders:
        recorder.terminate()
        assert recorder.wait(20) == 0
    for camera in unit.camera_names:
        unit.check_unbroken(camera)
