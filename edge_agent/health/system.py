"""Figures of the board: processor, load, memory, temperature, uptime; from the kernel's files under a root."""

from pathlib import Path
from typing import Any

from edge_agent.health.kernel_files import decimal, folders, number, read_text

_MIN_INTERVAL_TICKS = 10
_MAX_ZONES = 64
_COLDEST_C, _HOTTEST_C = -60.0, 200.0
"""A sensor beyond these is broken: some drivers say -274 °C, or 2³¹ millidegrees, of one that is not connected."""


class SystemProbe:
    """Reads `/proc` and `/sys` (proc(5); Linux Documentation/driver-api/thermal/sysfs-api.rst)."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._ticks: tuple[int, int] | None = None

    def figures(self) -> dict[str, Any]:
        """What can be measured; what cannot is absent."""
        stat = self._read("proc/stat")
        found = {
            "cpu_load_share": self._cpu_load(stat),
            **_loads(self._read("proc/loadavg"), _processors(stat)),
            "memory_used_share": self._memory_used(),
            "temperature_c": self._temperature(),
            "uptime_s": self._uptime(),
        }
        return {name: value for name, value in found.items() if value is not None}

    def _read(self, path: str) -> str | None:
        return read_text(self._root / path)

    def _cpu_load(self, stat: str | None) -> float | None:
        """Share of the processors' time that was not idle since the last call."""
        ticks, before = _ticks_of(stat), self._ticks
        if ticks is None or before is None or ticks[1] < before[1]:
            self._ticks = ticks
            return None
        idle, total = ticks[0] - before[0], ticks[1] - before[1]
        if total < _MIN_INTERVAL_TICKS:
            return None
        self._ticks = ticks
        return round(min(max(1 - idle / total, 0.0), 1.0), 3)

    def _memory_used(self) -> float | None:
        fields = dict(line.split(":", 1) for line in (self._read("proc/meminfo") or "").splitlines() if ":" in line)
        total, available = number(fields.get("MemTotal")), number(fields.get("MemAvailable"))
        if total is None or available is None or not 0 <= available <= total or not total:
            return None
        return round(1 - available / total, 3)

    def _temperature(self) -> float | None:
        """The hottest thermal zone, °C."""
        zones = folders(self._root / "sys/class/thermal", "thermal_zone*/temp", _MAX_ZONES)
        degrees = [value / 1000 for zone in zones if (value := number(read_text(zone))) is not None]
        believable = [value for value in degrees if _COLDEST_C < value < _HOTTEST_C]
        return round(max(believable), 1) if believable else None

    def _uptime(self) -> int | None:
        uptime_s = decimal((self._read("proc/uptime") or "").partition(" ")[0].strip())
        return None if uptime_s is None else int(uptime_s)


def _ticks_of(stat: str | None) -> tuple[int, int] | None:
    """Idle and total ticks of all processors, waiting for storage counted as idle (proc(5), /proc/stat)."""
    first = (stat or "").partition("\n")[0].split()
    ticks = [value for word in first[1:9] if (value := number(word)) is not None and value >= 0]
    if len(ticks) < 5 or len(ticks) != len(first[1:9]) or first[0] != "cpu":
        return None
    return ticks[3] + ticks[4], sum(ticks)


def _processors(stat: str | None) -> int:
    lines = (stat or "").splitlines()
    return sum(line.startswith("cpu") and line[3:4].isdecimal() for line in lines)


def _loads(loadavg: str | None, processors: int) -> dict[str, float]:
    """Processes that ran or waited for storage, on average over 1, 5 and 15 minutes (proc(5), /proc/loadavg)."""
    words = (loadavg or "").split()[:3]
    loads = [load for word in words if (load := decimal(word)) is not None]
    if len(loads) != 3:
        return {}
    named = dict(zip(("load_1min", "load_5min", "load_15min"), loads, strict=True))
    return named | ({"load_per_processor": round(loads[1] / processors, 2)} if processors else {})
