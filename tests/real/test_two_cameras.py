"""A whole unit with two cameras at a whole centre."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.centre import Centre, arrived_sha256s, planned_sha256s
from tests.support.processes import Processes
from tests.support.unit import Unit, running, small_camera

pytestmark = pytest.mark.real


@pytest.fixture
def unit(tmp_path: Path, processes: Processes) -> Iterator[Unit]:
    yield from running(Unit(tmp_path / "unit", processes, [small_camera("main"), small_camera("proxy")]))


def test_a_clip_of_each_camera_arrives_verified(tmp_path: Path, processes: Processes, unit: Unit) -> None:
    centre = Centre(tmp_path, processes).serve()
    centre.enrol_unit(unit)
    unit.start()
    centre.wait_online()
    clips = {}
    for camera in unit.camera_names:
        newest_us = unit.newest_us(camera)
        assert newest_us is not None
        clips[camera] = centre.ask_clip(camera, newest_us, newest_us + 3_000_000)  # reaches into the future
    planned = {camera: planned_sha256s(unit, camera, clip_id) for camera, clip_id in clips.items()}
    for camera, clip_id in clips.items():
        clip = centre.wait_verdict(clip_id)
        assert clip.verdict == "verified", clip.reason
        assert arrived_sha256s(clip) == planned[camera]
        unit.wait_released(camera)
    assert unit.end() == 0
    for camera in unit.camera_names:
        unit.check_unbroken(camera)
