"""Verifies one clip in a process of its own: `python -m csu.verify_job FOLDER`, the unit's JWK set on standard input.

Decoding what came from outside is where a crash, an endless loop or a want of memory would come from; here it takes
nothing with it.
Prints one JSON object, `{"reason": text or null, "report": {…}}`.
"""

import json
import sys
from contextlib import suppress
from pathlib import Path

from csu.verify import verify_clip
from edge_agent.contract.jws import TrustedKeys

_VICTIM = "1000"
"""The highest score of proc_pid_oom_score_adj(5): when memory is short, this process goes and not the centre."""


def volunteer() -> None:
    """Be the one that the kernel ends when memory is short; without effect where it does not let itself be told."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_VICTIM, encoding="ascii")


def main() -> int:
    """Verify and print; 0 whatever the verdict, else the job itself failed."""
    volunteer()
    keys = TrustedKeys.from_json(sys.stdin.read())
    verdict = verify_clip(Path(sys.argv[1]), keys)
    reason = verdict.reason
    if reason is None and verdict.signature != "valid":
        reason = "the manifest's signature was not checked"
    sys.stdout.write(json.dumps({"reason": reason, "report": verdict.to_object()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
