"""What is read out of units' bodies for the fleet's list: figures may be anything, so each is checked by its kind."""

import math
from collections.abc import Mapping
from typing import Any, get_args

from csu.views import CameraView, Place
from edge_agent.contract.messages import Health, Position, Probe, ProbeState
from edge_agent.contract.times import parse_utc

PROBES = ("camera", "storage", "power", "network", "clock", "system")
MAX_CAMERAS = 32
_MAX_TEXT_CHARACTERS = 100
_MAX_FIGURES = 3


def cameras_of(health: Health) -> tuple[CameraView, ...]:
    """The cameras of a health body, by name."""
    cameras = (health.camera.model_extra or {}).get("cameras")
    if not isinstance(cameras, Mapping):
        return ()
    named = sorted((str(name)[:31], figures) for name, figures in cameras.items())
    return tuple(_camera_of(name, figures) for name, figures in named[:MAX_CAMERAS])


def _camera_of(name: str, figures: object) -> CameraView:
    known: Mapping[str, Any] = figures if isinstance(figures, Mapping) else {}
    recording, cause = known.get("recording"), known.get("cause")
    return CameraView(
        name=name,
        state=known["state"] if known.get("state") in get_args(ProbeState) else "unknown",
        recording=recording if isinstance(recording, bool) else None,
        cause=cause[:_MAX_TEXT_CHARACTERS] if isinstance(cause, str) else None,
        frames_per_second=_number(known.get("frames_per_second")),
        bitrate_kbps=_number(known.get("bitrate_kbps")),
        last_frame_age_s=_number(known.get("last_frame_age_s")),
    )


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # an integer of thousands of digits
        return None


def judged_of(probe: Probe) -> list[str]:
    """Names of the figures that make a probe as bad as it is, as far as it names them (`judged`)."""
    judged = (probe.model_extra or {}).get("judged")
    if not isinstance(judged, Mapping):
        return []
    return [str(name)[:_MAX_TEXT_CHARACTERS] for name, state in judged.items() if state == probe.state][:_MAX_FIGURES]


def place_of(position: Position) -> Place | None:
    """Where a unit said it is; None where it does not know, or for what is no place on Earth (RFC 7946 §4)."""
    if position.geometry is None:
        return None
    longitude_deg, latitude_deg, *rest = position.geometry.coordinates
    if not (-180 <= longitude_deg <= 180 and -90 <= latitude_deg <= 90):
        return None
    properties = position.properties
    return Place(
        longitude_deg=longitude_deg,
        latitude_deg=latitude_deg,
        altitude_m=rest[0] if rest else None,
        fix=properties.fix,
        accuracy_m=properties.accuracy_m,
        last_known=bool(properties.last_known) or properties.fix == "none",
        said_us=properties.at,
        fixed_us=_fixed_us(position),
        source=properties.source[:_MAX_TEXT_CHARACTERS],
    )


def _fixed_us(position: Position) -> int | None:
    properties = position.properties
    if properties.at is None or properties.age_s is None or properties.source == "settings":
        return None
    fixed_us = properties.at - round(min(properties.age_s, 1e9) * 1e6)
    return fixed_us if fixed_us > parse_utc("0001-01-02T00:00:00Z") else None
