"""How fast the last transfer was."""

from edge_agent.clock import FakeClock
from edge_agent.contract.messages import Progress
from edge_agent.health.round_trips import RoundTrips
from edge_agent.uplink.upload_meter import UploadMeter


class Heard:
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.words: list[tuple[object, ...]] = []

    def on_progress(self, clip_id: str, progress: Progress) -> None:
        self.words.append((clip_id, progress.sent_bytes))

    def on_delivered(self, clip_id: str, manifest_sha256: str) -> None:
        self.words.append((clip_id, manifest_sha256))

    def on_refused(self, clip_id: str, code: str, message: str) -> None:
        self.words.append((clip_id, code, message))

    def on_damaged(self, clip_id: str, message: str) -> None:
        self.words.append((clip_id, message))


def progress(sent_bytes: int) -> Progress:
    return Progress(sent_bytes=sent_bytes, total_bytes=10**9)


def test_the_rate_is_that_of_the_last_minute_of_the_last_transfer() -> None:
    clock, heard = FakeClock(), Heard()
    meter = UploadMeter(heard, clock)
    assert meter.figures() == {}
    for second in range(0, 200, 10):
        rate = 250_000 if second < 100 else 125_000
        meter.on_progress("a", progress(rate * second))
        clock.advance(10)
    assert meter.figures() == {"upload_kbps": 1000.0, "upload_age_s": 10}
    clock.advance(600)
    assert meter.figures()["upload_age_s"] == 610


def test_what_was_resumed_or_sent_before_does_not_count() -> None:
    clock = FakeClock()
    meter = UploadMeter(Heard(), clock)
    meter.on_progress("a", progress(900_000_000))
    clock.advance(10)
    meter.on_progress("b", progress(0))
    assert meter.figures() == {}
    clock.advance(8)
    meter.on_progress("b", progress(1_000_000))
    assert meter.figures()["upload_kbps"] == 1000.0
    meter.on_progress("b", progress(500))  # the ingest lost some
    clock.advance(8)
    meter.on_progress("b", progress(1_000_500))
    assert meter.figures()["upload_kbps"] == 1000.0


def test_everything_is_handed_on() -> None:
    heard = Heard()
    meter = UploadMeter(heard, FakeClock())
    meter.on_progress("a", progress(1))
    meter.on_delivered("a", "digest")
    meter.on_refused("b", "upload-refused", "no")
    meter.on_damaged("c", "gone")
    assert heard.words == [("a", 1), ("a", "digest"), ("b", "upload-refused", "no"), ("c", "gone")]


def test_one_slow_ping_of_a_modem_that_slept_is_not_the_round_trip() -> None:
    clock = FakeClock()
    trips = RoundTrips(clock)
    assert trips.figures() == {}
    for took_us in (80_000, 90_000, 6_000_000, 100_000):
        clock.advance(45)
        trips.note(took_us)
    clock.advance(5)
    assert trips.figures() == {"round_trip_ms": 95.0, "round_trip_age_s": 5}
