"""Each error says what to do, and none repeats a password."""

import pytest

from edge_agent.capture.gstreamer.faults import fault_of, package_of
from edge_agent.capture.gstreamer.messages import Event
from edge_agent.errors import SourceFormatError, SourceUnavailableError

RESOURCE, STREAM, CORE = (f"gst-{kind}-error-quark" for kind in ("resource", "stream", "core"))


def event(domain: str, code: int | str, message: str, **more: object) -> Event:
    fields = {"severity": "error", "domain": domain, "code": code, "message": message} | more
    return Event.model_validate(fields)


@pytest.mark.parametrize(
    ("element", "package"),
    [
        ("x264enc", "gstreamer1.0-plugins-ugly"),
        ("h264parse", "gstreamer1.0-plugins-bad"),
        ("v4l2src", "gstreamer1.0-plugins-good"),
        ("rtph264depay", "gstreamer1.0-plugins-good"),
        ("videoconvert", "gstreamer1.0-plugins-base"),
        ("avdec_h264", "gstreamer1.0-libav"),
        ("libcamerasrc", "gstreamer1.0-libcamera"),
        ("nvv4l2h264enc", "nvidia-l4t-gstreamer"),
    ],
)
def test_a_missing_element_names_its_package(element: str, package: str) -> None:
    missing = event("gst_parse_error", 1, f'no element "{element}"')
    said = str(fault_of("gstreamer", missing, ""))
    assert f"no element {element}" in said
    assert f"apt-get install {package}" in said


def test_an_element_that_nobody_knows() -> None:
    assert package_of("frobnicate") is None
    assert "gst-inspect-1.0 frobnicate" in str(
        fault_of("gstreamer", event("gst_parse_error", 1, 'no element "frobnicate"'), "")
    )


@pytest.mark.parametrize(
    ("told", "kind", "remedy"),
    [
        (event("order", "no-bindings", "No module named 'gi'"), SourceUnavailableError, "apt-get install python3-gi"),
        (event("order", "no-gstreamer", "Namespace Gst"), SourceUnavailableError, "gir1.2-gstreamer-1.0"),
        (event("order", "open-ends", "", count=0), SourceFormatError, "no open end"),
        (event("order", "open-ends", "x264enc1", count=2), SourceFormatError, "one at x264enc1"),
        (event("order", "open-beginnings", "sink"), SourceFormatError, "begin with a source"),
        (event("order", "ambiguous", "image/jpeg, video/x-raw"), SourceFormatError, "say which"),
        (event("order", "not-video", "audio/x-raw"), SourceFormatError, "sound never is"),
        (event("order", "not-linked", "a and b"), SourceFormatError, "videoconvert"),
        (event("order", "anything-new", "x"), SourceFormatError, "anything-new"),
        (event("gst_parse_error", 2, 'no property "a" in element "b"'), SourceFormatError, "gst-launch-1.0"),
        (
            event(RESOURCE, 3, "Cannot identify device."),
            SourceUnavailableError,
            "v4l2-ctl --list-devices",
        ),
        (event(RESOURCE, 4, "Device '/dev/video0' is busy"), SourceUnavailableError, "fuser -v"),
        (event(RESOURCE, 7, "Could not open device"), SourceUnavailableError, "group video"),
        (event(RESOURCE, 13, "Device cannot capture"), SourceUnavailableError, "--list-formats-ext"),
        (event(RESOURCE, 15, "Unauthorized"), SourceUnavailableError, "password"),
        (event(STREAM, 1, "Internal data stream error."), SourceUnavailableError, "size, rate and format"),
        (event(CORE, 7, "not negotiated"), SourceUnavailableError, "format that both have"),
        (event("gst-library-error-quark", 99, "what"), SourceUnavailableError, "what"),
    ],
)
def test_every_error_has_a_remedy(told: Event, kind: type[Exception], remedy: str) -> None:
    error = fault_of("gstreamer", told, "")
    assert type(error) is kind
    assert remedy in str(error)


def test_argus_without_a_camera() -> None:
    failed = event(RESOURCE, 1, "Argus Error Status", factory="nvarguscamerasrc", element="nvarguscamerasrc0")
    error = fault_of("gstreamer:argus", failed, "Error generated. execute:740 No cameras available")
    assert isinstance(error, SourceUnavailableError)
    assert "nvargus-daemon" in str(error)
    assert "ribbon cable" in str(error)


def test_passwords_are_hidden_wherever_they_stand() -> None:
    words = "rtspsrc: rtsp://admin:geheim@192.0.2.7/a refused"
    told = event(
        RESOURCE, 15, "Unauthorized rtsp://admin:geheim@192.0.2.7/a", debug="f.c\nlocation=rtsp://u:geheim@h/"
    )
    assert "geheim" not in str(fault_of("gstreamer", told, words))
