"""How long a verification may take: its work is bytes that are read and pictures that are decoded.

Only what lies on the disk counts, which the unit had to send: what its manifest claims costs it nothing.
"""

from pathlib import Path

from edge_agent.contract.commands import MAX_CLIP_S

SLICE_S = 300.0
"""What a clip has for its first try, whatever it holds; most need seconds. Others wait behind it."""
STALL_S = 200.0
"""Without a byte read or a picture decoded; reading a day's manifest and tables takes seconds. Less than `SLICE_S`: a
clip that stands still from the beginning is found to, and not only to be slow."""

_BASE_S = 300.0
_BYTES_PER_S = 2_000_000.0
_PICTURES_PER_S = 50.0
"""Of 3840 × 2160 on two slow cores that are not its own alone; of 1920 × 1080 it is mostly ten times as many."""
_BYTES_PER_PICTURE = 100
"""On average at the very least, with its entries in the tables; 25 pictures/s of these are 20 kbit/s."""
_MAX_PICTURES = MAX_CLIP_S * 60


def limit_s(folder: Path) -> float:
    """Seconds after which the verification of a delivered clip is given up although it goes on.

    Args:
        folder: the clip's.

    Raises:
        OSError: the folder cannot be read.
    """
    size_bytes = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
    pictures = min(size_bytes // _BYTES_PER_PICTURE, _MAX_PICTURES)
    return _BASE_S + size_bytes / _BYTES_PER_S + pictures / _PICTURES_PER_S
