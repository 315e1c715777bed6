"""`python -m csu`, the same as the command `csu`."""

import sys

from csu.cli import main

if __name__ == "__main__":
    sys.exit(main())
