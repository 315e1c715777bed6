"""Counters and rates over time."""

from edge_agent.health.windows import Growth, Usual

MINUTE_US = 60_000_000


def test_growth_forgets_and_knows_lives() -> None:
    growth = Growth(3600)
    assert growth.note(0, "a", 40) == 0  # of before we looked
    assert growth.note(10, "a", 42) == 2
    assert growth.note(MINUTE_US, "b", 3) == 5  # another life began at zero
    assert growth.note(61 * MINUTE_US, "b", 3) == 3
    assert growth.note(62 * MINUTE_US, "b", 3) == 0
    assert growth.note(63 * MINUTE_US, "b", 1) == 0  # a counter that goes back counts for nothing


def usual_of(hours: list[float]) -> tuple[Usual, int]:
    """After so many hours of these rates; and the time then."""
    usual, now_us = Usual(), 0
    for value in hours:
        for _ in range(60):
            usual.note(now_us, value)
            now_us += MINUTE_US
    return usual, now_us


def test_what_is_usual_is_known_after_ten_minutes() -> None:
    usual = Usual()
    for minute in range(12):
        assert (usual.usual is None) == (minute <= 10)
        usual.note(minute * MINUTE_US, 25.0)
    assert usual.usual == 25.0


def test_a_slower_night_becomes_usual_and_a_bad_hour_does_not() -> None:
    day_and_night = [25.0] * 14 + [12.5] * 10
    assert usual_of(day_and_night * 7)[0].usual == 12.5
    assert usual_of([25.0] * 100 + [2.0])[0].usual == 25.0


def test_the_last_minute_needs_half_a_minute() -> None:
    usual = Usual()
    usual.note(0, 10.0)
    assert usual.lately(10_000_000) is None
    usual.note(30_000_000, 20.0)
    assert usual.lately(40_000_000) == 15.0
    assert usual.lately(200_000_000) is None
    usual.forget_recent()
    assert usual.lately(40_000_000) is None


def test_the_mean_of_a_day() -> None:
    assert Usual().day_mean is None
    usual, _ = usual_of([1000.0] * 30 + [4000.0] * 12)
    assert usual.day_mean is not None
    assert abs(usual.day_mean - 2500.0) < 100
    assert usual_of([7.0])[0].day_mean == 7.0
