"""Waits between attempts."""

from edge_agent.retry import backoff_s, jittered


def test_waits_grow_are_capped_and_differ_at_the_cap_too() -> None:
    strategy = jittered(1.0, 60.0)
    assert all(0.5 <= backoff_s(strategy, 1) <= 1.0 for _ in range(50))
    assert max(backoff_s(strategy, 5) for _ in range(200)) > 4.0
    for attempt in (7, 50, 10_000):
        waits = {backoff_s(strategy, attempt) for _ in range(50)}
        assert len(waits) > 40
        assert max(waits) <= 60.0
        assert min(waits) >= 0.5
