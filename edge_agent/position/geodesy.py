"""Distances and places on the ground; a place is (longitude, latitude) in degrees."""

import math

_RADIUS_M = 6_371_008.8
"""Mean radius of the WGS 84 ellipsoid (R1 of IUGG; NIMA TR8350.2, table 3.6)."""


def distance_m(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Great-circle distance in metres of two (longitude, latitude) in degrees; haversine, off by 0.5 % at most."""
    longitude, latitude = math.radians(one[0]), math.radians(one[1])
    to_longitude, to_latitude = math.radians(other[0]), math.radians(other[1])
    half = (
        math.sin((to_latitude - latitude) / 2) ** 2
        + math.cos(latitude) * math.cos(to_latitude) * math.sin((to_longitude - longitude) / 2) ** 2
    )
    return 2 * _RADIUS_M * math.asin(min(1.0, math.sqrt(half)))


def between(one: tuple[float, float], other: tuple[float, float], share: float) -> tuple[float, float]:
    """The place that lies a share of the way to another, for places that are near; also over the 180th meridian."""
    east_deg = math.remainder(other[0] - one[0], 360)
    longitude_deg = math.remainder(one[0] + east_deg * share, 360)
    return longitude_deg, one[1] + (other[1] - one[1]) * share
