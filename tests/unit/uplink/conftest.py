"""A link's database, ledger and stamps on a fake clock."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edge_agent.clock import FakeClock
from edge_agent.contract.names import DEFAULT_PREFIX, Topics
from edge_agent.uplink.database import LinkDatabase
from edge_agent.uplink.ledger import Ledger
from edge_agent.uplink.stamps import ClockBelief, SequenceCounter, Stamper


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[LinkDatabase]:
    opened = await LinkDatabase.open(tmp_path / "link" / "link.db", 1)
    yield opened
    await opened.close()


@pytest.fixture
def ledger(database: LinkDatabase, clock: FakeClock) -> Ledger:
    return Ledger(database, clock)


@pytest.fixture
def topics() -> Topics:
    return Topics(DEFAULT_PREFIX, "nomad-07")


@pytest.fixture
def wake() -> asyncio.Event:
    return asyncio.Event()


@pytest.fixture
def stamper(tmp_path: Path, clock: FakeClock) -> Stamper:
    counter = SequenceCounter(tmp_path / "run" / "link.seq", "a" * 32)
    return Stamper("nomad-07", "a" * 32, clock, ClockBelief("chrony", 4_001), counter)
