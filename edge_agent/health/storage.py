"""Figures of the storage: space by statvfs(3), the recorders' write errors and sync times, days that fit."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_agent.contract.ring_protocol import RecorderState
from edge_agent.settings import CameraSettings

_HOUR_S = 3600
_MIN_KBPS = 1.0


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
    data_dir: Path,
    cameras: Sequence[CameraSettings],
    recorders: Iterable[RecorderState],
    statvfs: Callable[[Path], os.statvfs_result] = os.statvfs,
) -> dict[str, Any]:
    """What is known of the storage; what cannot be measured is absent."""
    states = list(recorders)
    figures = _space(data_dir, statvfs)
    if states:
        figures["write_errors"] = sum(state.write_errors for state in states)
        figures["ring_bytes"] = sum(state.size_bytes for state in states)
        figures["pinned_bytes"] = sum(state.pinned_bytes for state in states)
        figures["storage_ok"] = all(state.storage_ok for state in states)
    syncs_ms = [state.sync_max_ms for state in states if state.sync_max_ms is not None]
    if syncs_ms:
        figures["sync_max_ms"] = round(max(syncs_ms), 1)
    loads = {state.camera: load for state in states if (load := load_of(state)) is not None}
    hours = hours_that_fit(figures["free_bytes"], cameras, loads) if "free_bytes" in figures else {}
    if hours:
        figures["days_that_fit"] = days_of(hours)
    wanted_h = {camera.name: camera.min_age_h for camera in cameras if camera.min_age_h is not None}
    shares = [hours[name] / wanted for name, wanted in wanted_h.items() if name in hours]
    if shares:
        figures["retention_share"] = round(min(shares), 2)
    return figures


def days_of(hours: Mapping[str, float]) -> float:
    """Days that the ring with the least room holds."""
    return round(min(hours.values()) / 24, 2)


def _space(data_dir: Path, statvfs: Callable[[Path], os.statvfs_result]) -> dict[str, Any]:
    try:
        found = statvfs(data_dir)
    except OSError:
        return {}
    figures: dict[str, Any] = {
        "free_bytes": found.f_bavail * found.f_frsize,
        "total_bytes": found.f_blocks * found.f_frsize,
    }
    if found.f_files:
        figures["free_inodes_share"] = round(found.f_favail / found.f_files, 3)
    return figures


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
