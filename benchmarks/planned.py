"""Planned clips without a recorder: the ring is opened by this process."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.month import Month
from benchmarks.unit import CAMERA, UNIT_ID
from edge_agent.buffer.ring import Ring, RingContext
from edge_agent.clock import SystemClock, read_boot_id
from edge_agent.contract.clip import Interval, Requester
from edge_agent.contract.ring_protocol import PlanRequest
from edge_agent.settings_file import load_settings

REQUESTER = Requester(operator="bench", role="investigator", reference="bench", purpose="bench")


@contextmanager
def opened_ring(month: Month) -> Iterator[Ring]:
    """The ring, without recording."""
    context = RingContext(UNIT_ID, read_boot_id(), uuid.uuid4().hex, "bench")
    camera = load_settings(month.unit.config).camera[0]
    ring = Ring.open(month.unit.data_dir, camera, context, SystemClock(), record=False)
    try:
        yield ring
    finally:
        ring.close()


def plan_last_minutes(ring: Ring, month: Month, minutes: int) -> tuple[str, Path]:
    """Plan a clip that ends half a minute before the footage does: its id and its plan's file."""
    end_us = month.end_us - 30_000_000
    interval = Interval(start_us=end_us - minutes * 60_000_000, end_us=end_us)
    request = PlanRequest(clip_id=str(uuid.uuid4()), interval=interval, requester=REQUESTER)
    result = ring.plan(request)
    if result.state != "planned" or result.parts != 1:
        raise RuntimeError(f"camera {CAMERA}: planned as {result.state} in {result.parts} parts")
    return request.clip_id, month.unit.data_dir / result.plan_file
