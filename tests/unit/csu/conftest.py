"""A registry, and replies of a unit, for the centre's tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from csu import stored_units
from csu.keys import KeyStore
from csu.registry import Registry
from edge_agent.contract.jws import SigningKey

NOW_US = 1_790_000_000_000_000


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
