"""A clip is asked for while the ring wraps hard: it arrives whole, and afterwards nothing is pinned."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.proxy import Proxy
from tests.support.centre import Centre, arrived_sha256s, planned_sha256s
from tests.support.polling import wait_until
from tests.support.processes import Processes
from tests.support.unit import Unit, camera_of, make_noise_video, running

pytestmark = pytest.mark.faults

RING_BYTES = 24_000_000
"""About twelve seconds of the camera."""


@pytest.fixture
def unit(tmp_path: Path, processes: Processes) -> Iterator[Unit]:
    video = make_noise_video(tmp_path / "noise.mp4")
    camera = camera_of(f"file:{video}", max_bytes=RING_BYTES, segment_s=1)
    yield from running(Unit(tmp_path / "unit", processes, [camera]))


def test_a_pinned_clip_outlives_the_ring_around_it(tmp_path: Path, processes: Processes, unit: Unit) -> None:
    centre = Centre(tmp_path, processes, "--public-host", "127.0.0.2").serve()
    with Proxy("127.0.0.1", centre.ingest_port, listen=("127.0.0.2", centre.ingest_port)) as proxy:
        proxy.throttle_bytes_per_s = 200_000
        centre.enrol_unit(unit)
        unit.start()
        centre.wait_online()
        start_us = unit.newest_us("main")
        assert start_us is not None
        unit.wait_footage_after("main", start_us + 3_000_000)
        clip_id = centre.ask_clip("main", start_us, start_us + 2_000_000)
        planned = planned_sha256s(unit, "main", clip_id)
        clip_end_us = start_us + 2_000_000
        wait_until(
            lambda: any(end < clip_end_us + 8_000_000 for end in lost_until(unit, clip_end_us)),
            what="footage behind the clip given up",
            timeout_s=120,
        )
        proxy.throttle_bytes_per_s = 0
        clip = centre.wait_verdict(clip_id)
        assert clip.verdict == "verified", clip.reason
        assert arrived_sha256s(clip) == planned
        unit.wait_released("main")
        wait_until(lambda: (unit.coverage().oldest_us or 0) > clip_end_us, what="the clip's footage given up too")
        state = unit.state()
        assert state.pinned_bytes == 0
        assert state.size_bytes < 2 * RING_BYTES
        assert state.dropped_units == 0


def lost_until(unit: Unit, clip_end_us: int) -> list[int]:
    """Where gaps behind the clip begin: footage there was overwritten while the clip's own was kept."""
    return [
        gap.start_us for gap in unit.coverage().last_24h if not gap.held and gap.start_us >= clip_end_us - 2_000_000
    ]
