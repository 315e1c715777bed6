"""What every test may use."""

import inspect
from collections.abc import Iterator

import pytest
from blockbuster import blockbuster_ctx

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
