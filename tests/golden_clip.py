"""The clip whose bytes are kept in `tests/golden/clip.mp4`: two pictures into the golden segment, up to its end.

`.venv/bin/python -m tests.golden_clip` writes it again. That is right after a deliberate change of the format, or
when the golden segment has changed; `docs/formats.md` then changes too.
"""

import sys
from pathlib import Path

from edge_agent.buffer.clip.plan import PlannedClip, plan_parts
from edge_agent.buffer.segment_scan import scan_segment
from edge_agent.contract.clip import Interval
from tests.builders import WALL_US
from tests.golden_segment import GOLDEN as GOLDEN_SEGMENT
from tests.support.recording import LinearUtc

GOLDEN = Path(__file__).parent / "golden" / "clip.mp4"

ASKED = Interval(start_us=WALL_US + 60_000, end_us=WALL_US + 1_000_000)


def plan() -> PlannedClip:
    """The plan over the golden segment."""
    info = scan_segment(GOLDEN_SEGMENT, GOLDEN_SEGMENT.parent).info
    assert info is not None
    return plan_parts([info], LinearUtc(), ASKED)


def whole(planned: PlannedClip) -> bytes:
    """The clip's bytes."""
    segment = GOLDEN_SEGMENT.read_bytes()
    ranges = planned.parts[0].ranges
    body = [segment[piece.offset : piece.offset + piece.length_bytes] for piece in ranges]
    return b"".join([planned.headers[0], *body])


def main() -> int:
    """Write the golden file again."""
    GOLDEN.write_bytes(whole(plan()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
