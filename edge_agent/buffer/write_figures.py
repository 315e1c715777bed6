"""Measured figures of writing: rates over the last 10 s, sync times, failures; any thread may read and write them."""

import threading
from collections import deque
from dataclasses import dataclass
from statistics import median

from edge_agent.contract.access_unit import AccessUnit

WINDOW_US = 10_000_000

_MAX_UNITS = 4096
_SYNCS_KEPT = 120
_SPACE_QUIET_US = 3600 * 1_000_000


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The figures at one instant; rates over the last 10 s."""

    frames_per_second: float
    bitrate_kbps: float
    lost_units: int
    write_errors: int
    space_errors: int
    sync_p50_ms: float | None
    sync_max_ms: float | None
    storage_ok: bool
    storage_detail: str
    refused: str


class WriteFigures:
    """Counts what capture hands over and what the disk does with it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # protects everything below
        self._units: deque[tuple[int, int]] = deque(maxlen=_MAX_UNITS)
        self._sync_us: deque[int] = deque(maxlen=_SYNCS_KEPT)
        self._lost_units = 0
        self._write_errors = 0
        self._space_errors = 0
        self._space_error_us: int | None = None
        self._failure = ""
        self._refused = ""

    def arrived(self, unit: AccessUnit, now_us: int) -> None:
        """A unit came from the camera."""
        with self._lock:
            self._units.append((now_us, len(unit.data)))

    def lost(self, units: int) -> None:
        """Units that could not be written."""
        with self._lock:
            self._lost_units += units

    def refused(self, detail: str) -> bool:
        """A fragment was refused by libav, in its words; whether they are new."""
        with self._lock:
            is_new = detail != self._refused
            self._refused = detail
            return is_new

    def failed(self, detail: str) -> bool:
        """The storage refused a write or a sync; whether it was well before."""
        with self._lock:
            was_well = not self._failure
            self._write_errors += 1
            self._failure = detail
            return was_well

    def made_space(self, now_us: int) -> bool:
        """A write found no space, and footage was given up for it; whether that is news after an hour without."""
        with self._lock:
            last_us, self._space_error_us = self._space_error_us, now_us
            self._space_errors += 1
            return last_us is None or now_us - last_us > _SPACE_QUIET_US

    def worked(self) -> None:
        """A fragment was written: the storage is well."""
        with self._lock:
            self._failure = ""

    def synced(self, took_us: int) -> None:
        """A sync took so long."""
        with self._lock:
            self._sync_us.append(took_us)

    @property
    def storage_failing(self) -> bool:
        """The last write was refused."""
        with self._lock:
            return bool(self._failure)

    def snapshot(self, now_us: int) -> Snapshot:
        """The figures now."""
        with self._lock:
            recent = [(at_us, size) for at_us, size in self._units if now_us - at_us <= WINDOW_US]
            window_us = max(now_us - self._units[0][0], 1) if self._units else WINDOW_US
            window_s = min(max(window_us, 1_000_000), WINDOW_US) / 1e6
            syncs = list(self._sync_us)
            return Snapshot(
                frames_per_second=round(len(recent) / window_s, 2),
                bitrate_kbps=round(sum(size for _, size in recent) * 8 / window_s / 1000, 1),
                lost_units=self._lost_units,
                write_errors=self._write_errors,
                space_errors=self._space_errors,
                sync_p50_ms=round(median(syncs) / 1000, 3) if syncs else None,
                sync_max_ms=round(max(syncs) / 1000, 3) if syncs else None,
                storage_ok=not self._failure,
                storage_detail=self._failure,
                refused=self._refused,
            )
