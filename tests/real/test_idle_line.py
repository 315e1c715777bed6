"""An idle unit's line: nothing but the keep-alive, so that chatter cannot creep in.

A real unit and a broker with TLS on a line of the test's own, every packet captured (`benchmarks.idle_traffic` is the
long version).
"""

from pathlib import Path

import pytest

from benchmarks.captured import between, bytes_by_kind, read_capture
from benchmarks.idle_traffic import BAR_MB, MONTH_S, RARE
from benchmarks.idle_unit import PORT, IdleUnit, now_s, start_idle_unit
from benchmarks.private_line import UNIT, why_not
from edge_agent.buffer.client import call_sync
from edge_agent.clock import SystemClock
from edge_agent.contract.model import MAX_MESSAGE_BYTES
from edge_agent.errors import RingError
from edge_agent.paths import ring_socket
from edge_agent.uplink.monitor import COVERAGE_POLL_S
from edge_agent.uplink.telling import COVERAGE_POLICY
from tests.support.polling import wait_until
from tests.support.processes import Processes

pytestmark = [pytest.mark.real, pytest.mark.alone]

KEEPALIVE_S = 5
FIELD_KEEPALIVE_S = 45
WINDOW_S = 15.0
SHORT_BYTES = 620
"""A position, alarms or an event, with the packets that answer it."""
TLS_BYTES = 22
"""Record header, type and tag of AES-GCM (RFC 8446 §5.2)."""


@pytest.fixture
def unit(tmp_path: Path, processes: Processes) -> IdleUnit:
    problem = why_not()
    if problem is not None:
        pytest.skip(problem)
    return start_idle_unit(tmp_path, processes, KEEPALIVE_S)


def is_recording(unit: IdleUnit) -> bool:
    try:
        return bool(call_sync(ring_socket(unit.data_dir, "main"), {"op": "state"}, SystemClock())["recording"])
    except RingError:
        return False


def quiet_for_s(unit: IdleUnit) -> float:
    """Since when nothing but pings was carried."""
    packets = read_capture(unit.capture, unit.keys, PORT, UNIT)
    words = [packet.time_s for packet in packets if packet.kind not in {"ping", "TCP alone"}]
    return now_s() - max(words, default=now_s())


def wait_until_instant(instant_s: float) -> None:
    wait_until(lambda: now_s() > instant_s, what="an instant", timeout_s=60)


def wait_quiet(unit: IdleUnit) -> None:
    """Wait for the end of what a start sends: the first footage, and the look that sees it."""
    limit_s, deadline_s = 1.2 * COVERAGE_POLL_S, now_s() + 90
    while (quiet_s := quiet_for_s(unit)) < limit_s:
        assert now_s() < deadline_s, "the line does not become quiet"
        wait_until_instant(now_s() + limit_s - quiet_s)


def test_an_idle_line_carries_the_keep_alive_and_nothing_else(unit: IdleUnit) -> None:
    wait_until(lambda: is_recording(unit), what="recording", timeout_s=60)
    wait_quiet(unit)
    begin_s = now_s()
    wait_until_instant(begin_s + WINDOW_S)
    packets = read_capture(unit.capture, unit.keys, PORT, UNIT)
    window = between(packets, begin_s, begin_s + WINDOW_S)
    sums = bytes_by_kind(window)
    assert sums.keys() == {"ping", "TCP alone"}, sums
    pings = sum(packet.kind == "ping" and packet.from_unit for packet in window)
    assert WINDOW_S / (KEEPALIVE_S + 2) - 1 <= pings <= WINDOW_S / KEEPALIVE_S + 1
    per_ping = sum(sums.values()) / pings
    header = min(packet.size_bytes for packet in packets)
    longest = MAX_MESSAGE_BYTES + 12 * header + 600
    sizes = {"health": longest, "coverage": longest * COVERAGE_POLICY.short_bytes / MAX_MESSAGE_BYTES}
    rare = sum(times * sizes.get(kind, SHORT_BYTES) for kind, times in RARE.items())
    month_mb = (per_ping * MONTH_S / FIELD_KEEPALIVE_S + rare) / 1e6
    assert month_mb <= BAR_MB, f"{per_ping:.0f} bytes a ping"
    assert max(packet.size_bytes for packet in window) <= header + TLS_BYTES + 2
