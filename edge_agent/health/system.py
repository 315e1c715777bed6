"""Figures of the board: processor, memory, temperature, uptime; from the kernel's files under an injected root."""

from pathlib import Path
from typing import Any

_MIN_INTERVAL_TICKS = 10


class SystemProbe:
    """Reads `/proc` and `/sys` (proc(5); Linux Documentation/driver-api/thermal/sysfs-api.rst)."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._ticks: tuple[int, int] | None = None

    def figures(self) -> dict[str, Any]:
        """What can be measured; what cannot is absent."""
        found = {
            "cpu_load_share": self._cpu_load(),
            "memory_used_share": self._memory_used(),
            "temperature_c": self._temperature(),
            "uptime_s": self._uptime(),
        }
        return {name: value for name, value in found.items() if value is not None}

    def _read(self, path: str) -> str | None:
        try:
            return (self._root / path).read_text(encoding="ascii", errors="replace")
        except OSError:
            return None

    def _cpu_load(self) -> float | None:
        """Share of the processors' time that was not idle since the last call."""
        ticks = _ticks_of(self._read("proc/stat"))
        before, self._ticks = self._ticks, ticks
        if ticks is None or before is None or ticks[1] - before[1] < _MIN_INTERVAL_TICKS:
            return None
        idle, total = ticks[0] - before[0], ticks[1] - before[1]
        return round(min(max(1 - idle / total, 0.0), 1.0), 3)

    def _memory_used(self) -> float | None:
        fields = dict(line.split(":", 1) for line in (self._read("proc/meminfo") or "").splitlines() if ":" in line)
        total, available = _first_number(fields.get("MemTotal")), _first_number(fields.get("MemAvailable"))
        if not total or available is None:
            return None
        return round(1 - available / total, 3)

    def _temperature(self) -> float | None:
        """The hottest thermal zone, °C."""
        zones = sorted((self._root / "sys/class/thermal").glob("thermal_zone*/temp"))
        texts = [self._read(str(zone.relative_to(self._root))) for zone in zones]
        millidegrees = [value for text in texts if (value := _first_number(text)) is not None]
        return round(max(millidegrees) / 1000, 1) if millidegrees else None

    def _uptime(self) -> int | None:
        text = self._read("proc/uptime")
        return None if text is None else _first_number(text.partition(".")[0])


def _first_number(text: str | None) -> int | None:
    words = (text or "").split()
    digits = words[0] if words else ""
    return int(digits) if digits.removeprefix("-").isdigit() else None


def _ticks_of(stat: str | None) -> tuple[int, int] | None:
    """Idle and total ticks of all processors, waiting for storage counted as idle (proc(5), /proc/stat)."""
    first = (stat or "").partition("\n")[0].split()
    if len(first) < 6 or first[0] != "cpu" or not all(word.isdigit() for word in first[1:9]):
        return None
    ticks = [int(word) for word in first[1:9]]
    return ticks[3] + ticks[4], sum(ticks)
