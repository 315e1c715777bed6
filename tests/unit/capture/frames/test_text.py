"""A line of text that is whole, or says why it is not there."""

from datetime import UTC

import pytest

from edge_agent.capture.frames import text
from edge_agent.capture.frames.hook import FrameHook
from edge_agent.capture.frames.text import TextLine
from edge_agent.clock import SystemClock
from tests.support.polling import wait_until
from tests.unit.capture.frames.pictures import grey_picture

LABEL = "nomad-0007  rue-de-la-republique-12"


def written(label: str, width_px: int, height_px: int) -> bytes:
    """The rows of a picture that its line of text is in."""
    clock = SystemClock()
    line = TextLine(label, UTC, clock)
    found: list[bytes] = []

    def is_written() -> bool:
        picture = grey_picture(width_px, height_px)
        if line.draw(picture, clock.monotonic_us()):
            found.append(bytes(picture.planes[0].memory))
        return bool(found)

    wait_until(is_written, what="a line of text", timeout_s=10)
    return found[0]


@pytest.mark.parametrize(("width_px", "height_px"), [(720, 1280), (576, 704), (160, 640)])
def test_the_end_of_the_time_is_never_cut_off(width_px: int, height_px: int) -> None:
    memory = written(LABEL, width_px, height_px)
    stride = len(memory) // height_px
    right_edge = {memory[row * stride + width_px - 2] for row in range(text._LEAST_PX)}
    assert right_edge <= {16, 120}, "no letter reaches the edge of the picture"
    assert max(memory) > 150, "something is written"


def test_lines_that_cannot_be_drawn_are_told_of_and_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("no font")

    clock = SystemClock()
    hook = FrameHook([], clock, text=TextLine(LABEL, UTC, clock))

    def apply() -> bool:
        picture = grey_picture(640, 360)
        assert hook.apply(picture, clock.monotonic_us())
        return max(picture.planes[0].memory[: 640 * 16]) > 150

    with monkeypatch.context() as patch:
        patch.setattr(text, "_rasterised", fail)
        wait_until(lambda: not apply() and "no font" in hook.figures.fault, what="the fault", timeout_s=10)
    wait_until(apply, what="a line of text", timeout_s=10)
