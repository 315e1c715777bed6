"""Pipelines for a Jetson, which was never there: their text is what NVIDIA's elements take, by their source."""

import pytest

from edge_agent.capture.gstreamer.address import ArgusCamera
from edge_agent.capture.gstreamer.argus import argus_pipeline, flip_of
from edge_agent.capture.gstreamer.chains import Wish, nvenc, software
from edge_agent.settings import CameraSettings


def camera(**more: object) -> CameraSettings:
    return CameraSettings.model_validate({"name": "main", "source": "gstreamer:argus"} | more)


def test_a_camera_with_the_boards_encoder() -> None:
    settings = camera(width=1920, height=1080, fps=30, gop_s=2, bitrate_kbps=4000)
    assert argus_pipeline(ArgusCamera(1, 2), settings, nvenc(Wish.of(settings))) == (
        "nvarguscamerasrc sensor-id=1 sensor-mode=2"
        " ! video/x-raw(memory:NVMM),format=NV12,width=1920,height=1080,framerate=30/1"
        " ! nvv4l2h264enc bitrate=4000000 control-rate=1 iframeinterval=60 idrinterval=60"
        " insert-sps-pps=true maxperf-enable=true profile=4"
    )


def test_a_camera_on_its_side_with_a_fixed_exposure() -> None:
    settings = camera(
        rotation_deg=90,
        fps=12.5,
        encoder={"codec": "hevc"},
        sensor={"exposure_us": 20_000, "analogue_gain": 4, "exposure_compensation_ev": -3},
    )
    text = argus_pipeline(ArgusCamera(), settings, nvenc(Wish.of(settings)))
    assert 'exposuretimerange="20000000 20000000" gainrange="4 4" exposurecompensation=-2' in text
    assert "width=1280,height=720,framerate=25/2" in text
    assert (
        " ! nvvidconv flip-method=3 ! video/x-raw(memory:NVMM),format=NV12,width=720,height=1280 ! nvv4l2h265enc"
        in text
    )
    assert "profile" not in text


def test_a_board_without_an_encoder_gets_the_pictures_out_of_its_memory_first() -> None:
    settings = camera(encoder={"quality": 23.0, "profile": "baseline"})
    text = argus_pipeline(ArgusCamera(), settings, software(Wish.of(settings)))
    assert " ! nvvidconv flip-method=0 ! video/x-raw,format=I420,width=1280,height=720 ! queue " in text
    assert "x264enc bitrate=4000 vbv-buf-capacity=1000 pass=qual quantizer=23 key-int-max=25" in text
    assert text.endswith("profile=constrained-baseline")


def test_raw_pictures_for_masks() -> None:
    assert argus_pipeline(ArgusCamera(), camera(), None).endswith("video/x-raw,format=I420,width=1280,height=720")


@pytest.mark.parametrize("rotation_deg", [0, 90, 180, 270])
@pytest.mark.parametrize("hflip", [False, True])
@pytest.mark.parametrize("vflip", [False, True])
def test_one_flip_does_what_mirroring_and_turning_do(rotation_deg: int, hflip: bool, vflip: bool) -> None:
    """Against the corners of a picture, by the names that GStreamer gives to the flips."""
    ways = {
        "none": lambda x, y: (x, y),
        "clockwise": lambda x, y: (-y, x),
        "rotate-180": lambda x, y: (-x, -y),
        "counterclockwise": lambda x, y: (y, -x),
        "horizontal-flip": lambda x, y: (-x, y),
        "vertical-flip": lambda x, y: (x, -y),
        "upper-left-diagonal": lambda x, y: (y, x),
        "upper-right-diagonal": lambda x, y: (-y, -x),
    }
    _, name = flip_of(camera(rotation_deg=rotation_deg, hflip=hflip, vflip=vflip))
    for corner in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
        x, y = corner[0] * (-1 if hflip else 1), corner[1] * (-1 if vflip else 1)
        for _ in range(rotation_deg // 90):
            x, y = -y, x
        assert ways[name](*corner) == (x, y)
