"""How many pictures really come."""

from edge_agent.capture.pace import Pace, PaceMeter


def paces(meter: PaceMeter, fps: float, seconds: float) -> list[Pace]:
    found = [meter.add(round(number * 1e6 / fps)) for number in range(round(fps * seconds) + 1)]
    return [pace for pace in found if pace is not None]


def test_a_camera_that_sends_half_is_slow_once_it_has_settled() -> None:
    found = paces(PaceMeter(25.0), 12.5, 16)
    assert [pace.is_slow for pace in found] == [False, True, True]
    assert round(found[1].fps, 1) == 12.5
    assert not any(pace.is_slow for pace in paces(PaceMeter(25.0), 24.9, 16))
    assert not any(pace.is_slow for pace in paces(PaceMeter(0.0), 1.0, 16))


def test_what_no_camera_sends_runs_free() -> None:
    assert paces(PaceMeter(25.0), 400.0, 5.1)[0].runs_free
    assert not paces(PaceMeter(240.0), 240.0, 5.1)[0].runs_free
