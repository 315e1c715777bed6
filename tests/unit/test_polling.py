"""The waits of the tests themselves: the first true answer counts, and none waits for ever."""

import pytest

from edge_agent.clock import FakeClock
from tests.support.polling import until, until_answered, wait_until


def test_the_first_true_result_is_returned() -> None:
    answers = iter([None, 0, "here", "later"])
    assert wait_until(lambda: next(answers), what="it", clock=FakeClock()) == "here"


def test_a_wait_that_is_over_says_what_was_waited_for_and_last_seen() -> None:
    clock = FakeClock()
    before_us = clock.monotonic_us()
    with pytest.raises(AssertionError, match=r"the verdict: not within 2 s, last seen \[\]"):
        wait_until(list[int], what="the verdict", timeout_s=2, clock=clock)
    assert 2_000_000 <= clock.monotonic_us() - before_us < 2_100_000


async def test_asynchronous_waits_are_alike() -> None:
    async def never() -> int:
        return 0

    answers = iter([None, 7])
    assert await until(lambda: next(answers), what="it", clock=FakeClock()) == 7
    with pytest.raises(AssertionError, match="an answer: not within 2 s, last seen 0"):
        await until_answered(never, what="an answer", timeout_s=2, clock=FakeClock())


async def test_a_wait_that_would_block_the_event_loop_is_refused() -> None:
    with pytest.raises(AssertionError, match="it: this wait would block the event loop"):
        wait_until(lambda: True, what="it", clock=FakeClock())
