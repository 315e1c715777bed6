"""Which fixes are believed."""

import pytest

from edge_agent.position.fixes import CONFIRMING, Fix, FixFilter
from edge_agent.position.reports import Gst, Tpv
from tests.unit.position.reports import LYON, SECOND_US, moved, tpv

BEGUN_US = 60_000_000


class Run:
    """A filter fed a report a second; the monotonic clock runs with the reports, whatever they say."""

    def __init__(self) -> None:
        self.filter = FixFilter()
        self.now_us = BEGUN_US

    def take(self, report: Tpv) -> Fix | None:
        self.now_us += SECOND_US
        return self.filter.take(report, self.now_us)

    def stand(self, seconds: int = 3) -> None:
        for second in range(seconds):
            assert self.take(tpv(second)) is not None


@pytest.fixture
def run() -> Run:
    return Run()


def test_a_fix_says_where_how_well_and_when(run: Run) -> None:
    fix = run.take(tpv(0, altitude_m=218.04, speed_mps=13.888))
    assert fix == Fix(*LYON, 218.0, 6.0, 13.89, True, run.now_us)
    assert run.filter.trouble == ""


def test_two_dimensions_have_no_altitude(run: Run) -> None:
    fix = run.take(tpv(0, mode=2, altitude_m=218.0))
    assert fix is not None
    assert (fix.is_3d, fix.altitude_m) == (False, None)


def test_error_statistics_count_while_they_are_young(run: Run) -> None:
    run.filter.take_errors(Gst(1.5, 2.0), run.now_us)
    assert [fix.accuracy_m for second in range(8) if (fix := run.take(tpv(second)))] == [5.0] * 5 + [6.0] * 3


@pytest.mark.parametrize(
    ("report", "words"),
    [
        (tpv(3, mode=1), "no fix"),
        (tpv(3, mode=0), "no fix"),
        (tpv(3, longitude_deg=None), "without a place"),
        (tpv(3, (0.0, 0.0)), "0° 0°"),
        (tpv(3, is_simulated=True), "simulates"),
    ],
)
def test_what_is_no_fix(run: Run, report: Tpv, words: str) -> None:
    run.stand()
    assert run.take(report) is None
    assert words in run.filter.trouble
    assert run.take(tpv(4)) is not None


def test_a_receiver_whose_time_stands_still_is_not_believed_for_long(run: Run) -> None:
    run.stand(5)
    fixes = [run.take(tpv(4)) for _ in range(30)]
    assert {fix.monotonic_us for fix in fixes if fix} == {BEGUN_US + 5 * SECOND_US}, "a repeated fix gets no younger"
    assert fixes[6:] == [None] * 24
    assert "does not go on" in run.filter.trouble
    assert run.filter.refused["the receiver's time does not go on"] == 24
    assert run.take(tpv(40)) is not None


def test_reports_without_a_time_do_not_hide_that_it_stands_still(run: Run) -> None:
    run.stand(5)
    fixes = [run.take(tpv(4, time_us=None if second % 2 else tpv(4).time_us)) for second in range(30)]
    assert not any(fixes[7:])


def test_a_receiver_that_never_tells_the_time_is_believed_about_the_place(run: Run) -> None:
    assert all(run.take(tpv(0, time_us=None)) for _ in range(30))


@pytest.mark.parametrize("weeks", [-1024, 1024])
def test_a_time_that_jumps_costs_one_report_at_most(run: Run, weeks: int) -> None:
    """A roll-over of the week number: the receiver still knows where it is."""
    run.stand(5)
    offset_s = weeks * 7 * 86_400
    fixes = [run.take(tpv(second + offset_s)) for second in range(5, 15)]
    assert sum(fix is None for fix in fixes) == (1 if weeks < 0 else 0)
    assert all(fixes[1:])


def test_the_same_place_is_fine_while_time_goes_on(run: Run) -> None:
    run.stand(600)


def test_a_leap_is_believed_when_it_lasts(run: Run) -> None:
    run.stand()
    far = moved(5_000)
    fixes = [run.take(tpv(3 + second, far)) for second in range(CONFIRMING)]
    assert fixes[:-1] == [None] * (CONFIRMING - 1)
    assert fixes[-1] is not None
    assert fixes[-1].place == pytest.approx(far)
    assert run.filter.refused["the receiver leaps"] == CONFIRMING - 1


def test_a_leap_there_and_back_is_never_believed(run: Run) -> None:
    run.stand()
    for second in range(3, 40):
        fix = run.take(tpv(second, LYON if second % 2 else moved(5_000 * second)))
        assert (fix is not None) == bool(second % 2)


def test_a_fast_van_does_not_leap(run: Run) -> None:
    for second in range(60):
        assert run.take(tpv(second, moved(45.0 * second), speed_mps=45.0)) is not None


def test_who_was_away_may_be_elsewhere(run: Run) -> None:
    run.stand()
    run.now_us += 600 * SECOND_US
    assert run.take(tpv(700, moved(20_000))) is not None
