"""The clip by which the page finds out whether a browser heeds edit lists: `-m tests.support.preroll_probe FILE`.

It is cut as every clip is. The first picture to be shown has one white column; before it lie pictures up to the key
frame, which is all black.
"""

import sys
import tempfile
from pathlib import Path

from tests.support.numbered import numbered_units
from tests.support.recording import rotated
from tests.support.saved_clips import asked_s, saved_clip

FPS = 25
FIRST = 16
"""The first picture to be shown: of its ten columns (see `numbered`) the sixth is white."""
SHOWN = 4


def write(file: Path) -> None:
    """Make it anew."""
    with tempfile.TemporaryDirectory() as scratch:
        ring = Path(scratch)
        asked = asked_s(FIRST / FPS, (FIRST + SHOWN) / FPS)
        [part] = saved_clip(ring, rotated(ring, numbered_units(1, fps=FPS), FPS), asked, ring / "out").parts
        file.write_bytes(part.read_bytes())


if __name__ == "__main__":
    write(Path(sys.argv[1]))
