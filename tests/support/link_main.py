"""The link as a process of its own: `python -m tests.support.link_main SETTINGS [STEP]`; dies by SIGKILL at STEP.

`LINK_HURRY=1` in its environment shortens what would make a test wait: looks, settling, pauses between connections.
`LINK_MOST_EVENTS` is how many events may wait, `LINK_CLOCK` the file by which a test steps its clock.
"""

import os
import signal
import sys
from pathlib import Path

from edge_agent.clock import SystemClock
from edge_agent.link import main_link
from edge_agent.logs import set_up_logging
from edge_agent.settings_file import load_settings
from edge_agent.uplink import event_bound, history, monitor, session, stored_queue
from tests.support.stepped_clock import SteppedClock


def hurry() -> None:
    """Everything that is looked at now and then is looked at all the time."""
    monitor.POLL_INTERVAL_S = 0.1
    history.GATHER_S = 0.2
    stored_queue.SETTLE_LOOK_S, stored_queue.SETTLE_S = 0.1, 0.3
    session.SHORTEST_WAIT_S, session.FIRST_WAIT_S, session.LONGEST_WAIT_S = 0.1, 0.2, 0.5


def main(arguments: list[str]) -> int:
    deadly = arguments[1] if len(arguments) > 1 else None

    def at_step(name: str) -> None:
        if name == deadly:
            os.kill(os.getpid(), signal.SIGKILL)

    if os.environ.get("LINK_HURRY"):
        hurry()
    event_bound.MAX_WAITING = int(os.environ.get("LINK_MOST_EVENTS", event_bound.MAX_WAITING))
    set_up_logging("link")
    steps = os.environ.get("LINK_CLOCK")
    clock = SystemClock() if steps is None else SteppedClock(Path(steps))
    return main_link(load_settings(Path(arguments[0])), clock, step_hook=at_step)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
