"""On whose word footage is destroyed because it is old enough.

chrony and the kernel are believed at once. GNSS alone is believed when the machine's own clock is near it, or when it
has said the same for a day: who makes a receiver believe in a later year for a while must not thereby have footage
destroyed, and a unit that lay on a shelf for months must not keep it for ever.
"""

from collections.abc import Iterable

from edge_agent.buffer.clock_model import Anchor
from edge_agent.buffer.segment import UtcEstimate
from edge_agent.clock import Clock

_DAY_US = 86_400_000_000


def may_destroy(now: UtcEstimate, anchors: Iterable[Anchor], clock: Clock) -> bool:
    """Whether this estimate of now is good enough to tell footage's age by.

    Args:
        now: of the model.
        anchors: of this boot.
        clock: the machine's.
    """
    if now.source != "gnss":
        return now.source != "unknown"
    if abs(clock.wall_us() - now.utc_us) < _DAY_US:
        return True
    first_us = min((anchor.monotonic_us for anchor in anchors if anchor.source == "gnss"), default=None)
    return first_us is not None and clock.monotonic_us() - first_us >= _DAY_US
