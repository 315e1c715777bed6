"""Figures of the network: bytes a second of every interface but loopback, from `/proc/net/dev` (proc(5))."""

from pathlib import Path
from typing import Any

from edge_agent.clock import Clock

_RECEIVED, _SENT = 0, 8
_FIELDS = 16


class NetworkProbe:
    """Rates are differences between two calls."""

    def __init__(self, clock: Clock, root: Path = Path("/")) -> None:
        self._clock = clock
        self._file = root / "proc/net/dev"
        self._before: tuple[int, int, int] | None = None

    def figures(self) -> dict[str, Any]:
        """`received_kbps` and `sent_kbps` since the last call; nothing when they cannot be measured."""
        totals = self._totals()
        if totals is None:
            self._before = None
            return {}
        now_us = self._clock.monotonic_us()
        before, self._before = self._before, (now_us, *totals)
        if before is None or now_us <= before[0] or totals[0] < before[1] or totals[1] < before[2]:
            return {}
        passed_ms = (now_us - before[0]) / 1000
        return {
            "received_kbps": round((totals[0] - before[1]) * 8 / passed_ms, 1),
            "sent_kbps": round((totals[1] - before[2]) * 8 / passed_ms, 1),
        }

    def _totals(self) -> tuple[int, int] | None:
        try:
            lines = self._file.read_text(encoding="ascii", errors="replace").splitlines()[2:]
        except OSError:
            return None
        received = sent = 0
        for line in lines:
            name, _, rest = line.partition(":")
            fields = rest.split()
            if name.strip() == "lo" or len(fields) < _FIELDS or not all(field.isdigit() for field in fields):
                continue
            received += int(fields[_RECEIVED])
            sent += int(fields[_SENT])
        return received, sent
