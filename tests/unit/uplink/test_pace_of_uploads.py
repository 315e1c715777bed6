"""Chunk sizes and expected ends."""

from edge_agent.clock import FakeClock
from edge_agent.uplink.chunk_size import ChunkSize
from edge_agent.uplink.progress import ProgressMeter


def chunks(clock: FakeClock, rate_bytes_per_s: float, number: int) -> list[int]:
    size = ChunkSize(4_000_000, clock)
    sizes = []
    for _ in range(number):
        sizes.append(size.begin())
        clock.advance(sizes[-1] / rate_bytes_per_s)
        size.end(sizes[-1])
    return sizes


def test_a_slow_link_gets_chunks_of_the_settings() -> None:
    assert chunks(FakeClock(), 250_000, 4) == [4_000_000] * 4


def test_a_fast_link_gets_what_it_takes_in_two_seconds() -> None:
    assert chunks(FakeClock(), 25_000_000, 3) == [4_000_000, 50_000_000, 50_000_000]
    assert chunks(FakeClock(), 50_000_000, 4) == [4_000_000, 64_000_000, 100_000_000, 100_000_000]


def test_a_chunk_has_an_end_on_any_link() -> None:
    assert max(chunks(FakeClock(), 1e12, 9)) == 1_000_000_000


def test_after_a_failure_chunks_are_small_again() -> None:
    clock = FakeClock()
    size = ChunkSize(100_000, clock)
    size.begin()
    clock.advance(0.001)
    size.end(100_000)
    assert size.begin() == 1_600_000
    size.interrupted()
    assert size.begin() == 100_000


def test_a_chunk_that_was_too_large_is_the_last_large_one() -> None:
    clock = FakeClock()
    size = ChunkSize(100_000, clock)
    size.begin()
    size.end(100_000)
    assert size.begin() > 100_000
    assert size.too_large()
    assert size.begin() == 100_000
    size.end(100_000)
    assert size.begin() == 100_000
    assert not size.too_large()


def test_a_chunk_that_was_interrupted_is_not_reached_again() -> None:
    clock = FakeClock()
    size = ChunkSize(100_000, clock)
    for _ in range(3):
        size.begin()
        size.interrupted()
    size.begin()
    size.end(100_000)
    assert size.begin() == 1_600_000
    size.interrupted()
    for _ in range(5):
        size.end(size.begin())
    assert size.begin() == 800_000


def test_the_end_is_expected_at_the_rate_of_the_last_minute() -> None:
    clock = FakeClock()
    meter = ProgressMeter(1_000_000, clock)
    meter.begin(100_000)
    clock.advance(10)
    progress = meter.reached(200_000)
    assert (progress.sent_bytes, progress.total_bytes) == (200_000, 1_000_000)
    assert progress.expected_end_us == clock.wall_us() + 80_000_000


def test_a_long_cut_does_not_slow_the_expectation() -> None:
    clock = FakeClock()
    meter = ProgressMeter(1_000_000, clock)
    meter.begin(0)
    clock.advance(3600)
    meter.begin(0)
    clock.advance(1)
    assert meter.reached(500_000).expected_end_us == clock.wall_us() + 1_000_000


def test_nothing_sent_gives_no_expectation() -> None:
    clock = FakeClock()
    meter = ProgressMeter(1_000_000, clock)
    meter.begin(0)
    assert meter.reached(0).expected_end_us is None
