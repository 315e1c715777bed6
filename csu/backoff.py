"""How long to wait before the next attempt: doubled, capped, jittered so that many do not come at once."""

from edge_agent.retry import backoff_s, jittered


def delay_s(attempt: int, first_s: float, cap_s: float) -> float:
    """Seconds to wait after `attempt` (1 for the first): from half of `first_s` to the doubled delay, at random."""
    return backoff_s(jittered(first_s, cap_s), attempt)
