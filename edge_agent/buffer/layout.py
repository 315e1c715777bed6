"""Where things lie in a camera's ring directory, and under which names."""

import logging
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from edge_agent.os_errors import is_rotten

logger = logging.getLogger(__name__)

LOCK_FILE = "lock"
INDEX_FILE = "index.db"
SEGMENTS_FOLDER = "segments"
PLANS_FOLDER = "plans"
DAMAGED_FOLDER = "damaged"

_FILES_A_FOLDER = 1000
_SEGMENT_NAME = re.compile(r"(\d{9,18})\.mp4")


def plan_file_name(camera: str, clip_id: str) -> str:
    """A plan's file, relative to the unit's data directory."""
    return f"ring/{camera}/{PLANS_FOLDER}/{clip_id}.plan"


def segment_file(sequence: int) -> str:
    """A segment's file, relative to the ring directory: a thousand to a folder."""
    return f"{SEGMENTS_FOLDER}/{sequence // _FILES_A_FOLDER:06d}/{sequence:09d}.mp4"


def first_of_next_folder(sequence: int) -> int:
    """The first sequence number whose file lies in another folder than this one's."""
    return (sequence // _FILES_A_FOLDER + 1) * _FILES_A_FOLDER


def sequence_of(name: str) -> int | None:
    """The sequence number in a segment's file name; None for other names."""
    match = _SEGMENT_NAME.fullmatch(name)
    return int(match[1]) if match else None


@dataclass(frozen=True, slots=True)
class Listing:
    """The segment files of a ring; files that lie elsewhere than they should are not among them."""

    segments: set[int]
    """Their sequence numbers."""
    unread_folders: frozenset[int]
    """Folders that the storage could not read, by number: what lies in them is not known, and may come back."""

    def may_hold(self, sequence: int) -> bool:
        """Whether the segment's file is there, or nobody can say."""
        return sequence in self.segments or sequence // _FILES_A_FOLDER in self.unread_folders

    @property
    def highest(self) -> int:
        """The highest number that may be taken."""
        unread = (folder * _FILES_A_FOLDER + _FILES_A_FOLDER - 1 for folder in self.unread_folders)
        return max([0, *self.segments, *unread])


def list_segments(directory: Path) -> Listing:
    """Look through the folders of segments; one that the storage cannot read costs its own footage and no other.

    Raises:
        OSError: the folders cannot be listed.
    """
    found: set[int] = set()
    unread: set[int] = set()
    for folder in (directory / SEGMENTS_FOLDER).iterdir():
        try:
            names = os.listdir(folder)  # noqa: PTH208 -- a month of segments as Path objects takes 20 MB
        except (FileNotFoundError, NotADirectoryError):
            continue  # emptied and removed meanwhile (buffer.disposal), or a stray file
        except OSError as error:
            if not is_rotten(error):
                raise
            logger.warning("%s and what lies in it is passed over: %s", folder, error)
            if re.fullmatch(r"[0-9]{6,15}", folder.name):
                unread.add(int(folder.name))
            continue
        for name in names:
            sequence = sequence_of(name)
            if sequence is not None and segment_file(sequence) == f"{SEGMENTS_FOLDER}/{folder.name}/{name}":
                found.add(sequence)
    return Listing(found, frozenset(unread))


def is_listable(folder: Path) -> bool:
    """Whether the storage says what lies in a folder."""
    try:
        os.listdir(folder)  # noqa: PTH208 -- as above
    except OSError:
        return False
    return True


def size_on_disk(directory: Path) -> int:
    """Bytes of the segment files of a ring, for who does not own it; what cannot be looked at does not count."""
    size_bytes = 0
    with suppress(OSError):
        for sequence in list_segments(directory).segments:
            with suppress(OSError):
                size_bytes += (directory / segment_file(sequence)).stat().st_size
    return size_bytes
