"""A short flood of nonsense on a whole unit; the long one is `benchmarks.flood`."""

from pathlib import Path

import pytest

from benchmarks.flood import RATE, flood, open_rig
from edge_agent.clock import SystemClock
from tests.support.processes import Processes

pytestmark = pytest.mark.real

SECONDS = 5.0
LIMITER_BURST = 10
LIMITER_REFILL_S = 6


def test_a_flood_of_nonsense_moves_nothing(tmp_path: Path, processes: Processes) -> None:
    with open_rig(tmp_path, processes) as rig:
        clock = SystemClock()
        begun_us = clock.monotonic_us()
        result = flood(rig, SECONDS)
        refilled = (clock.monotonic_us() - begun_us) / 1e6 / LIMITER_REFILL_S
        assert rig.unit.end() == 0
        rig.unit.check_unbroken("main")
    assert result.sent >= RATE * SECONDS / 2
    assert result.unanswered == 0
    assert result.dropped_units == 0
    assert result.refusals <= LIMITER_BURST + refilled + 5
    assert result.events <= LIMITER_BURST + refilled + 10
    assert all(grown_mb < 30 for grown_mb in result.grown_mb.values()), result.grown_mb
