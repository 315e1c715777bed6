"""What one message of a unit costs the centre beside a thousand others: heard, judged anew, told to watchers."""

import asyncio
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import median
from benchmarks.row import Row
from benchmarks.workspace import Workspace
from csu import stored_units
from csu.alarm_book import AlarmBook
from csu.feed import Feed
from csu.fleet import Fleet
from csu.registry import Registry
from edge_agent.clock import SystemClock
from edge_agent.contract.messages import Health
from tests.unit.csu.watched import health, online

_UNITS = 1000
_TIMES = 2000
_QUICK_TIMES = 200
_BAR_US = 1000.0


def run(workspace: Workspace) -> Iterator[Row]:
    """Messages that change a standing, one after another."""
    times = _QUICK_TIMES if workspace.quick else _TIMES
    directory = workspace.directory("watching")
    heard_us, all_ms = asyncio.run(_hear(directory / "registry.db", times))
    read_us = _read(times)
    yield Row(
        name="a message's standing, 1,000 units",
        ours=median(heard_us),
        unit="µs",
        peer=median(read_us),
        peer_name="reading the same body with its model",
        judge="ours",
        bar=_BAR_US,
        note=f"in memory, of {times} that change it; longest {max(heard_us):.0f} µs;"
        f" all units at once {all_ms:.0f} ms in slices",
    )


async def _hear(path: Path, times: int) -> tuple[list[float], float]:
    clock, registry, feed = SystemClock(), Registry(path), Feed()
    await registry.open()
    await registry.run(_add_units)
    alarms = AlarmBook(registry, feed, clock)
    fleet = Fleet(registry, alarms, feed, clock, lambda: True, lambda: None)
    await fleet.load()
    fleet.link(True)
    bodies = [health(clock.wall_us(), recording=is_recording) for is_recording in (True, False)]
    for number in range(_UNITS):
        fleet.hear(_name(number), online(unit_id=_name(number)))
        fleet.hear(_name(number), bodies[0])
    begun_s = time.perf_counter()
    await fleet.refresh()
    all_ms = (time.perf_counter() - begun_s) * 1e3
    elapsed_us = []
    for number in range(times):
        begun_s = time.perf_counter()
        fleet.hear(_name(number % 7), bodies[number // 7 % 2])
        await fleet.refresh()
        elapsed_us.append((time.perf_counter() - begun_s) * 1e6)
    await registry.close()
    return elapsed_us, all_ms


def _read(times: int) -> list[float]:
    body = health(SystemClock().wall_us()).to_json()
    elapsed_us = []
    for _ in range(times):
        begun_s = time.perf_counter()
        Health.from_json(body)
        elapsed_us.append((time.perf_counter() - begun_s) * 1e6)
    return elapsed_us


def _add_units(connection: sqlite3.Connection) -> None:
    for number in range(_UNITS):
        stored_units.add_unit(connection, _name(number), 1)


def _name(number: int) -> str:
    return f"nomad-{number:04}"
