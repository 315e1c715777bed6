"""A mast between high houses stands, a van is noticed."""

import math
import random
from collections.abc import Iterable, Iterator

import pytest

from edge_agent.position.fixes import Fix
from edge_agent.position.movement import STILL_S, Movement
from tests.unit.position.reports import SECOND_US, moved

BEGUN_US = 60_000_000


def fix(
    second: float, east_m: float, north_m: float = 0.0, *, speed_mps: float | None = 0.0, error_m: float = 6.0
) -> Fix:
    longitude, latitude = moved(east_m, north_m)
    return Fix(longitude, latitude, None, error_m, speed_mps, True, BEGUN_US + round(second * SECOND_US))


def moving_seconds(fixes: Iterable[Fix]) -> list[int]:
    movement = Movement()
    return [second for second, one in enumerate(fixes) if movement.take(one)]


def canyon(seconds: int, seed: int) -> Iterator[Fix]:
    """Reflections: errors wander by 20 m within a minute, by more over the day, twice what the receiver claims."""
    dice = random.Random(seed)
    east = north = 0.0
    keep = math.exp(-1 / 60)
    for second in range(seconds):
        east = east * keep + dice.gauss(0, 20 * math.sqrt(1 - keep**2))
        north = north * keep + dice.gauss(0, 20 * math.sqrt(1 - keep**2))
        drift = 40 * math.sin(second / 7000)
        yield fix(second, east + drift, north, speed_mps=abs(dice.gauss(0, 0.6)), error_m=20.0)


@pytest.mark.parametrize("seed", range(4))
def test_a_mast_in_an_urban_canyon_stands(seed: int) -> None:
    seconds = 6 * 3600
    assert len(moving_seconds(canyon(seconds, seed))) / seconds < 0.01


def test_a_mast_under_open_sky_never_moves() -> None:
    dice = random.Random(1)
    fixes = [
        fix(second, dice.gauss(0, 2), dice.gauss(0, 2), speed_mps=abs(dice.gauss(0, 0.1))) for second in range(3600)
    ]
    assert moving_seconds(fixes) == []


def test_a_mast_on_the_180th_meridian_never_moves() -> None:
    movement, dice = Movement(), random.Random(1)
    for second in range(3600):
        longitude_deg = math.remainder(180 + dice.gauss(0, 3e-5), 360)
        at = Fix(longitude_deg, -16.8 + dice.gauss(0, 3e-5), None, 8.0, 0.1, True, BEGUN_US + second * SECOND_US)
        assert not movement.take(at)


def drive(speeds_mps: Iterable[float], *, says_speed: bool = True) -> list[Fix]:
    east_m, fixes = 0.0, []
    for second, speed_mps in enumerate(speeds_mps):
        east_m += speed_mps
        fixes.append(fix(second, east_m, speed_mps=speed_mps if says_speed else None))
    return fixes


def test_a_van_is_noticed_within_seconds() -> None:
    moving = moving_seconds(drive([0.0] * 60 + [min(2.0 * second, 14.0) for second in range(60)]))
    assert moving[0] - 60 <= 8
    assert moving == list(range(moving[0], 120))


def test_a_van_whose_receiver_tells_no_speed_is_noticed_by_its_distance() -> None:
    moving = moving_seconds(drive([0.0] * 60 + [10.0] * 60, says_speed=False))
    assert moving[0] - 60 <= 10


def test_who_walks_with_the_unit_moves_too() -> None:
    moving = moving_seconds(drive([0.0] * 60 + [1.4] * 120))
    assert 60 < moving[0] <= 110


def test_at_a_red_light_a_van_still_moves_and_when_it_is_parked_it_stands() -> None:
    light, parked = 45, 600
    moving = moving_seconds(drive([10.0] * 60 + [0.0] * light + [10.0] * 60 + [0.0] * parked))
    assert moving == list(range(moving[0], moving[-1] + 1))
    assert moving[-1] == pytest.approx(60 + light + 60 + STILL_S, abs=5)


def test_ten_fixes_a_second_agree_no_sooner_than_one() -> None:
    movement = Movement()
    movement.take(fix(0, 0))
    glitch = [movement.take(fix(1 + tenth / 10, 100)) for tenth in range(10)]
    assert not any(glitch)


def test_after_a_long_absence_the_next_fix_is_where_it_stands() -> None:
    movement = Movement()
    for one in drive([10.0] * 30):
        movement.take(one)
    assert movement.moving
    movement.rest()
    assert not movement.take(fix(1000, 50_000))
