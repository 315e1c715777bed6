"""All sources: one line each. A source's libraries are loaded when it is used."""

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import cast

from edge_agent.capture.source import Source, SourceContext
from edge_agent.errors import SettingsError
from edge_agent.settings import CameraSettings

Factory = Callable[[CameraSettings, SourceContext], Source]

SOURCES: dict[str, str] = {
    "file": "edge_agent.capture.file:FileSource",
    "gstreamer": "edge_agent.capture.gstreamer.source:GstreamerSource",
    "picamera2": "edge_agent.capture.picamera.source:PicameraSource",
    "rtsp": "edge_agent.capture.rtsp:RtspSource",
    "rtsps": "edge_agent.capture.rtsp:RtspSource",
    "test": "edge_agent.capture.test:PatternSource",
    "v4l2": "edge_agent.capture.v4l2.source:V4l2Source",
}
"""Scheme of `camera.source` → module and factory."""

EXTRAS: dict[str, tuple[str, ...]] = {"test": ("cv2", "numpy")}
"""Scheme → packages that it needs beside those of a unit (`requirements/unit.txt`)."""


def open_source(settings: CameraSettings, context: SourceContext) -> Source:
    """Make the source that `settings.source` names; nothing is opened yet.

    Raises:
        SettingsError: unknown scheme, a library that is not installed, or an address that this source cannot use.
    """
    check_libraries(settings)
    module, _, name = _place_of(settings).partition(":")
    return cast("Factory", getattr(import_module(module), name))(settings, context)


def check_scheme(settings: CameraSettings) -> None:
    """Look a source up without loading its libraries.

    Raises:
        SettingsError: unknown scheme.
    """
    _place_of(settings)


def check_libraries(settings: CameraSettings) -> None:
    """Look for the packages that a source needs and a unit does not have, without loading them.

    Raises:
        SettingsError: one is not installed.
    """
    scheme = settings.source.partition(":")[0].lower()
    missing = [name for name in EXTRAS.get(scheme, ()) if find_spec(name) is None]
    if missing:
        raise SettingsError(
            f"camera {settings.name!r}: source: {scheme}: draws with packages that a unit does not have"
            f" ({', '.join(missing)}); name a camera or a file, or set a bench up with scripts/setup demo"
        )


def _place_of(settings: CameraSettings) -> str:
    scheme, colon, _ = settings.source.partition(":")
    place = SOURCES.get(scheme.lower()) if colon else None
    if place is None:
        # The rest of the address may hold a password: only the scheme is repeated.
        said = f"{scheme}:…" if colon else "an address without a scheme"
        known = ", ".join(f"{name}:" for name in SOURCES)
        raise SettingsError(f"camera {settings.name!r}: source: {said} is not known; known sources: {known}")
    return place
