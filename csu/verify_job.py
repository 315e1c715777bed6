"""Verifies one clip in a process of its own: `python -m csu.verify_job FOLDER`, the unit's JWK set on standard input.

With `--nice` every other process goes first.
Decoding what came from outside is where a crash, an endless loop or a want of memory would come from; here it takes
nothing with it.
Prints an empty line now and then while it goes on, and at last one JSON object,
`{"reason": text or null, "is_unreadable": whether this machine's storage is to blame, "report": {…}}`.
"""

import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from csu.verify import verify_clip
from edge_agent.clock import Clock, SystemClock
from edge_agent.contract.jws import TrustedKeys

_VICTIM = "1000"
"""The highest score of proc_pid_oom_score_adj(5): when memory is short, this process goes and not the centre."""
_NICE = 10
"""A tenth of what another process has: the centre and short clips go first, and it never stands still."""
_AUTOGROUP = "/proc/self/autogroup"
"""Where the kernel shares the processor out by sessions, a process's own value says little (sched(7), autogroup)."""
_BEAT_US = 1_000_000


def volunteer() -> None:
    """Be the one that the kernel ends when memory is short; without effect where it does not let itself be told."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_VICTIM, encoding="ascii")


def step_back() -> None:
    """Let every other process go first, from now on."""
    os.nice(_NICE)
    with suppress(OSError):  # a kernel without that feature
        Path(_AUTOGROUP).write_text(str(_NICE), encoding="ascii")


def beat(clock: Clock, out: TextIO) -> Callable[[], None]:
    """What is called while it goes on, and writes an empty line at most once a second."""
    told_us = clock.monotonic_us()

    def tell() -> None:
        nonlocal told_us
        now_us = clock.monotonic_us()
        if now_us - told_us >= _BEAT_US:
            told_us = now_us
            out.write("\n")
            out.flush()

    return tell


def main() -> int:
    """Verify and print; 0 whatever the verdict, else the job itself failed."""
    volunteer()
    if "--nice" in sys.argv[2:]:
        step_back()
    keys = TrustedKeys.from_json(sys.stdin.read())
    verdict = verify_clip(Path(sys.argv[1]), keys, progress=beat(SystemClock(), sys.stdout))
    reason = verdict.reason
    if reason is None and verdict.signature != "valid":
        reason = "the manifest's signature was not checked"
    words = {"reason": reason, "is_unreadable": verdict.is_unreadable, "report": verdict.to_object()}
    sys.stdout.write(json.dumps(words))
    return 0


if __name__ == "__main__":
    sys.exit(main())
