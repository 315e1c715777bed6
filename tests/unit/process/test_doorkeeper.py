"""A socket that cannot be listened on."""

from pathlib import Path
from typing import cast

from edge_agent.buffer.server import RingServer
from edge_agent.clock import FakeClock
from edge_agent.doorkeeper import Doorkeeper


class StuckServer:
    """Refuses the first few times."""

    socket_path = Path("main.sock")

    def __init__(self, refusals: int) -> None:
        self.refusals = refusals
        self.starts = 0

    async def start(self) -> None:
        self.starts += 1
        if self.starts <= self.refusals:
            raise OSError(28, "No space left on device")


async def test_it_is_tried_again_with_backoff_until_it_works_and_no_more() -> None:
    server, clock = StuckServer(3), FakeClock()
    doorkeeper = Doorkeeper(cast("RingServer", server), clock)
    beats = []
    for _ in range(100):
        await doorkeeper.keep_open()
        beats.append(server.starts)
        clock.advance(1.0)
    assert beats[0] == 1
    assert beats[-1] == 4
    assert beats.index(4) >= 3
