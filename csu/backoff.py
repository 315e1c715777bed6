"""How long to wait before the next attempt: doubled, capped, jittered so that many do not come at once."""

import random


def delay_s(attempt: int, first_s: float, cap_s: float) -> float:
    """Seconds to wait after `attempt` (1 for the first): between half and the whole of the doubled delay."""
    whole_s = min(cap_s, first_s * 2.0 ** min(attempt - 1, 30))
    return whole_s * random.uniform(0.5, 1.0)
