"""Stills and image health of whole cameras: encoded here, passing as they come, masked after decoding."""

from pathlib import Path

import av
import pytest

from edge_agent.capture.stills import StillDesk
from tests.support.polling import wait_until
from tests.unit.capture.frames.pictures import grey_frame
from tests.unit.capture.test_coded import SQUARE, Rig, camera, luma


def write_video(path: Path, luma: int, count: int = 75) -> Path:
    """One brightness at 25/s, a key frame a second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast", "g": "25"})
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for number in range(count):
            frame = grey_frame(luma=luma)
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def desk_of(rig: Rig) -> StillDesk:
    frames = rig._supervisor._context.frames
    assert frames is not None
    return frames.stills


@pytest.mark.parametrize("kind", ["passing", "masked", "drawn"])
def test_a_still_shows_what_is_recorded_and_leaves_no_hole(kind: str, tmp_path: Path) -> None:
    source = "test:" if kind == "drawn" else f"file:{write_video(tmp_path / 'grey.mp4', 150)}"
    masks = [] if kind == "passing" else [SQUARE]
    with Rig(camera(source, masks=masks, gop_s=1.0)) as rig:
        wait_until(lambda: len(rig.main.units) >= 10, what="a recording", timeout_s=30)
        first, second = (desk_of(rig).take(8.0) for _ in range(2))
        wait_until(lambda: len(rig.main.units) >= 60, what="more of it", timeout_s=30)
    assert second.capture_us > first.capture_us
    for taken in (first, second):
        assert (taken.frame.width, taken.frame.height) == (320, 240)
        assert taken.capture_us in {unit.capture_us for unit in rig.main.units}
        if masks:
            assert luma(taken.frame, 240, 180) == 16
        if kind != "drawn":
            assert luma(taken.frame, 40, 40) == pytest.approx(150, abs=4)
    assert len(rig.main.starts) == 1, "one stream from the beginning to the end"


def test_a_key_frame_is_made_on_request_where_pictures_are_encoded_here() -> None:
    with Rig(camera("test:", gop_s=10.0)) as rig:
        wait_until(lambda: len(rig.main.units) >= 10, what="a recording", timeout_s=30)
        assert sum(unit.is_key for unit in rig.main.units) == 1
        rig._supervisor.request_key_frame()
        wait_until(lambda: sum(unit.is_key for unit in rig.main.units) == 2, what="a key frame", timeout_s=8)


def test_a_camera_that_encodes_and_is_black_from_the_start_is_noticed(tmp_path: Path) -> None:
    with Rig(camera(f"file:{write_video(tmp_path / 'black.mp4', 16, 600)}")) as rig:
        wait_until(lambda: rig.hook.health is not None, what="a first look", timeout_s=30)
        wait_until(lambda: rig.hook.health is not None and rig.hook.health.is_black, what="black", timeout_s=30)
