"""The command line of the centre: `csu serve` and its thin clients.

Exit codes: 0 done (a clip: verified); 1 rejected, failed, or not verified; 2 usage or settings; 3 no answer in time;
141 nobody read what it said.
"""

from csu.cli.parser import main

__all__ = ["main"]
