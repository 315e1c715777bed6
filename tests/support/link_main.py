"""The link as a process of its own: `python -m tests.support.link_main SETTINGS [STEP]`; dies by SIGKILL at STEP."""

import os
import signal
import sys
from pathlib import Path

from edge_agent.clock import SystemClock
from edge_agent.link import main_link
from edge_agent.logs import set_up_logging
from edge_agent.settings_file import load_settings


def main(arguments: list[str]) -> int:
    deadly = arguments[1] if len(arguments) > 1 else None

    def at_step(name: str) -> None:
        if name == deadly:
            os.kill(os.getpid(), signal.SIGKILL)

    set_up_logging("link")
    return main_link(load_settings(Path(arguments[0])), SystemClock(), step_hook=at_step)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
