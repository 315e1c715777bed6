"""Masks fill every pixel that they touch, in every layout, and nothing far from them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.camera_settings import Polygon
from edge_agent.capture.frames.masks import MaskPainter
from tests.unit.capture.frames.pictures import colour_at, grey_picture, luma_at

TRIANGLE: Polygon = ((0.25, 0.25), (0.75, 0.25), (0.25, 0.75))
SIZES = [(320, 240), (322, 242), (641, 363), (64, 64)]
_MARGIN = 4


def is_inside(polygon: Polygon, x: float, y: float) -> bool:
    """By the even-odd rule, written down once more: not that of the code under test."""
    inside = False
    for (ax, ay), (bx, by) in zip(polygon, (*polygon[1:], polygon[0]), strict=True):
        if (ay > y) != (by > y) and x < (bx - ax) * (y - ay) / (by - ay) + ax:
            inside = not inside
    return inside


@pytest.mark.parametrize("layout", ["yuv420p", "nv12"])
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_all_inside_is_black_and_what_is_far_outside_is_not(layout: str, width: int, height: int) -> None:
    picture = grey_picture(width // 2 * 2, height // 2 * 2, layout)
    MaskPainter([TRIANGLE], picture).paint(picture)
    for y in range(0, picture.height_px, 3):
        for x in range(0, picture.width_px, 3):
            if is_inside(TRIANGLE, (x + 0.5) / picture.width_px, (y + 0.5) / picture.height_px):
                assert luma_at(picture, x, y) == 16, (x, y)
                assert colour_at(picture, x, y) == (128, 128), (x, y)
    right, bottom = picture.width_px - 1, picture.height_px - 1
    assert luma_at(picture, right, bottom) == 120
    assert colour_at(picture, right, bottom) == (90, 90)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=3, max_size=12).map(tuple))
def test_no_pixel_inside_any_polygon_is_left(polygon: Polygon) -> None:
    picture = grey_picture(160, 90)
    MaskPainter([polygon], picture).paint(picture)
    for y in range(90):
        for x in range(160):
            if is_inside(polygon, (x + 0.5) / 160, (y + 0.5) / 90):
                assert luma_at(picture, x, y) == 16, (x, y)


def test_the_whole_picture_can_be_masked() -> None:
    picture = grey_picture()
    MaskPainter([((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))], picture).paint(picture)
    assert {luma_at(picture, x, y) for x in range(320) for y in range(240)} == {16}
    assert {colour_at(picture, x, y) for x in range(0, 320, 2) for y in range(0, 240, 2)} == {(128, 128)}


def test_a_picture_of_another_geometry_is_refused_untouched() -> None:
    painter = MaskPainter([TRIANGLE], grey_picture())
    other = grey_picture(640, 480)
    with pytest.raises(ValueError, match="another geometry"):
        painter.paint(other)
    assert luma_at(other, 200, 150) == 120
