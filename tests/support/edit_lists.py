"""Copies of clips whose edit list says something else: what a clip looks like that begins at a wrong picture."""

import struct
from pathlib import Path

from edge_agent.contract.boxes import find

_TRACK = (b"moov", b"trak")


def with_moved_edit(clip: Path, copy: Path, by_90k: int) -> Path:
    """A copy that begins so much later, or earlier, in its media."""
    data = bytearray(clip.read_bytes())
    edits = find(memoryview(data), (*_TRACK, b"edts", b"elst"))
    times = edits.body_offset + 8  # after version, flags and the number of edits
    duration_90k, media_time_90k = struct.unpack_from(">Qq", data, times)
    struct.pack_into(">Qq", data, times, duration_90k - by_90k, media_time_90k + by_90k)
    copy.write_bytes(data)
    return copy


def without_edits(clip: Path, copy: Path) -> Path:
    """A copy as players see the clip that ignore edit lists."""
    data = bytearray(clip.read_bytes())
    edits = find(memoryview(data), (*_TRACK, b"edts"))
    data[edits.offset + 4 : edits.offset + 8] = b"free"
    copy.write_bytes(data)
    return copy
