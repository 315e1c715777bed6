"""A ring of one camera on a clock that the test moves."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.buffer.ring import Ring
from tests.support.rings import RingBench


@pytest.fixture
def bench(tmp_path: Path) -> RingBench:
    return RingBench(tmp_path)


@pytest.fixture
def ring(bench: RingBench) -> Iterator[Ring]:
    ring = bench.open()
    yield ring
    ring.close()
    assert not bench.fatal
