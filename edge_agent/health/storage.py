"""Figures of the storage: space by statvfs(3), the recorders' write errors and sync times, days that fit."""

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from edge_agent.contract.ring_protocol import RecorderState
from edge_agent.settings import CameraSettings

_HOUR_S = 3600
_MIN_KBPS = 1.0


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
    hours = _hours_that_fit(figures.get("free_bytes"), cameras, states)
    if hours:
        figures["days_that_fit"] = round(min(hours.values()) / 24, 2)
    wanted_h = {camera.name: camera.min_age_h for camera in cameras if camera.min_age_h is not None}
    shares = [hours[name] / wanted for name, wanted in wanted_h.items() if name in hours]
    if shares:
        figures["retention_share"] = round(min(shares), 2)
    return figures


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


def _hours_that_fit(
    free_bytes: int | None, cameras: Sequence[CameraSettings], states: list[RecorderState]
) -> dict[str, float]:
    """Hours of footage that each ring holds at the present bit rate before it overwrites."""
    if free_bytes is None:
        return {}
    by_name = {camera.name: camera for camera in cameras}
    rates_kbps = {state.camera: state.bitrate_kbps for state in states if state.bitrate_kbps > _MIN_KBPS}
    total_kbps = sum(rates_kbps.values())
    hours: dict[str, float] = {}
    for state in states:
        camera, rate_kbps = by_name.get(state.camera), rates_kbps.get(state.camera)
        if camera is None or rate_kbps is None:
            continue
        usable_bytes = max(free_bytes - camera.min_free_bytes, 0) * rate_kbps / total_kbps
        capacity_bytes = state.size_bytes + usable_bytes
        if camera.max_bytes is not None:
            capacity_bytes = min(capacity_bytes, camera.max_bytes)
        fitting_h = capacity_bytes * 8 / (rate_kbps * 1000) / _HOUR_S
        hours[state.camera] = min(fitting_h, camera.max_age_h)
    return hours
