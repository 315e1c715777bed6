"""A minute without a network for a whole unit, on a narrow line; the hour is `benchmarks.offline_hour`."""

from pathlib import Path

import pytest

from benchmarks.offline_hour import run
from benchmarks.offline_rig import HANG_S, Plan
from tests.support.road import require_name_spaces

pytestmark = [pytest.mark.real, pytest.mark.slow]


def test_everything_arrives_in_order_after_a_minute_without_a_network(tmp_path: Path) -> None:
    require_name_spaces()
    plan = Plan(length_s=HANG_S + 30, away_s=HANG_S + 20, hang_every_s=1_000, keepalive_s=5)
    figures, problems = run(tmp_path, plan)
    assert problems == [], figures
    assert figures["hangs"] == 1
    assert figures["outbox_empty_after_s"] < 180
