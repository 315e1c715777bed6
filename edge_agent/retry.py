"""Backoff for loops that never give up: tenacity's wait strategies without its call wrapper."""

from tenacity import RetryCallState, Retrying, wait_random_exponential
from tenacity.wait import wait_base


def jittered(first_s: float, longest_s: float, shortest_s: float | None = None) -> wait_base:
    """Waits whose upper limit doubles from `first_s` to `longest_s`, each drawn at random below it ("full jitter").

    None is shorter than `shortest_s`, half of `first_s` unless given.

    At the limit too: a strategy that adds its jitter before it caps has all units of a fleet call at the same instant
    once a long outage is over.
    """
    return wait_random_exponential(multiplier=first_s, min=shortest_s or first_s / 2, max=longest_s)


def backoff_s(strategy: wait_base, attempt: int) -> float:
    """Seconds to wait after the `attempt`-th failure in a row, counted from 1; capped and jittered by `strategy`."""
    state = RetryCallState(Retrying(), None, (), {})
    state.attempt_number = max(attempt, 1)
    return float(strategy(state))
