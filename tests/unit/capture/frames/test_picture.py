"""A picture in libav's memory, as it is drawn on."""

import av
import pytest

from edge_agent.capture.frames.picture import Picture, Plane, picture_of


@pytest.mark.parametrize(("layout", "colours"), [("yuv420p", [(33, 18, 1), (33, 18, 1)]), ("nv12", [(33, 18, 2)])])
def test_planes_are_the_frames_own_memory(layout: str, colours: list[tuple[int, int, int]]) -> None:
    frame = av.VideoFrame(66, 36, layout)
    picture = picture_of(frame)
    assert (picture.width_px, picture.height_px, picture.layout) == (66, 36, layout)
    luma, *rest = picture.planes
    assert (luma.width, luma.height, luma.sample_bytes) == (66, 36, 1)
    assert [(plane.width, plane.height, plane.sample_bytes) for plane in rest] == colours
    for number, plane in enumerate(picture.planes):
        plane.memory[plane.stride_bytes] = 100 + number
        assert bytes(frame.planes[number])[frame.planes[number].line_size] == 100 + number


def test_full_range_is_laid_out_alike() -> None:
    assert picture_of(av.VideoFrame(64, 64, "yuvj420p")).layout == "yuv420p"


def test_another_layout_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="yuyv422 cannot be drawn on"):
        picture_of(av.VideoFrame(64, 64, "yuyv422"))


def test_planes_are_found_once_and_not_before_they_are_asked_for() -> None:
    found: list[int] = []

    def find() -> tuple[Plane, ...]:
        found.append(len(found))
        return (Plane(memoryview(bytearray(4)), 2, 2, 2),)

    picture = Picture(2, 2, "yuv420p", find)
    assert found == []
    assert picture.planes is picture.planes
    assert found == [0]
