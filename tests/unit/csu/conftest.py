"""A registry, keys, an ingest and a unit that talks to it by hand, for the centre's tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from csu import stored_units
from csu.keys import KeyStore
from csu.registry import Registry
from edge_agent.contract.jws import SigningKey
from tests.support.tus_requests import RawUnit
from tests.support.uploads import UNIT_ID, Centre, running_ingest, trusted
from tests.unit.csu.ingest_parts import KEY, LIMITS, NOW_US, OTHER_ID, OTHER_KEY


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[Registry]:
    registry = Registry(tmp_path / "registry.db")
    await registry.open()
    await registry.run(stored_units.add_unit, "nomad-07", NOW_US)
    yield registry
    await registry.close()


@pytest.fixture
def keys(tmp_path: Path) -> KeyStore:
    keys = KeyStore(tmp_path / "keys")
    keys.enrol("nomad-07", SigningKey.generate().public_jwk())
    return keys


@pytest.fixture
async def centre(tmp_path: Path) -> AsyncIterator[Centre]:
    keys = {UNIT_ID: trusted(KEY), OTHER_ID: trusted(OTHER_KEY)}
    async with running_ingest(tmp_path / "csu", keys, LIMITS) as running:
        yield running


@pytest.fixture
async def unit(centre: Centre) -> AsyncIterator[RawUnit]:
    async with aiohttp.ClientSession() as session:
        yield RawUnit(session, KEY, centre.url)
