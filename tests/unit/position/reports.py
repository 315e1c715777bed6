"""Reports as gpsd makes them, for tests of what listens to it."""

import json
from typing import Any

from edge_agent.position.reports import Tpv

LYON = (4.8357, 45.7640)
NOON_US = 1_793_620_800_000_000
SECOND_US = 1_000_000


def line(**fields: object) -> bytes:
    """One line as gpsd writes it; `cls` is its class."""
    fields["class"] = fields.pop("cls", "TPV")
    return json.dumps(fields).encode() + b"\r\n"


def tpv(second: float, place: tuple[float, float] = LYON, **more: object) -> Tpv:
    """A fix of a receiver whose clock shows noon and so many seconds."""
    fields: dict[str, Any] = {
        "mode": 3,
        "time_us": NOON_US + round(second * SECOND_US),
        "longitude_deg": place[0],
        "latitude_deg": place[1],
        "radius_m": 6.0,
        "speed_mps": 0.0,
    }
    return Tpv(**(fields | more))


def moved(east_m: float, north_m: float = 0.0, place: tuple[float, float] = LYON) -> tuple[float, float]:
    """A place so many metres away, near enough at this latitude."""
    return place[0] + east_m / 77_590, place[1] + north_m / 111_195
