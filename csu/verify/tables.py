"""A clip's `moov` read back (ISO/IEC 14496-12:2022): edit list and sample tables of its one track.

Strict: what the unit's writer does not write is refused. Memory stays proportional to the box: counts are compared
with the number of sample sizes that are there before anything is expanded.
"""

from __future__ import annotations  # array[int] is an annotation only before Python 3.12

import struct
import sys
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, chain, repeat

from edge_agent.contract.access_unit import TIMESCALE_HZ
from edge_agent.contract.boxes import Box, find, walk
from edge_agent.contract.errors import FormatError

_TABLE = (b"moov", b"trak", b"mdia", b"minf", b"stbl")


@dataclass(frozen=True, slots=True)
class ListedChunk:
    """Samples `[first, first + samples)`, one after another from `offset` of the file."""

    offset: int
    first: int
    samples: int


@dataclass(frozen=True, slots=True)
class Tables:
    """What the header says; times in 1/90,000 s from the first decode time."""

    stsd: bytes
    media_time_90k: int
    shown_90k: int
    movie_90k: int
    sizes_bytes: array[int]
    dts_90k: list[int]
    pts_90k: list[int]
    keys: frozenset[int]
    chunks: list[ListedChunk]

    def is_shown(self, pts_90k: int) -> bool:
        """Whether a presentation time lies inside the edit list."""
        return self.media_time_90k <= pts_90k < self.media_time_90k + self.shown_90k

    @property
    def shown(self) -> int:
        """Pictures that a player shows."""
        return sum(map(self.is_shown, self.pts_90k))


def read_tables(moov: bytes) -> Tables:
    """Read a whole `moov` box.

    Raises:
        FormatError: not a clip's header; the message names the box.
    """
    try:
        return _read(moov)
    except struct.error as error:
        raise FormatError(f"a box of moov is torn: {error}") from error


def _read(moov: bytes) -> Tables:
    kinds = [box.kind for box in walk(moov, 8)]
    if kinds != [b"mvhd", b"trak"]:
        raise FormatError(f"moov holds {kinds}, expected one track")
    movie_90k = _movie_duration(moov)
    shown_90k, media_time_90k = _edit(moov)
    sizes = _sizes(moov)
    durations = _runs(moov, b"stts", len(sizes), signed=False)
    starts = list(accumulate(durations, initial=0))
    offsets = _runs(moov, b"ctts", len(sizes), signed=True) if _has(moov, b"ctts") else repeat(0, len(sizes))
    stsd = _box(moov, b"stsd")
    return Tables(
        stsd=moov[stsd.offset : stsd.end],
        media_time_90k=media_time_90k,
        shown_90k=shown_90k,
        movie_90k=movie_90k,
        sizes_bytes=sizes,
        dts_90k=starts[:-1],
        pts_90k=[start + offset for start, offset in zip(starts, offsets, strict=False)],
        keys=_keys(moov, len(sizes)),
        chunks=_chunks(moov, len(sizes)),
    )


def _box(moov: bytes, kind: bytes) -> Box:
    return find(moov, (*_TABLE, kind))


def _has(moov: bytes, kind: bytes) -> bool:
    table = find(moov, _TABLE)
    return any(box.kind == kind for box in walk(moov, table.body_offset, table.end))


def _movie_duration(moov: bytes) -> int:
    mvhd, mdhd = find(moov, (b"moov", b"mvhd")), find(moov, (b"moov", b"trak", b"mdia", b"mdhd"))
    for box in (mvhd, mdhd):
        version, timescale_hz = struct.unpack_from(">B19xI", moov, box.body_offset)
        if version != 1 or timescale_hz != TIMESCALE_HZ:
            raise FormatError(f"{box.kind!r} has version {version}, timescale {timescale_hz}; expected 1, 90000")
    duration_90k: int = struct.unpack_from(">Q", moov, mvhd.body_offset + 24)[0]
    return duration_90k


def _edit(moov: bytes) -> tuple[int, int]:
    elst = find(moov, (b"moov", b"trak", b"edts", b"elst"))
    head, count, shown_90k, media_time_90k, rate, fraction = struct.unpack_from(">IIQqHH", moov, elst.body_offset)
    if (head, count, rate, fraction) != (1 << 24, 1, 1, 0) or elst.size_bytes != 36 or media_time_90k < 0:
        raise FormatError("the edit list is not one edit at normal speed")
    return shown_90k, media_time_90k


def _entries(moov: bytes, kind: bytes, words: int, versions: tuple[int, ...] = (0,)) -> tuple[int, array[int]]:
    """Version and the 32-bit words of a table whose entries have so many words each."""
    box = _box(moov, kind)
    head, count = struct.unpack_from(">II", moov, box.body_offset)
    if head >> 24 not in versions or head & 0xFFFFFF:
        raise FormatError(f"{kind!r} has version and flags {head:#x}")
    if box.end - box.body_offset - 8 != 4 * words * count:
        raise FormatError(f"{kind!r} of {box.size_bytes} bytes does not hold {count} entries")
    return head >> 24, _words("I", moov[box.body_offset + 8 : box.end])


def _words(code: str, data: bytes) -> array[int]:
    values: array[int] = array(code, data)
    if sys.byteorder == "little":
        values.byteswap()
    return values


def _sizes(moov: bytes) -> array[int]:
    box = _box(moov, b"stsz")
    head, common, count = struct.unpack_from(">III", moov, box.body_offset)
    if head or common or box.end - box.body_offset - 12 != 4 * count or not count:
        raise FormatError(f"stsz of {box.size_bytes} bytes does not hold {count} sizes")
    return _words("I", moov[box.body_offset + 12 : box.end])


def _runs(moov: bytes, kind: bytes, samples: int, *, signed: bool) -> Iterator[int]:
    version, words = _entries(moov, kind, 2, (0, 1) if signed else (0,))
    counts, values = words[0::2], words[1::2]
    if sum(counts) != samples:
        raise FormatError(f"{kind!r} speaks of {sum(counts)} samples, stsz of {samples}")
    plain = values if version == 0 else array("i", values.tobytes())
    return chain.from_iterable(map(repeat, plain, counts))


def _keys(moov: bytes, samples: int) -> frozenset[int]:
    _, words = _entries(moov, b"stss", 1)
    keys = frozenset(word - 1 for word in words)
    if len(keys) != len(words) or list(words) != sorted(words) or not keys or min(keys) != 0 or max(keys) >= samples:
        raise FormatError("stss does not list rising samples from the first one on")
    return keys


def _chunks(moov: bytes, samples: int) -> list[ListedChunk]:
    box = _box(moov, b"co64")
    head, count = struct.unpack_from(">II", moov, box.body_offset)
    if head or box.end - box.body_offset - 8 != 8 * count:
        raise FormatError(f"co64 of {box.size_bytes} bytes does not hold {count} offsets")
    offsets = _words("Q", moov[box.body_offset + 8 : box.end])
    lengths = _samples_of_chunks(moov, count, samples)
    firsts = accumulate(lengths, initial=0)
    return [
        ListedChunk(offset, first, length) for offset, first, length in zip(offsets, firsts, lengths, strict=False)
    ]


def _samples_of_chunks(moov: bytes, chunks: int, samples: int) -> list[int]:
    _, words = _entries(moov, b"stsc", 3)
    firsts, lengths, entries = words[0::3], words[1::3], words[2::3]
    edges = [*firsts, chunks + 1]
    if not firsts or firsts[0] != 1 or edges != sorted(set(edges)) or set(entries) != {1} or 0 in lengths:
        raise FormatError("stsc does not divide the chunks")
    spread = [length for index, length in enumerate(lengths) for _ in range(edges[index + 1] - edges[index])]
    if sum(spread) != samples:
        raise FormatError(f"stsc speaks of {sum(spread)} samples, stsz of {samples}")
    return spread
