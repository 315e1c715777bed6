"""`edge-agent still` as a person uses it: of a drawn camera with masks, and of one that encodes, well and silent."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from edge_agent.clock import SystemClock
from tests.real.rtsp import RtspServer
from tests.support.polling import wait_until
from tests.support.processes import Processes
from tests.support.unit import Unit, camera_of, running, small_camera

pytestmark = pytest.mark.real

MASK = [[0.5, 0.5], [1.0, 0.5], [1.0, 1.0], [0.5, 1.0]]


@pytest.fixture
def unit(tmp_path: Path, processes: Processes) -> Iterator[Unit]:
    yield from running(Unit(tmp_path / "unit", processes))


def refusal(unit: Unit, *words: str | Path) -> tuple[int, str]:
    outcome = unit.cli("still", *words)
    assert "Traceback" not in outcome.stderr
    assert outcome.stdout == ""
    return outcome.returncode, outcome.stderr


def test_a_still_is_masked_and_says_who_took_it_and_when(tmp_path: Path, unit: Unit) -> None:
    unit.cameras = [small_camera(masks=[MASK], proxy={"width": 96, "height": 72})]
    unit.write_settings()
    unit.start()
    before_us = SystemClock().wall_us()
    taken = unit.cli("still", "main", "-o", tmp_path / "now.jpg")
    assert taken.returncode == 0, taken.stderr
    assert "main: 192x144, taken " in taken.stdout
    with Image.open(tmp_path / "now.jpg") as image:
        assert image.getexif()[ExifTags.Base.ImageDescription] == "nomad-07 main"
        day = image.getexif().get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal]
        luma = np.asarray(image.convert("L"))
    assert luma[80:, 104:].max() < 12
    assert luma[:60].mean() > 60
    assert day[:4] == str(np.datetime64(before_us, "us"))[:4]

    assert refusal(unit, "main", "-o", tmp_path / "now.jpg") == (
        2,
        f"edge-agent: {tmp_path}/now.jpg is there already; name another file\n",
    )
    assert refusal(unit, "main", "-o", tmp_path / "none" / "now.jpg")[0] == 2
    assert refusal(unit, "main", "--wait", "0", "-o", tmp_path / "a.jpg")[0] == 2
    code, said = refusal(unit, "main-proxy", "-o", tmp_path / "a.jpg")
    assert (code, "ask for a still of its camera" in said) == (1, True)
    code, said = refusal(unit, "side", "-o", tmp_path / "a.jpg")
    assert (code, "there is: main" in said) == (2, True)
    assert list(tmp_path.glob("*.jpg")) == [tmp_path / "now.jpg"]
    assert unit.gaps() == []

    assert unit.end() == 0
    assert refusal(unit, "main", "-o", tmp_path / "a.jpg")[0] == 3


def test_a_camera_that_encodes_gives_its_newest_key_picture_and_none_when_it_is_silent(
    tmp_path: Path, processes: Processes, unit: Unit
) -> None:
    server = RtspServer(processes).start()
    unit.cameras = [camera_of(server.url(), "dome", connect_timeout_s=2, stall_timeout_s=2)]
    unit.write_settings()
    unit.start()
    state = unit.state("dome")
    taken = unit.cli("still", "dome", "-o", tmp_path / "now.jpg")
    assert taken.returncode == 0, taken.stderr
    with Image.open(tmp_path / "now.jpg") as image:
        assert image.size == (state.width_px, state.height_px)
    assert unit.gaps("dome") == []

    server.freeze()
    wait_until(lambda: not unit.state("dome").recording, what="the loss noticed", timeout_s=30)
    before = unit.state("dome").detail
    code, said = refusal(unit, "dome", "--wait", "1", "-o", tmp_path / "silent.jpg")
    assert (code, "the camera gave no picture within 1 s: " in said) == (1, True)
    assert before
    # The next attempt has words of its own for the silence.
    assert any(detail in said for detail in (before, unit.state("dome").detail))
    assert not (tmp_path / "silent.jpg").exists()
    server.thaw()
    unit.wait_recording("dome")
    assert unit.cli("still", "dome", "-o", tmp_path / "again.jpg").returncode == 0
