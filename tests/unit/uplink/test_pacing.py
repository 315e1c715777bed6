"""An upload over simulated paths: short queues where TCP alone fills the buffer, and no way on which it starves."""

import pytest

from edge_agent.uplink.pacing import FAST_BYTES_PER_S, FLOOR_BYTES_PER_S, Pace, Sight, Way
from tests.unit.uplink.simulated_path import Path, Seen, always, simulate

MBIT_2 = 250_000.0


def paced(path: Path, seconds: float = 40.0) -> Seen:
    return simulate(path, [Pace(Way())], seconds)[0]


def unpaced(path: Path, seconds: float = 40.0) -> Seen:
    return simulate(path, [None], seconds)[0]


def median(values: list[float]) -> float:
    return values[len(values) // 2]


def p95(values: list[float]) -> float:
    return values[len(values) * 95 // 100]


@pytest.mark.parametrize(
    ("rate_bytes_per_s", "delay_s"), [(MBIT_2, 0.08), (MBIT_2, 0.01), (MBIT_2, 0.3), (2_500_000.0, 0.08)]
)
def test_a_steady_path_is_full_and_its_queue_short(rate_bytes_per_s: float, delay_s: float) -> None:
    path = Path(always(rate_bytes_per_s), always(delay_s))
    seen, tcp_alone = paced(path), unpaced(path)
    assert seen.goodput(10, 39) > 0.97 * tcp_alone.goodput(10, 39)
    assert p95(seen.queues(10, 39)) < 0.06
    assert p95(tcp_alone.queues(10, 39)) > 0.3


def test_a_narrow_path_queues_a_few_packets() -> None:
    seen = paced(Path(always(32_000.0)))
    assert seen.goodput(10, 39) > 0.97 * 32_000
    assert median(seen.queues(10, 39)) < 0.12


def test_loss_costs_no_more_than_it_costs_tcp() -> None:
    path = Path(always(MBIT_2), loss=0.01)
    assert paced(path).goodput(5, 39) > 0.95 * unpaced(path).goodput(5, 39)


def test_less_capacity_is_followed_within_seconds() -> None:
    path = Path(lambda at_s: MBIT_2 if at_s < 15 else MBIT_2 / 4)
    seen = paced(path)
    assert p95(seen.queues(20, 39)) < 0.15
    assert seen.goodput(20, 39) > 0.95 * MBIT_2 / 4


def test_more_capacity_is_found_within_seconds() -> None:
    path = Path(lambda at_s: MBIT_2 / 8 if at_s < 15 else MBIT_2)
    seen = paced(path)
    assert seen.goodput(20, 39) > 0.95 * MBIT_2
    assert p95(seen.queues(20, 39)) < 0.06


def test_a_way_that_becomes_longer_by_itself_does_not_starve() -> None:
    path = Path(always(MBIT_2), lambda at_s: 0.08 if at_s < 15 else 0.25)
    seen = paced(path)
    assert seen.goodput(20, 39) > 0.95 * MBIT_2
    assert p95(seen.queues(20, 39)) < 0.1


def test_a_way_that_becomes_longer_again_and_again_does_not_starve() -> None:
    path = Path(always(MBIT_2), lambda at_s: 0.06 + 0.2 * (at_s % 6) / 6)
    assert paced(path).goodput(5, 39) > 0.5 * MBIT_2


def test_a_way_that_becomes_shorter_is_seen_by_a_rest() -> None:
    path = Path(always(MBIT_2), lambda at_s: 0.25 if at_s < 10 else 0.08)
    assert p95(paced(path, 50).queues(28, 49)) < 0.08


def test_a_path_that_varies_is_not_taken_for_a_full_one() -> None:
    assert paced(Path(always(MBIT_2), jitter_s=0.03)).goodput(5, 39) > 0.85 * MBIT_2


def test_two_uploads_share_fairly_behind_one_short_queue() -> None:
    way = Way()
    first, second = simulate(Path(always(MBIT_2)), [Pace(way), Pace(way)], 40)
    assert first.goodput(10, 39) + second.goodput(10, 39) > 0.97 * MBIT_2
    assert 0.6 < first.goodput(10, 39) / second.goodput(10, 39) < 1.7
    assert p95(first.queues(10, 39)) < 0.12


def test_a_new_connection_begins_where_the_last_one_was() -> None:
    way = Way()
    simulate(Path(always(MBIT_2)), [Pace(way)], 20)
    again = Pace(way)
    assert 0.7 * MBIT_2 < (again.begin(21_000_000) or 0) < 1.3 * MBIT_2
    assert again.begin(3_600_000_000) is None


def sight(at_s: float, acknowledged_bytes: float, rtt_us: int, *, is_waiting: bool = True) -> Sight:
    return Sight(round(at_s * 1e6), rtt_us, 100, 50, round(acknowledged_bytes), 1448, is_waiting)


def test_a_fast_link_is_left_alone_whatever_its_delay() -> None:
    pace = Pace(Way())
    pace.begin(0)
    for tick in range(100):
        rate = pace.look(sight(tick / 10, 2 * FAST_BYTES_PER_S * tick / 10, 100 if tick < 10 else 90_000))
        assert rate is None


def test_who_has_nothing_to_send_keeps_the_rate() -> None:
    pace = Pace(Way(), 100_000.0)
    for tick in range(50):
        assert pace.look(sight(tick / 10, 0, 300_000, is_waiting=False)) == 100_000.0


def test_a_rate_never_falls_below_the_floor() -> None:
    pace = Pace(Way(), 100_000.0)
    pace.look(sight(0, 0, 100))
    rates = [pace.look(sight(tick / 10, tick, 5_000_000)) for tick in range(1, 300)]
    assert rates[-1] == FLOOR_BYTES_PER_S


def test_an_old_round_trip_slows_nobody() -> None:
    pace = Pace(Way(), 100_000.0)
    pace.look(sight(0, 0, 100))
    assert all(pace.look(sight(tick / 10, 0, 5_000_000)) == 100_000.0 for tick in range(1, 300))
