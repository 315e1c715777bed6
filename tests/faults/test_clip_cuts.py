"""Plans, saved clips and the unit's key survive the end of their process at every step."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.faults


def test_a_cut_at_any_step_leaves_what_the_procedures_say(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.clip_cuts", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    places = json.loads(done.stdout)
    changes = {"write": 2, "replace": 2, "remove": 1, "save": 4, "key": 4}
    assert set(places) == set(changes)
    assert all(places[name] >= least for name, least in changes.items()), places
