"""Backoff for loops that never give up: tenacity's wait strategies without its call wrapper."""

from tenacity import RetryCallState, Retrying
from tenacity.wait import wait_base


def backoff_s(strategy: wait_base, attempt: int) -> float:
    """Seconds to wait after the `attempt`-th failure in a row, counted from 1; capped and jittered by `strategy`."""
    state = RetryCallState(Retrying(), None, (), {})
    state.attempt_number = max(attempt, 1)
    return float(strategy(state))
