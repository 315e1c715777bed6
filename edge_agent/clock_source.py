"""Who vouches for the wall clock, and how far: chrony, else the kernel's discipline, else nobody.

- chrony: `chronyc -c tracking`. Its largest error is |system time offset| + root dispersion + root delay / 2
  (chronyc(1), "tracking": the formula it gives for the bound of the clock's error).
- kernel: adjtimex(2). `STA_UNSYNC` clear means that some daemon disciplines the clock; `maxerror` grows by 500 ppm
  since that daemon's last word. systemd-timesyncd sets it to zero whatever the network's delay, so a floor of
  `KERNEL_FLOOR_US` is added.
- unknown: the wall clock is read all the same; its error has no bound.
"""

import csv
import ctypes
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from edge_agent.clock import Clock
from edge_agent.contract.segment_format import ClockSource

KERNEL_FLOOR_US = 100_000
"""Half of a slow mobile round trip: what SNTP without statistics can be wrong by."""

_CHRONYC = ("chronyc", "-n", "-c", "tracking")
_CHRONYC_TIMEOUT_S = 2.0
_MAX_OUTPUT_BYTES = 4096
_TRACKING_FIELDS = 14
_LOCAL_REFERENCES = frozenset({"00000000", "7F7F0101"})
"""Not synchronised, and chrony's `local` directive: nobody outside vouches for either."""

_SYNCHRONIZED = Path("/run/systemd/timesync/synchronized")
"""Touched at each word of a time server (systemd-timesyncd(8), "Files")."""

_STA_UNSYNC = 0x40
_TIME_ERROR = 5
_READ_ATTEMPTS = 5
_CLOSE_READING_US = 200


@dataclass(frozen=True, slots=True)
class ClockReading:
    """Monotonic and wall clock read together; `bound_us` is the wall clock's largest error, None when unknown.

    `synced_us` and `offset_us` are those of `Vouched`.
    """

    monotonic_us: int
    wall_us: int
    source: ClockSource
    bound_us: int | None
    synced_us: int | None = None
    offset_us: int | None = None


class ClockProbe(Protocol):
    """Reads the clocks and who vouches for them; may block for two seconds."""

    def read(self) -> ClockReading:
        """A reading of now; never fails: what cannot be found out is `unknown`."""
        ...


@dataclass(frozen=True, slots=True)
class Vouched:
    """Who vouches for the wall clock, and its largest error.

    Attributes:
        source: who.
        bound_us: the largest error.
        synced_us: UTC of the last word of a time server; None when that is not told.
        offset_us: how far the wall clock is from what chrony believes, without sign; None when that is not told.
    """

    source: ClockSource
    bound_us: int
    synced_us: int | None = None
    offset_us: int | None = None


class SystemClockProbe:
    """The clocks of this machine.

    Args:
        clock: read for both readings.
        chrony: says what chrony believes; None when it does not run.
        kernel: says what the kernel believes; None when nobody disciplines its clock.
    """

    def __init__(
        self,
        clock: Clock,
        chrony: Callable[[], Vouched | None] | None = None,
        kernel: Callable[[], Vouched | None] | None = None,
    ) -> None:
        self._clock = clock
        self._chrony = chrony or ask_chrony
        self._kernel = kernel or ask_kernel

    def read(self) -> ClockReading:
        """A reading of now."""
        vouched = self._chrony() or self._kernel()
        reading, spread_us = self._read_both()
        if vouched is None:
            return reading
        return replace(
            reading,
            source=vouched.source,
            bound_us=vouched.bound_us + spread_us,
            synced_us=vouched.synced_us,
            offset_us=vouched.offset_us,
        )

    def _read_both(self) -> tuple[ClockReading, int]:
        """The pair read closest together, and the time that passed between the two."""
        best: tuple[int, int, int] | None = None
        for _ in range(_READ_ATTEMPTS):
            before_us = self._clock.monotonic_us()
            wall_us = self._clock.wall_us()
            spread_us = self._clock.monotonic_us() - before_us
            if best is None or spread_us < best[0]:
                best = (spread_us, before_us + spread_us // 2, wall_us)
            if spread_us <= _CLOSE_READING_US:
                break
        spread_us, monotonic_us, wall_us = best or (0, 0, 0)
        return ClockReading(monotonic_us, wall_us, "unknown", None), spread_us


def ask_chrony(command: tuple[str, ...] = _CHRONYC) -> Vouched | None:
    """What chrony believes; None when it is absent, silent for two seconds, or not synchronised."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_CHRONYC_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return parse_tracking(done.stdout[:_MAX_OUTPUT_BYTES].decode("ascii", "replace"))


def parse_tracking(text: str) -> Vouched | None:
    """Read the comma-separated report of `chronyc -c tracking`; None for anything that does not vouch for the clock.

    Its fields are those of the plain report in the same order (chronyc(1)): reference id, its name, stratum,
    reference time, system time offset, last and RMS offset, frequency, residual frequency, skew, root delay, root
    dispersion, update interval, leap status; times in seconds.
    """
    rows = list(csv.reader(text.splitlines()))
    if len(rows) != 1 or len(rows[0]) != _TRACKING_FIELDS:
        return None
    fields = rows[0]
    if fields[0].upper() in _LOCAL_REFERENCES or fields[13] not in {"Normal", "Insert second", "Delete second"}:
        return None
    try:
        offset_s, delay_s, dispersion_s = (float(fields[index]) for index in (4, 10, 11))
        bound_us = round((abs(offset_s) + abs(dispersion_s) + abs(delay_s) / 2) * 1e6)
        synced_us = round(float(fields[3]) * 1e6)
    except (ValueError, OverflowError):
        return None
    return Vouched("chrony", bound_us, synced_us if synced_us > 0 else None, round(abs(offset_s) * 1e6))


class _Timex(ctypes.Structure):
    """The beginning of `struct timex` (linux/timex.h): C's `long` gives it the same names on 32 and 64 bits."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 256),
    )


def ask_kernel(adjtimex: Callable[[object], int] | None = None, synchronized: Path = _SYNCHRONIZED) -> Vouched | None:
    """What the kernel's clock discipline believes; None when nobody disciplines it or it cannot be asked."""
    call = adjtimex or _libc_adjtimex()
    if call is None:
        return None
    timex = _Timex()
    state = call(ctypes.byref(timex))
    if state < 0 or state == _TIME_ERROR or timex.status & _STA_UNSYNC:
        return None
    return Vouched("kernel", int(timex.maxerror) + KERNEL_FLOOR_US, _timesyncd_us(synchronized))


def _timesyncd_us(synchronized: Path) -> int | None:
    """When systemd-timesyncd last heard a time server; None when it does not run."""
    try:
        return synchronized.stat().st_mtime_ns // 1000
    except OSError:
        return None


def _libc_adjtimex() -> Callable[[object], int] | None:
    if os.uname().sysname != "Linux":
        return None
    function = getattr(ctypes.CDLL(None, use_errno=True), "adjtimex", None)
    return function if callable(function) else None
