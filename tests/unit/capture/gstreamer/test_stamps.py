"""Which stamps of a pipeline are believed."""

from edge_agent.capture.gstreamer.framing import Times
from edge_agent.capture.gstreamer.stamps import StampJudge, Stamps

NOW_US = 1_000_000_000
PICTURE_NS = 40_000_000
SUSPENDED_US = 7_000_000


def judge() -> StampJudge:
    return StampJudge(lambda monotonic_us: monotonic_us + SUSPENDED_US)


def times(number: int, taken_us: int) -> Times:
    running_ns = number * PICTURE_NS
    return Times(running_ns, running_ns - PICTURE_NS, PICTURE_NS, (taken_us - SUSPENDED_US) * 1000)


def test_what_a_live_source_stamps_is_when_it_was_taken() -> None:
    found = judge().judge(times(10, NOW_US - 60_000), NOW_US)
    assert found == Stamps(36_000, 32_400, 3_600, NOW_US - 60_000)


def test_what_was_not_told_is_not_made_up() -> None:
    assert judge().judge(Times(), NOW_US) == Stamps(None, None, 0, None)
    assert judge().judge(Times(pts=PICTURE_NS), NOW_US) == Stamps(3_600, None, 0, None)


def test_stamps_that_stand_still_are_not_believed_and_reported() -> None:
    one = judge()
    assert one.judge(times(1, NOW_US), NOW_US).pts_90k == 3_600
    for number in range(1, 5):
        assert one.judge(times(1, NOW_US), NOW_US + number * 40_000) == Stamps(None, None, 3_600, None)
    assert one.doubt == "timestamps-stand-still"
    for number in range(2, 260):
        one.judge(times(number, NOW_US + number * 40_000), NOW_US + number * 40_000)
    assert one.doubt is None


def test_stamps_of_another_clock_date_nothing_but_keep_their_distances() -> None:
    for offset_us in (3_600_000_000, -3_600_000_000):
        one = judge()
        found = one.judge(times(5, NOW_US + offset_us), NOW_US)
        assert found.pts_90k == 18_000
        assert found.capture_us is None
        assert one.doubt == "timestamps-of-another-clock"
