"""A registry, and replies of a unit, for the centre's tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from csu import stored_units
from csu.registry import Registry

NOW_US = 1_790_000_000_000_000


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[Registry]:
    registry = Registry(tmp_path / "registry.db")
    await registry.open()
    await registry.run(stored_units.add_unit, "nomad-07", NOW_US)
    yield registry
    await registry.close()
