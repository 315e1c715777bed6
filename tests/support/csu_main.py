"""`csu` with a clock that a test steps: `python -m tests.support.csu_main CLOCK_FILE WORDS…`."""

import sys
from pathlib import Path

from csu.cli import main
from tests.support.stepped_clock import SteppedClock

if __name__ == "__main__":
    sys.exit(main(sys.argv[2:], SteppedClock(Path(sys.argv[1]))))
