"""What may stand behind `gstreamer:`."""

import pytest

from edge_agent.capture.gstreamer.address import MAX_DESCRIPTION, ArgusCamera, parse
from edge_agent.capture.table import open_source
from edge_agent.errors import SettingsError
from edge_agent.settings import CameraSettings
from tests.unit.capture.fakes import make_context


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("gstreamer:v4l2src ! video/x-h264 ! h264parse", "v4l2src ! video/x-h264 ! h264parse"),
        ("gstreamer: videotestsrc ! x264enc ", "videotestsrc ! x264enc"),
        (
            "GStreamer:rtspsrc location=rtsp://a:b@c/d ! rtph264depay",
            "rtspsrc location=rtsp://a:b@c/d ! rtph264depay",
        ),
        ("gstreamer:argus", ArgusCamera(0, -1)),
        ("gstreamer:argus?sensor=1", ArgusCamera(1, -1)),
        ("gstreamer:argus?sensor=1&mode=3", ArgusCamera(1, 3)),
    ],
)
def test_an_address_names_a_pipeline_or_a_jetsons_camera(source: str, expected: object) -> None:
    assert parse(source) == expected


@pytest.mark.parametrize(
    "source",
    [
        "gstreamer:",
        "gstreamer:   ",
        "gstreamer:a\0b",
        f"gstreamer:{'x' * (MAX_DESCRIPTION + 1)}",
        "gstreamer:argus?sensor=256",
        "gstreamer:argus?sensor=-1",
        "gstreamer:argus?sensor=",
        "gstreamer:argus?sensor=1&sensor=2",
        "gstreamer:argus?sensors=1",
        "gstreamer:argus?sensor=\N{SUPERSCRIPT TWO}",
    ],
)
def test_what_is_neither_is_a_mistake_in_the_settings(source: str) -> None:
    settings = CameraSettings(name="main", source=source)
    with pytest.raises(SettingsError, match="camera 'main': source"):
        open_source(settings, make_context())
