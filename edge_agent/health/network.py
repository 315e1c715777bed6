"""Figures of the network: state, bytes and rates of every interface but loopback.

Bytes are those of `/proc/net/dev` (proc(5)), states those of `/sys/class/net/<name>/operstate` (Linux
Documentation/ABI/testing/sysfs-class-net; RFC 2863 §3.1.14).
"""

from pathlib import Path
from typing import Any, NamedTuple

from edge_agent.clock import Clock
from edge_agent.health.kernel_files import number, read_text

MAX_INTERFACES = 20
"""Listed; those with the most bytes. A board that runs containers has dozens."""
_RECEIVED, _SENT = 0, 8
_FIELDS = 16
_MAX_NAME = 15
"""IFNAMSIZ, less its null byte."""


class _Totals(NamedTuple):
    received_bytes: int
    sent_bytes: int


class NetworkProbe:
    """Rates are differences between two calls."""

    def __init__(self, clock: Clock, root: Path = Path("/")) -> None:
        self._clock = clock
        self._root = root
        self._before: dict[str, _Totals] = {}
        self._before_us: int | None = None

    def figures(self) -> dict[str, Any]:
        """The interfaces, and `received_kbps` and `sent_kbps` of all together since the last call."""
        totals = _totals_of(read_text(self._root / "proc/net/dev"))
        now_us = self._clock.monotonic_us()
        before, before_us = self._before, self._before_us
        self._before, self._before_us = totals, now_us
        if not totals:
            return {}
        passed_ms = 0.0 if before_us is None else (now_us - before_us) / 1000
        listed = sorted(totals, key=lambda name: -sum(totals[name]))[:MAX_INTERFACES]
        rates = {name: _rates(totals[name], before.get(name), passed_ms) for name in totals}
        interfaces = [self._interface(name, totals[name]) | rates[name] for name in sorted(listed)]
        figures: dict[str, Any] = {"interfaces": interfaces} | _sum(rates.values() if passed_ms else ())
        left_out = len(totals) - len(listed)
        return figures | ({"interfaces_left_out": left_out} if left_out else {})

    def _interface(self, name: str, totals: _Totals) -> dict[str, Any]:
        state = (read_text(self._root / "sys/class/net" / name / "operstate") or "").strip()
        known = {"state": state} if state.isalpha() and len(state) <= _MAX_NAME else {}
        return {"name": name} | known | totals._asdict()


def _rates(now: _Totals, before: _Totals | None, passed_ms: float) -> dict[str, float]:
    """Nothing for an interface that came anew: its counters begin again."""
    if before is None or passed_ms <= 0 or now[0] < before[0] or now[1] < before[1]:
        return {}
    received, sent = ((after - earlier) * 8 / passed_ms for after, earlier in zip(now, before, strict=True))
    return {"received_kbps": round(received, 1), "sent_kbps": round(sent, 1)}


def _sum(rates: Any) -> dict[str, float]:  # noqa: ANN401 -- any collection of rates
    known = [rate for rate in rates if rate]
    names = ("received_kbps", "sent_kbps")
    return {name: round(sum(rate[name] for rate in known), 1) for name in names} if known else {}


def _totals_of(text: str | None) -> dict[str, _Totals]:
    found: dict[str, _Totals] = {}
    for line in (text or "").splitlines()[2:]:
        name, _, rest = line.partition(":")
        name, fields = name.strip(), rest.split()
        if not _is_name(name) or len(fields) < _FIELDS:
            continue
        received, sent = number(fields[_RECEIVED]), number(fields[_SENT])
        if received is not None and sent is not None and min(received, sent) >= 0:
            found[name] = _Totals(received, sent)
    return found


def _is_name(name: str) -> bool:
    return name != "lo" and 0 < len(name) <= _MAX_NAME and name.isprintable() and "/" not in name and name != ".."
