import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.capture.scene import Scene
from edge_agent.capture.timecode import TimeCode, draw, fits, read

SIZES = [(1280, 720), (1920, 1080), (704, 576), (640, 360), (320, 240), (144, 48)]


@pytest.mark.parametrize("size", SIZES)
@settings(deadline=None)
@given(utc_ms=st.integers(0, (1 << 48) - 1), frame=st.integers(0, 255))
def test_what_is_drawn_is_read(size: tuple[int, int], utc_ms: int, frame: int) -> None:
    luma = np.zeros((size[1], size[0]), dtype=np.uint8)
    code = TimeCode(utc_ms, frame)
    draw(luma, code)
    assert read(luma) == code


def test_full_range_and_noise_do_not_matter() -> None:
    luma = np.zeros((720, 1280), dtype=np.uint8)
    code = TimeCode(1_790_000_000_123, 77)
    draw(luma, code)
    full = (luma.astype(np.float64) - 16) * 255 / 219
    noisy = full + np.random.default_rng(1).normal(0, 25, luma.shape)
    assert read(np.clip(noisy, 0, 255).astype(np.uint8)) == code


@pytest.mark.parametrize("value", [0, 16, 126, 235, 255])
def test_a_blank_picture_has_no_code(value: int) -> None:
    assert read(np.full((720, 1280), value, dtype=np.uint8)) is None


def test_noise_has_no_code() -> None:
    noise = np.random.default_rng(2).integers(0, 256, (720, 1280), dtype=np.uint8)
    assert read(noise) is None


def test_a_flipped_block_is_noticed() -> None:
    luma = np.zeros((720, 1280), dtype=np.uint8)
    draw(luma, TimeCode(1_790_000_000_123, 77))
    luma[16:32, 16:32] = 251 - luma[16:32, 16:32]
    assert read(luma) is None


def test_too_small_a_picture_has_no_room() -> None:
    assert not fits(142, 96)
    assert read(np.zeros((32, 64), dtype=np.uint8)) is None


@pytest.mark.parametrize("size", SIZES)
def test_a_scene_carries_its_code_and_moves(size: tuple[int, int]) -> None:
    scene = Scene(*size, "nomad-07  main")
    utc_us = 1_790_000_000_123_456
    first = scene.draw(utc_us, 5)
    later = scene.draw(utc_us + 1_000_000, 6)
    assert first.shape == (size[1] * 3 // 2, size[0])
    assert read(first[: size[1]]) == TimeCode(utc_us // 1000, 5)
    below = slice(size[1] // 2, size[1])
    assert (first[below] != later[below]).any()
