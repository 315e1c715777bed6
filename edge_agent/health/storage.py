"""Figures of the storage: its space, the recorders' write errors and sync times, days that fit."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edge_agent.contract.ring_protocol import RecorderState
from edge_agent.settings import CameraSettings

_HOUR_S = 3600
_MIN_KBPS = 1.0
_LEAST_RESERVE_BYTES = 100_000_000


@dataclass(frozen=True, slots=True)
class RingLoad:
    """What a ring holds and gets.

    Attributes:
        rate_kbps: of its camera's stream.
        size_bytes: of the footage that it holds.
    """

    rate_kbps: float
    size_bytes: int


def storage_figures(
    disk: Mapping[str, Any],
    cameras: Sequence[CameraSettings],
    recorders: Iterable[RecorderState],
    day_kbps: Mapping[str, float | None] | None = None,
) -> dict[str, Any]:
    """What is known of the storage; what cannot be measured is absent.

    Args:
        disk: `disk.disk_figures`.
        cameras: their limits.
        recorders: what those that answer say.
        day_kbps: by camera, its mean bit rate of the last day; one without is reckoned by its present one.
    """
    states = list(recorders)
    figures = dict(disk)
    if states:
        figures["write_errors"] = sum(state.write_errors for state in states)
        figures["ring_bytes"] = sum(state.size_bytes for state in states)
        figures["pinned_bytes"] = sum(state.pinned_bytes for state in states)
        figures["storage_ok"] = all(state.storage_ok for state in states)
    figures |= _syncs(states)
    loads = _loads(states, day_kbps or {})
    hours = hours_that_fit(figures["free_bytes"], cameras, loads) if "free_bytes" in figures else {}
    if hours:
        figures["days_that_fit"] = days_of(hours)
    wanted_h = {camera.name: camera.min_age_h for camera in cameras if camera.min_age_h is not None}
    shares = [hours[name] / wanted for name, wanted in wanted_h.items() if name in hours]
    if shares:
        figures["retention_share"] = round(min(shares), 2)
    return figures | _reserve(figures, cameras)


def _syncs(states: Iterable[RecorderState]) -> dict[str, float]:
    """Median and longest sync of the slowest recorder."""
    medians_ms = [state.sync_p50_ms for state in states if state.sync_p50_ms is not None]
    longest_ms = [state.sync_max_ms for state in states if state.sync_max_ms is not None]
    found = {"sync_p50_ms": medians_ms, "sync_max_ms": longest_ms}
    return {name: round(max(values_ms), 1) for name, values_ms in found.items() if values_ms}


def _loads(states: Iterable[RecorderState], day_kbps: Mapping[str, float | None]) -> dict[str, RingLoad]:
    loads: dict[str, RingLoad] = {}
    for state in states:
        day = day_kbps.get(state.camera)
        load = load_of(state) if day is None else RingLoad(day, state.size_bytes)
        if load is not None:
            loads[state.camera] = load
    return loads


def _reserve(figures: Mapping[str, Any], cameras: Sequence[CameraSettings]) -> dict[str, float]:
    """`reserve_share`: free space by the reserve that the rings give up footage to keep."""
    reserve_bytes = max(min(camera.min_free_bytes for camera in cameras), _LEAST_RESERVE_BYTES)
    free_bytes = figures.get("free_bytes")
    return {} if free_bytes is None else {"reserve_share": round(free_bytes / reserve_bytes, 2)}


def days_of(hours: Mapping[str, float]) -> float:
    """Days that the ring with the least room holds."""
    return round(min(hours.values()) / 24, 2)


def load_of(state: RecorderState) -> RingLoad | None:
    """What a recorder says of its ring; None while nothing comes in, which tells no rate."""
    return RingLoad(state.bitrate_kbps, state.size_bytes) if state.bitrate_kbps > _MIN_KBPS else None


def hours_that_fit(
    free_bytes: int, cameras: Iterable[CameraSettings], loads: Mapping[str, RingLoad]
) -> dict[str, float]:
    """Hours of footage that each ring holds at its bit rate before it overwrites, or gives up what is too old.

    Args:
        free_bytes: of the file system that the rings share; each gets of it by its rate.
        cameras: their limits.
        loads: by camera; one without is left out.
    """
    total_kbps = sum(load.rate_kbps for load in loads.values())
    hours: dict[str, float] = {}
    for camera in cameras:
        load = loads.get(camera.name)
        if load is None:
            continue
        usable_bytes = max(free_bytes - camera.min_free_bytes, 0) * load.rate_kbps / total_kbps
        capacity_bytes = load.size_bytes + usable_bytes
        if camera.max_bytes is not None:
            capacity_bytes = min(capacity_bytes, camera.max_bytes)
        fitting_h = capacity_bytes * 8 / (load.rate_kbps * 1000) / _HOUR_S
        hours[camera.name] = min(fitting_h, camera.max_age_h)
    return hours
