"""What an idle unit's line costs a month: every packet between a real unit and a broker with TLS, by kind.

The window holds what comes often: the keep-alive's pings, with the headers of TLS, TCP and IP. What comes rarely
counts by its own size, measured in the same capture, times how often the unit sends it (`uplink.telling`), or as
often as the window saw it, whichever is more.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.captured import Message, Packet, between, bytes_by_kind, messages_of, read_capture
from benchmarks.idle_unit import PORT, now_s, start_idle_unit
from benchmarks.private_line import UNIT, why_not
from benchmarks.row import Row
from benchmarks.workspace import Workspace
from edge_agent.position.telling import INTERVAL_S as POSITION_INTERVAL_S
from edge_agent.uplink.telling import COVERAGE_POLICY, HEALTH_POLICY

MONTH_S = 30 * 86_400.0
BAR_MB = 30.0
SETTLE_S = 120.0
"""From the connection on: what a start alone sends has been sent."""
_MINUTES = 60.0
_QUICK_MINUTES = 3.0
_STEADY = frozenset({"ping", "TCP alone", "TLS alone"})
_OF_A_CONNECTION = frozenset({"connect", "subscribe", "status", "TLS alone"})
_CONNECTIONS = 30
"""One a day: an address that changes, a modem that begins anew."""
_EVENTS = 60
"""Two a day, each with the alarms that are left: what an idle unit has to report."""

RARE = {
    "position": round(MONTH_S / POSITION_INTERVAL_S),
    "health": round(MONTH_S / HEALTH_POLICY.interval_s),
    "coverage": round(MONTH_S / COVERAGE_POLICY.interval_s),
    "alarms": _EVENTS,
    "event": _EVENTS,
}
"""Messages a month that the unit sends without being asked."""


@dataclass(frozen=True, slots=True)
class IdleSums:
    """A window of a capture, reckoned for a month.

    Attributes:
        window_s: its length.
        by_kind: bytes of the window.
        steady_mb: of what comes often, a month.
        rare_mb: of what comes rarely, by kind, a month.
    """

    window_s: float
    by_kind: dict[str, int]
    steady_mb: float
    rare_mb: dict[str, float]

    @property
    def month_mb(self) -> float:
        """All together."""
        return self.steady_mb + sum(self.rare_mb.values())


def reckon(packets: Sequence[Packet], begin_s: float, end_s: float) -> IdleSums:
    """The sums of a window; packets of before it tell the size of what did not fall into it."""
    window = between(packets, begin_s, end_s)
    sums = bytes_by_kind(window)
    messages = messages_of(window, _STEADY | {"acknowledgement"})
    acknowledged = sum(packet.kind == "acknowledgement" for packet in window)
    headers = _header_bytes(packets)
    # A message is answered by PUBACK, and each of the two by one packet of TCP alone.
    steady = sum(sums[kind] for kind in _STEADY) - 2 * acknowledged * headers
    months = MONTH_S / (end_s - begin_s)
    rare = {
        kind: _exchange_bytes(packets, kind, headers) * _times(kind, messages, months) for kind in _kinds(messages)
    }
    connection = [packet for packet in packets if packet.time_s < begin_s and packet.kind in _OF_A_CONNECTION]
    rare["connection"] = _CONNECTIONS * (sum(packet.size_bytes for packet in connection) + 8 * headers)
    in_mb = {kind: size_bytes / 1e6 for kind, size_bytes in rare.items()}
    return IdleSums(end_s - begin_s, dict(sums.most_common()), steady * months / 1e6, in_mb)


def _kinds(messages: Sequence[Message]) -> list[str]:
    return [*RARE, *sorted({message.kind for message in messages} - RARE.keys())]


def _times(kind: str, messages: Sequence[Message], months: float) -> float:
    """How often a month: as the unit means to, or as the window saw it."""
    return max(RARE.get(kind, 0), sum(message.kind == kind for message in messages) * months)


def _header_bytes(packets: Sequence[Packet]) -> int:
    """Of a packet that carries nothing."""
    return min(packet.size_bytes for packet in packets)


def _exchange_bytes(packets: Sequence[Packet], kind: str, header_bytes: int) -> int:
    """The largest message of a kind in the capture, its acknowledgement, and the packets of TCP alone for both.

    A kind that did not come counts as the status does, which is as long as an event.
    """
    found = messages_of(packets, _STEADY)
    sizes = {
        name: max((message.size_bytes for message in found if message.kind == name), default=0)
        for name in (kind, "status", "acknowledgement")
    }
    return (sizes[kind] or sizes["status"]) + sizes["acknowledgement"] + 2 * header_bytes


def run(workspace: Workspace) -> Iterator[Row]:
    """Watch an idle unit for an hour; three minutes when it has to be quick."""
    problem = why_not()
    if problem is not None:
        raise RuntimeError(f"no private line can be made here: {problem}")
    minutes = workspace.minutes or (_QUICK_MINUTES if workspace.quick else _MINUTES)
    unit = start_idle_unit(workspace.directory("idle"), workspace.processes)
    time.sleep(SETTLE_S)
    begin_s = now_s()
    time.sleep(minutes * 60)
    sums = reckon(read_capture(unit.capture, unit.keys, PORT, UNIT), begin_s, begin_s + minutes * 60)
    yield Row(
        name="idle line, a month",
        ours=sums.month_mb,
        unit="MB",
        peer=sums.steady_mb,
        peer_name="the keep-alive alone in the same capture: ping, answer, TCP's acknowledgement",
        judge="ours",
        bar=BAR_MB,
        note=note_of(sums),
    )


def note_of(sums: IdleSums) -> str:
    """How the figure came about."""
    seen = ", ".join(f"{kind} {size_bytes:,}" for kind, size_bytes in sums.by_kind.items())
    rare = ", ".join(f"{kind} {size_mb:.2f}" for kind, size_mb in sums.rare_mb.items())
    return (
        f"IP packets of {sums.window_s / 60:g} min, TLS 1.3, one camera: bytes by kind {seen}; added from measured"
        f" sizes and the unit's own intervals, MB a month: {rare}"
    )
