"""The process that verifies one clip."""

import subprocess
import sys


def test_it_goes_first_when_memory_is_short() -> None:
    words = "from csu import verify_job; verify_job.volunteer(); print(open('/proc/self/oom_score_adj').read())"
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, timeout=60, check=True)
    assert int(done.stdout) == 1000
