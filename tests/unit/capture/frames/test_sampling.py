"""Black and frozen cameras are told from ordinary nights."""

import random

from edge_agent.capture.frames.sampling import ImageHealth, ImageSampler
from tests.unit.capture.frames.pictures import grey_picture


def look(sampler: ImageSampler, seconds: range, noise: int, luma: int) -> None:
    chance = random.Random(luma)
    for second in seconds:
        picture = grey_picture(luma=luma)
        memory = picture.planes[0].memory
        for _ in range(4000 if noise else 0):
            memory[chance.randrange(len(memory))] = luma + chance.randrange(noise)
        sampler.look(picture, second * 1_000_000)


def health(sampler: ImageSampler) -> ImageHealth:
    assert sampler.health is not None
    return sampler.health


def test_a_black_picture_is_told_after_ten_seconds_and_no_longer_than_it_lasts() -> None:
    sampler = ImageSampler()
    look(sampler, range(10), 6, 16)
    assert not health(sampler).is_black
    look(sampler, range(10, 50), 6, 16)
    assert health(sampler).is_black
    assert not health(sampler).is_frozen
    look(sampler, range(50, 51), 6, 100)
    assert not health(sampler).is_black


def test_the_very_same_picture_for_half_a_minute_is_frozen() -> None:
    sampler = ImageSampler()
    look(sampler, range(30), 0, 90)
    assert not health(sampler).is_frozen
    look(sampler, range(30, 35), 0, 90)
    assert health(sampler).is_frozen
    look(sampler, range(35, 36), 20, 90)
    assert not health(sampler).is_frozen


def test_a_dark_night_is_neither() -> None:
    sampler = ImageSampler()
    look(sampler, range(120), 25, 17)
    assert not health(sampler).is_black
    assert not health(sampler).is_frozen
    assert health(sampler).mean_luma < 25
