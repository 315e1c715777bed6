"""Where things lie in a camera's ring directory, and under which names."""

import re
from pathlib import Path

LOCK_FILE = "lock"
INDEX_FILE = "index.db"
SEGMENTS_FOLDER = "segments"
PLANS_FOLDER = "plans"
DAMAGED_FOLDER = "damaged"

_FILES_A_FOLDER = 1000
_SEGMENT_NAME = re.compile(r"(\d{9,18})\.mp4")


def plan_file_name(camera: str, clip_id: str) -> str:
    """A plan's file, relative to the unit's data directory."""
    return f"ring/{camera}/{PLANS_FOLDER}/{clip_id}/plan.json"


def segment_file(sequence: int) -> str:
    """A segment's file, relative to the ring directory: a thousand to a folder."""
    return f"{SEGMENTS_FOLDER}/{sequence // _FILES_A_FOLDER:06d}/{sequence:09d}.mp4"


def sequence_of(name: str) -> int | None:
    """The sequence number in a segment's file name; None for other names."""
    match = _SEGMENT_NAME.fullmatch(name)
    return int(match[1]) if match else None


def list_segment_files(directory: Path) -> dict[int, Path]:
    """Every segment file of a ring by its sequence number.

    Raises:
        OSError: a folder cannot be read.
    """
    found: dict[int, Path] = {}
    for path in (directory / SEGMENTS_FOLDER).glob("*/*.mp4"):
        sequence = sequence_of(path.name)
        if sequence is not None:
            found[sequence] = path
    return found
