"""The process that verifies one clip."""

import io
import subprocess
import sys

from csu.verify_job import beat
from edge_agent.clock import FakeClock


def test_it_goes_first_when_memory_is_short() -> None:
    words = "from csu import verify_job; verify_job.volunteer(); print(open('/proc/self/oom_score_adj').read())"
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, timeout=60, check=True)
    assert int(done.stdout) == 1000


def test_who_waits_is_told_at_most_once_a_second() -> None:
    clock, out = FakeClock(), io.StringIO()
    tell = beat(clock, out)
    for _ in range(40):
        clock.advance(0.1)
        tell()
    assert 3 <= len(out.getvalue()) <= 4
    assert out.getvalue().strip() == ""
