"""What a pipeline's error means, and what to do about it.

Domains and codes are GStreamer's (`gsterror.h`, `gstparse.h`), whose numbers do not change within 1.x.
"""

import re
from collections.abc import Callable

from edge_agent.capture.gstreamer.messages import Event
from edge_agent.capture.redact import redact
from edge_agent.errors import CaptureError, SourceFormatError, SourceUnavailableError

_NVIDIA = "nvidia-l4t-gstreamer"
_PACKAGES = {
    "gstreamer1.0-plugins-base": r"video(convert|scale|rate|testsrc)|app(src|sink)|decodebin3?|uridecodebin3?|tcp\w+",
    "gstreamer1.0-plugins-good": r"v4l2\w+|rtspsrc|rtp\w+(de)?pay|jpeg(enc|dec)|udps(rc|ink)|videoflip|souphttpsrc",
    "gstreamer1.0-plugins-bad": r"h26[45](parse|timestamper)|x265enc|openh264\w+|uvch264src|tsdemux|srtsrc|va\w+",
    "gstreamer1.0-plugins-ugly": r"x264enc",
    "gstreamer1.0-libav": r"av(enc|dec)_\w+",
    "gstreamer1.0-libcamera": r"libcamerasrc",
    "gstreamer1.0-pipewire": r"pipewiresrc",
    _NVIDIA: r"nv\w+",
}
"""Debian's and Ubuntu's package of an element; NVIDIA's are of Jetson Linux."""

_NO_CAMERA = re.compile(r"no cameras available|failed to create (camera ?provider|capturesession)", re.IGNORECASE)
_ARGUS = "nvarguscamerasrc"


def package_of(element: str) -> str | None:
    """The package that brings an element; None when it is not known."""
    return next((name for name, pattern in _PACKAGES.items() if re.fullmatch(pattern, element)), None)


def fault_of(name: str, event: Event, words: str) -> CaptureError:
    """The error of an attempt whose pipeline said `event`.

    Args:
        name: of the source, for people.
        event: the first error that the pipeline told; the ones behind it are consequences.
        words: the last that its process printed.
    """
    kind, said = _explain(event, words)
    printed = f"; it printed: {words}" if words and kind is SourceUnavailableError else ""
    return kind(redact(f"{name}: {said}{printed}"))


def _explain(event: Event, words: str) -> tuple[type[CaptureError], str]:
    if event.domain == "order":
        kind = SourceUnavailableError if event.code in {"no-bindings", "no-gstreamer"} else SourceFormatError
        explain = _ORDERS.get(str(event.code))
        return kind, f"{event.code}: {event.message}" if explain is None else explain(event)
    if event.domain == "gst_parse_error":
        return SourceFormatError, _explain_parse(event)
    heard = f"{event.message} {event.debug} {words}"
    if event.factory == _ARGUS or _NO_CAMERA.search(heard):
        return SourceUnavailableError, f"Argus: {event.message}{_argus_remedy(heard)}"
    where = f"{event.element}: " if event.element else ""
    cause = event.debug.rsplit("\n", 1)[-1] if "\n" in event.debug else ""
    reason = f"{where}{event.message} {cause}".strip()
    return SourceUnavailableError, reason + _REMEDIES.get((event.domain, event.code), "")


def _argus_remedy(heard: str) -> str:
    if _NO_CAMERA.search(heard):
        return (
            "; it has no such camera: look at the ribbon cable, at gstreamer:argus?sensor=N and at the device tree"
            " (jetson-io), then: sudo systemctl restart nvargus-daemon"
        )
    return "; if it goes on: sudo systemctl restart nvargus-daemon"


def _explain_parse(event: Event) -> str:
    missing = re.search(r'no element "([^"]+)"', event.message)
    if missing is None:
        return f"the pipeline is not understood: {event.message}; try it with gst-launch-1.0 … ! fakesink"
    element = missing[1]
    package = package_of(element)
    if package == _NVIDIA:
        remedy = f"it comes with Jetson Linux: sudo apt-get install {package}, or name another element"
    elif package is not None:
        remedy = f"sudo apt-get install {package}"
    else:
        remedy = f"install the plugin that has it, or mend the name; gst-inspect-1.0 {element} looks for it"
    return f"GStreamer has no element {element}: {remedy}"


def _open_ends(event: Event) -> str:
    if event.count:
        return f"the pipeline has several open ends, one at {event.message}; close all but one with ! fakesink"
    return "the pipeline has no open end; leave its sink out: it ends in an encoder, a parser or raw video"


_ORDERS: dict[str, Callable[[Event], str]] = {
    "no-bindings": lambda event: (
        f"GStreamer's Python bindings are missing ({event.message}):"
        " sudo apt-get install python3-gi gir1.2-gstreamer-1.0"
    ),
    "no-gstreamer": lambda event: (
        f"GStreamer is missing ({event.message}): sudo apt-get install gir1.2-gstreamer-1.0 gstreamer1.0-plugins-base"
        " gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly"
    ),
    "open-ends": _open_ends,
    "open-beginnings": lambda event: (
        f"the pipeline has an open beginning ({event.message}); begin with a source, such as v4l2src"
    ),
    "ambiguous": lambda event: (
        f"what the pipeline ends in can be several things ({event.message}); say which at its end, as in"
        " … ! video/x-raw,width=1280,height=720,framerate=25/1"
    ),
    "not-video": lambda event: (
        f"the pipeline ends in {event.message}; H.264, H.265, JPEG and raw video can be recorded, sound never is"
    ),
    "not-linked": lambda event: (
        f"the pipeline's parts do not fit together: {event.message}; put ! videoconvert before the encoder"
    ),
}

_REMEDIES: dict[tuple[str, int | str], str] = {
    (
        "gst-resource-error-quark",
        3,
    ): "; look at its name, and whether it is plugged in (v4l2-ctl --list-devices)",
    ("gst-resource-error-quark", 4): "; another program has the device (fuser -v /dev/video*): end it",
    ("gst-resource-error-quark", 5): "; look whether it is there and this user may read it (group video)",
    ("gst-resource-error-quark", 7): "; look whether it is there and this user may use it (group video)",
    ("gst-resource-error-quark", 9): "; the camera may have been unplugged",
    ("gst-resource-error-quark", 13): "; ask for a size and a rate that it has (v4l2-ctl --list-formats-ext)",
    ("gst-resource-error-quark", 15): "; mend user and password, or the device's permissions",
    ("gst-core-error-quark", 7): "; ask for a format that both have (gst-inspect-1.0)",
    ("gst-core-error-quark", 12): "; a plugin is missing: gst-inspect-1.0 looks for its elements",
    (
        "gst-stream-error-quark",
        1,
    ): "; if it is about negotiation, ask for a size, rate and format that the camera has",
    ("gst-stream-error-quark", 5): "; what comes is not what the pipeline expects",
    ("gst-stream-error-quark", 6): "; a plugin is missing for it",
}
