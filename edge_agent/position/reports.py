"""What gpsd says, a line of JSON at a time (gpsd_json(5), protocol 3), checked field by field.

Read so that gpsd 3.22 (Debian 12) and 3.25 (Debian 13) are understood alike:

- `TPV.altHAE` is the height above the ellipsoid since 3.20; `alt` is deprecated and means what it likes: not read.
- `SKY.nSat` and `uSat` come since 3.22, the list `satellites` always; a SKY with dilutions alone has neither.
- `TPV.mode` 0 and 1 are no fix; fields that need one may come all the same and count for nothing then.
- `TPV.status` 9 is a simulator's fix; the other values differ between versions and are not read.
- gpsd writes a field that it does not know not at all; old releases wrote `nan`, which is not JSON.
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edge_agent.contract.times import parse_utc
from edge_agent.errors import ContractError, ReportError

MAX_SATELLITES = 255
_MAX_ERROR_M = 10_000.0
_SIMULATED = 9


@dataclass(frozen=True, slots=True)
class Tpv:
    """Time, position, velocity: one fix, or that there is none.

    Attributes:
        mode: 0 and 1 no fix, 2 two dimensions, 3 three.
        time_us: of the fix, by the receiver, µs of UTC.
        time_error_s: `ept`, estimated error of that time.
        longitude_deg: None without a fix.
        latitude_deg: None without a fix.
        altitude_m: above the ellipsoid.
        speed_mps: over ground.
        radius_m: `eph`, estimated horizontal error.
        east_m: `epx`, estimated error in longitude.
        north_m: `epy`, estimated error in latitude.
        is_simulated: the receiver says that it makes its fixes up.
    """

    mode: int
    time_us: int | None = None
    time_error_s: float | None = None
    longitude_deg: float | None = None
    latitude_deg: float | None = None
    altitude_m: float | None = None
    speed_mps: float | None = None
    radius_m: float | None = None
    east_m: float | None = None
    north_m: float | None = None
    is_simulated: bool = False


@dataclass(frozen=True, slots=True)
class Sky:
    """How many satellites are seen and used; None when this report does not tell."""

    seen: int | None
    used: int | None


@dataclass(frozen=True, slots=True)
class Gst:
    """Standard deviations of the position's error, metres: of latitude and longitude."""

    north_m: float | None
    east_m: float | None


@dataclass(frozen=True, slots=True)
class TimeOffset:
    """GNSS time and the clock of gpsd's machine read together: at a pulse (PPS), or when a message began (TOFF)."""

    is_pulse: bool
    gnss_us: int
    machine_us: int


@dataclass(frozen=True, slots=True)
class Version:
    """The first line of every connection."""

    release: str


@dataclass(frozen=True, slots=True)
class Devices:
    """How many receivers gpsd has opened."""

    count: int


@dataclass(frozen=True, slots=True)
class Trouble:
    """gpsd could not do what it was asked."""

    message: str


@dataclass(frozen=True, slots=True)
class Other:
    """A report of a class that tells nothing that is wanted here."""

    name: str


Report = Tpv | Sky | Gst | TimeOffset | Version | Devices | Trouble | Other


def read_report(line: bytes) -> Report:
    """Understand one line.

    Raises:
        ReportError: not JSON, no report, or one whose fields are of a wrong type or beyond the possible.
    """
    try:
        body = json.loads(line, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ReportError(f"not a line of JSON: {str(error)[:80]}") from error
    name = body.get("class") if isinstance(body, dict) else None
    if not isinstance(name, str):
        raise ReportError("a JSON value without a class, which every report of gpsd has")
    reader = _READERS.get(name)
    return Other(name[:20]) if reader is None else reader(body)


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _tpv(body: dict[str, Any]) -> Tpv:
    mode = _whole(body, "mode", 0, 3)
    if mode is None:
        raise ReportError("TPV without mode")
    return Tpv(
        mode=mode,
        time_us=_time_us(body),
        time_error_s=_number(body, "ept", 0, 1e6),
        longitude_deg=_number(body, "lon", -180, 180),
        latitude_deg=_number(body, "lat", -90, 90),
        altitude_m=_number(body, "altHAE", -1e4, 1e6),
        speed_mps=_number(body, "speed", 0, 1e4),
        radius_m=_number(body, "eph", 0, 1e9),
        east_m=_number(body, "epx", 0, 1e9),
        north_m=_number(body, "epy", 0, 1e9),
        is_simulated=body.get("status") == _SIMULATED,
    )


def _sky(body: dict[str, Any]) -> Sky:
    listed = body.get("satellites")
    if listed is not None and not isinstance(listed, list):
        raise ReportError("SKY.satellites is no list")
    seen, used = _whole(body, "nSat", 0, 1e6), _whole(body, "uSat", 0, 1e6)
    if seen is None and listed is not None:
        seen = len(listed)
        used = sum(isinstance(one, dict) and one.get("used") is True for one in listed)
    return Sky(_capped(seen), _capped(used))


def _capped(count: int | None) -> int | None:
    return None if count is None else min(count, MAX_SATELLITES)


def _gst(body: dict[str, Any]) -> Gst:
    return Gst(_number(body, "lat", 0, 1e9), _number(body, "lon", 0, 1e9))


def _offset(body: dict[str, Any]) -> TimeOffset:
    return TimeOffset(body["class"] == "PPS", _instant_us(body, "real"), _instant_us(body, "clock"))


def _instant_us(body: dict[str, Any], name: str) -> int:
    whole, part = _whole(body, f"{name}_sec", 0, 1e11), _whole(body, f"{name}_nsec", 0, 999_999_999)
    if whole is None or part is None:
        raise ReportError(f"{body['class']} without {name}_sec or {name}_nsec")
    return whole * 1_000_000 + part // 1000


def _version(body: dict[str, Any]) -> Version:
    if body.get("proto_major") != 3:
        raise ReportError("it speaks another version of the protocol than 3")
    return Version(str(body.get("release"))[:40])


def _devices(body: dict[str, Any]) -> Devices:
    listed = body.get("devices")
    if not isinstance(listed, list):
        raise ReportError("DEVICES without a list")
    return Devices(len(listed))


def _trouble(body: dict[str, Any]) -> Trouble:
    return Trouble(str(body.get("message"))[:120])


_READERS: dict[str, Callable[[dict[str, Any]], Report]] = {
    "TPV": _tpv,
    "SKY": _sky,
    "GST": _gst,
    "TOFF": _offset,
    "PPS": _offset,
    "VERSION": _version,
    "DEVICES": _devices,
    "ERROR": _trouble,
}


def _number(body: dict[str, Any], name: str, low: float, high: float) -> float | None:
    """A field that may be absent; a number between the limits otherwise."""
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ReportError(f"{body['class']}.{name} is {type(value).__name__}, expected a number")
    try:
        number = float(value)
    except OverflowError as error:
        raise ReportError(f"{body['class']}.{name} is beyond {low:g} to {high:g}") from error
    if not (math.isfinite(number) and low <= number <= high):
        raise ReportError(f"{body['class']}.{name} is beyond {low:g} to {high:g}")
    return number


def _whole(body: dict[str, Any], name: str, low: float, high: float) -> int | None:
    number = _number(body, name, low, high)
    if number is not None and not number.is_integer():
        raise ReportError(f"{body['class']}.{name} is no whole number")
    return None if number is None else int(number)


def _time_us(body: dict[str, Any]) -> int | None:
    text = body.get("time")
    if text is None:
        return None
    if not isinstance(text, str):
        raise ReportError(f"TPV.time is {type(text).__name__}, expected text")
    try:
        return parse_utc(text)
    except ContractError as error:
        raise ReportError(f"TPV.time: {error}") from error


def radius_95_m(tpv: Tpv, gst: Gst | None) -> float | None:
    """Radius of the horizontal error at 95 %, metres; None when nothing tells of it.

    In this order. `GST`, standard deviations by the receiver: 2 drms, twice the root of the sum of their squares,
    which contains at least 95 % of all fixes (U.S. Federal Radionavigation Plan, appendix "Definitions"). `eph`,
    which gpsd reckons as a dilution times a range error of "95% confidence" where the receiver says nothing (gpsd's
    libgpsd_core.c, `gpsd_error_model`; a receiver's own estimate passes as it is). `epx` and `epy`, which gpsd
    reckons in the same way, an axis each.
    """
    if gst is not None and gst.north_m is not None and gst.east_m is not None:
        radius_m = 2 * math.hypot(gst.north_m, gst.east_m)
    elif tpv.radius_m is not None:
        radius_m = tpv.radius_m
    elif tpv.east_m is not None and tpv.north_m is not None:
        radius_m = math.hypot(tpv.east_m, tpv.north_m)
    else:
        return None
    return radius_m if radius_m <= _MAX_ERROR_M else None
