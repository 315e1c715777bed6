"""`python -m csu.demo`."""

import sys

from csu.demo.command import main

if __name__ == "__main__":
    sys.exit(main())
