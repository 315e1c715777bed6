"""Waiting for an outcome with a deadline, instead of sleeping for luck."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from edge_agent.clock import Clock, SystemClock

Outcome = TypeVar("Outcome")

_INTERVAL_S = 0.02
_CLOCK = SystemClock()
"""What is waited for is real: a program, a thread, a socket."""


class _Patience:
    """Ends a wait that has lasted too long."""

    def __init__(self, clock: Clock, what: str, timeout_s: float) -> None:
        self._clock = clock
        self._what = what
        self._timeout_s = timeout_s
        self._end_us = clock.monotonic_us() + round(timeout_s * 1e6)

    def check(self, seen: object) -> None:
        is_over = self._clock.monotonic_us() >= self._end_us
        assert not is_over, f"{self._what}: not within {self._timeout_s} s, last seen {seen!r}"


def _is_on_event_loop() -> bool:
    with suppress(RuntimeError):
        return asyncio.get_running_loop() is not None
    return False


def wait_until(
    probe: Callable[[], Outcome | None], *, what: str, timeout_s: float = 30.0, clock: Clock = _CLOCK
) -> Outcome:
    """Return the probe's first true result; AssertionError that says `what` when the time is over."""
    assert not _is_on_event_loop(), f"{what}: this wait would block the event loop"
    patience = _Patience(clock, what, timeout_s)
    while not (outcome := probe()):
        patience.check(outcome)
        clock.sleep(_INTERVAL_S)
    return outcome


async def until(
    probe: Callable[[], Outcome | None], *, what: str, timeout_s: float = 30.0, clock: Clock = _CLOCK
) -> Outcome:
    """As `wait_until`, for asynchronous tests."""

    async def ask() -> Outcome | None:
        return probe()

    return await until_answered(ask, what=what, timeout_s=timeout_s, clock=clock)


async def until_answered(
    probe: Callable[[], Awaitable[Outcome | None]], *, what: str, timeout_s: float = 30.0, clock: Clock = _CLOCK
) -> Outcome:
    """As `until`, for a probe that has to ask somebody."""
    patience = _Patience(clock, what, timeout_s)
    while not (outcome := await probe()):
        patience.check(outcome)
        await clock.async_sleep(_INTERVAL_S)
    return outcome
