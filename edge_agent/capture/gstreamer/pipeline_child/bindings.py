"""GStreamer's bindings, and what an order is refused with."""

from typing import Any, TypeAlias

Bound: TypeAlias = Any
"""Something of GStreamer's; its bindings carry no types."""


class RefusedError(Exception):
    """The order cannot be carried out: `fields` are those of an event."""

    def __init__(self, code: int | str, message: str, **more: object) -> None:
        super().__init__(message)
        self.fields: dict[str, object] = {
            "severity": "error",
            "domain": "order",
            "code": code,
            "message": message,
            **more,
        }


def load_gstreamer() -> tuple[Bound, Bound]:
    """GStreamer's bindings, initialised.

    Raises:
        RefusedError: they are not installed.
    """
    try:
        import gi
    except ImportError as error:
        raise RefusedError("no-bindings", str(error)) from error
    try:
        gi.require_version("Gst", "1.0")
        from gi.repository import GLib, Gst
    except (ImportError, ValueError) as error:
        raise RefusedError("no-gstreamer", str(error)) from error
    try:
        Gst.init([])
    except GLib.Error as error:
        raise RefusedError("no-gstreamer", error.message) from error
    return Gst, GLib
