"""What every test may use."""

import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest
from blockbuster import blockbuster_ctx

from tests.real.csu_service import CsuService
from tests.support.processes import Processes


@pytest.fixture(autouse=True)
def unblocked_loop(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail an asynchronous test when the project's own code blocks the event loop."""
    function = getattr(request.node, "function", None)
    if not inspect.iscoroutinefunction(function):
        yield
        return
    with blockbuster_ctx(["edge_agent", "csu"]):
        yield


@pytest.fixture
def processes() -> Iterator[Processes]:
    """Start programs that are gone, with their children, when the test ends."""
    started = Processes()
    yield started
    started.kill_all()


@pytest.fixture
def service(tmp_path: Path, processes: Processes) -> Iterator[CsuService]:
    """A supervision centre that nobody has started yet; its fake units end with the test."""
    service = CsuService(tmp_path, processes)
    yield service
    service.stop_units()
