"""A clip of three quarters of an hour goes the whole way: from the ring of an earlier run to the centre's verdict."""

from collections.abc import Iterator
from pathlib import Path

import av
import pytest

from edge_agent.buffer.layout import segment_file
from edge_agent.clock import SystemClock
from edge_agent.contract.clip import Interval
from edge_agent.paths import ring_directory
from tests.builders import WALL_US, make_units, shifted
from tests.support.centre import Centre
from tests.support.processes import Processes
from tests.support.segments import write_segments
from tests.support.unit import Unit, running

pytestmark = [pytest.mark.real, pytest.mark.slow]

MINUTES = 50
ASKED_MINUTES = 45
FPS = 12


def write_past(unit: Unit) -> Interval:
    """Fifty minutes that another run of the recorder left, until a minute ago; the asked part of them."""
    start_us = SystemClock().wall_us() - (MINUTES + 1) * 60_000_000
    stream = make_units(MINUTES * 60, fps=FPS, gop=FPS)
    past = shifted(stream, capture_us=start_us - WALL_US)
    write_segments(ring_directory(unit.data_dir, "main"), past, file_of=segment_file)
    asked_us = start_us + 120_400_000
    return Interval(start_us=asked_us, end_us=asked_us + ASKED_MINUTES * 60_000_000)


@pytest.fixture
def unit(tmp_path: Path, processes: Processes) -> Iterator[Unit]:
    yield from running(Unit(tmp_path / "unit", processes))


def test_a_long_clip_is_verified(tmp_path: Path, processes: Processes, unit: Unit) -> None:
    asked = write_past(unit)
    centre = Centre(tmp_path, processes).serve()
    centre.enrol_unit(unit)
    unit.start()
    centre.wait_online()
    clip_id = centre.ask_clip("main", asked.start_us, asked.end_us)
    clip = centre.wait_verdict(clip_id)
    assert clip.verdict == "verified", clip.reason
    with av.open(next(Path(clip.folder).glob("*.mp4"))) as video:
        assert video.duration == pytest.approx((asked.end_us - asked.start_us), abs=1_000_000 / FPS)
    unit.wait_released("main")
