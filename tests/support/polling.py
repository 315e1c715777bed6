"""Waiting for an outcome with a deadline, instead of sleeping for luck."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

Outcome = TypeVar("Outcome")

_INTERVAL_S = 0.02


def wait_until(probe: Callable[[], Outcome | None], *, what: str, timeout_s: float = 30.0) -> Outcome:
    """Return the probe's first true result; AssertionError that says `what` when the time is over."""
    deadline_s = time.monotonic() + timeout_s
    while not (outcome := probe()):
        assert time.monotonic() < deadline_s, f"{what}: not within {timeout_s} s, last seen {outcome!r}"
        time.sleep(_INTERVAL_S)
    return outcome


async def until(probe: Callable[[], Outcome | None], *, what: str, timeout_s: float = 30.0) -> Outcome:
    """As `wait_until`, for asynchronous tests."""
    deadline_s = time.monotonic() + timeout_s
    while not (outcome := probe()):
        assert time.monotonic() < deadline_s, f"{what}: not within {timeout_s} s, last seen {outcome!r}"
        await asyncio.sleep(_INTERVAL_S)
    return outcome


async def until_answered(
    probe: Callable[[], Awaitable[Outcome | None]], *, what: str, timeout_s: float = 30.0
) -> Outcome:
    """As `until`, for a probe that has to ask somebody."""
    deadline_s = time.monotonic() + timeout_s
    while not (outcome := await probe()):
        assert time.monotonic() < deadline_s, f"{what}: not within {timeout_s} s, last seen {outcome!r}"
        await asyncio.sleep(_INTERVAL_S)
    return outcome
