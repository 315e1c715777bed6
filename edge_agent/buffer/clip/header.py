"""The header of a clip: a progressive MP4's `ftyp` and `moov` and the head of its `mdat` (ISO/IEC 14496-12:2022).

The same samples give the same bytes: nothing is taken from clocks, versions or libraries.

Time scale 90,000 throughout, so that every time of a run is exact. The track's decode times begin with zero at the
entry point; its edit list (clause 8.6.6) begins at the composition time of the first shown picture and lasts until
the last one ends. Version 1 boxes carry 64-bit times, also where 32 bits would do.
"""

from __future__ import annotations  # array[int] is an annotation only before Python 3.12

import struct
import sys
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from edge_agent.contract.access_unit import TIMESCALE_HZ, CodecConfig
from edge_agent.contract.boxes import build, build_full, large_head
from edge_agent.errors import FormatError

_EPOCH_1904_S = 2_082_844_800
"""Seconds from 1904 to 1970: the origin of creation times (clause 8.2.2.3)."""

_TRACK_ID = 1
_UNITY_MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
_LANGUAGE_UNDETERMINED = 0x55C4
_TRACK_ENABLED_IN_MOVIE_AND_PREVIEW = 7
_DATA_IN_SAME_FILE = 1
_LARGEST_U32 = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Chunks:
    """Chunks (clause 8.7.5): samples that lie one after another in the file.

    Attributes:
        offsets: array("Q"), of each one's first byte, from the beginning of the `mdat` body.
        samples: array("I"), how many it holds.
    """

    offsets: array[int]
    samples: array[int]


@dataclass(frozen=True, slots=True)
class Track:
    """What the header tells of the samples.

    Attributes:
        config: codec parameters.
        stsd: whole `stsd` box, copied from the segments.
        created_us: UTC of the first shown picture, µs since 1970.
        sizes_bytes: array("I"), of each sample in decode order.
        dts_90k: array("q"), of each sample, rising.
        pts_90k: array("q"), of each sample; may be `dts_90k` itself.
        end_90k: decode time at which the last sample ends.
        keys: rising indices of the samples where decoding can begin; of gradual refreshes, the entry point alone.
        chunks: where the samples lie.
        first_shown_90k: presentation time of the first shown picture.
        shown_90k: how long pictures are shown.
        body_bytes: length of the `mdat` body.
    """

    config: CodecConfig
    stsd: bytes
    created_us: int
    sizes_bytes: array[int]
    dts_90k: array[int]
    pts_90k: array[int]
    end_90k: int
    keys: Sequence[int]
    chunks: Chunks
    first_shown_90k: int
    shown_90k: int
    body_bytes: int


def build_header(track: Track) -> bytes:
    """The bytes that stand before the `mdat` body.

    Raises:
        FormatError: tables that do not fit one another, or times that no MP4 can hold.
    """
    _check(track)
    file_type = _file_type(track.config)
    tables = _sample_tables(track)
    length = len(file_type) + len(_movie(track, [*tables, _chunk_offsets(track.chunks, 0)])) + 16
    movie = _movie(track, [*tables, _chunk_offsets(track.chunks, length)])
    return b"".join((file_type, movie, large_head(b"mdat", track.body_bytes)))


def _check(track: Track) -> None:
    samples = len(track.sizes_bytes)
    counts = {samples, len(track.dts_90k), len(track.pts_90k), sum(track.chunks.samples)}
    if len(counts) != 1 or not samples or len(track.chunks.offsets) != len(track.chunks.samples):
        raise FormatError(f"sample tables of different or no length: {sorted(counts)}")
    if track.end_90k <= track.dts_90k[-1] or track.shown_90k <= 0:
        raise FormatError("the last sample, or the whole clip, has no duration")


def _file_type(config: CodecConfig) -> bytes:
    """`ftyp` (clause 4.3): `iso6` for signed composition offsets, `avc1` where it is true (14496-15 5.4.2.1)."""
    brands = b"isomiso6mp42" + (b"avc1" if config.codec == "h264" else b"")
    return build(b"ftyp", b"isom", struct.pack(">I", 0x200), brands)


def _movie(track: Track, tables: Iterable[bytes]) -> bytes:
    created_s = track.created_us // 1_000_000 + _EPOCH_1904_S
    header = struct.pack(
        ">QQIQIH10x36s24xI",
        created_s,
        created_s,
        TIMESCALE_HZ,
        track.shown_90k,
        0x10000,
        0x0100,
        _UNITY_MATRIX,
        _TRACK_ID + 1,
    )
    return build(
        b"moov",
        build_full(b"mvhd", 1, 0, header),
        build(b"trak", _track_header(track, created_s), _edits(track), _media(track, created_s, tables)),
    )


def _track_header(track: Track, created_s: int) -> bytes:
    body = struct.pack(
        ">QQI4xQ8x8x36sII",
        created_s,
        created_s,
        _TRACK_ID,
        track.shown_90k,
        _UNITY_MATRIX,
        track.config.width_px << 16,
        track.config.height_px << 16,
    )
    return build_full(b"tkhd", 1, _TRACK_ENABLED_IN_MOVIE_AND_PREVIEW, body)


def _edits(track: Track) -> bytes:
    """One edit: media time counts on the composition time line, on which the first decode time is zero."""
    media_time_90k = track.first_shown_90k - track.dts_90k[0]
    if media_time_90k < 0:
        raise FormatError(f"the first shown picture lies {-media_time_90k}/90000 s before the first decode time")
    return build(b"edts", build_full(b"elst", 1, 0, struct.pack(">IQqHH", 1, track.shown_90k, media_time_90k, 1, 0)))


def _media(track: Track, created_s: int, tables: Iterable[bytes]) -> bytes:
    duration_90k = track.end_90k - track.dts_90k[0]
    times = struct.pack(">QQIQHH", created_s, created_s, TIMESCALE_HZ, duration_90k, _LANGUAGE_UNDETERMINED, 0)
    here = build(b"dinf", build_full(b"dref", 0, 0, struct.pack(">I", 1), build_full(b"url ", 0, _DATA_IN_SAME_FILE)))
    return build(
        b"mdia",
        build_full(b"mdhd", 1, 0, times),
        build_full(b"hdlr", 0, 0, struct.pack(">I4s12x", 0, b"vide"), b"Video\0"),
        build(b"minf", build_full(b"vmhd", 0, 1, bytes(8)), here, build(b"stbl", *tables)),
    )


def _sample_tables(track: Track) -> list[bytes]:
    """All tables of `stbl` but the chunk offsets."""
    keys = array("I", (key + 1 for key in track.keys))
    return [
        track.stsd,
        _run_table(b"stts", _durations_90k(track)),
        *_composition_offsets(track),
        build_full(b"stss", 0, 0, struct.pack(">I", len(keys)), _big_endian(keys)),
        _samples_of_chunks(track.chunks),
        build_full(b"stsz", 0, 0, struct.pack(">II", 0, len(track.sizes_bytes)), _big_endian(track.sizes_bytes[:])),
    ]


def _durations_90k(track: Track) -> array[int]:
    starts = track.dts_90k
    ends = starts[1:]
    ends.append(track.end_90k)
    durations = _differences(ends, starts)
    if durations is None:
        raise FormatError("a sample's decode time lies before that of the one before it, or over 13 hours after it")
    return durations


def _composition_offsets(track: Track) -> list[bytes]:
    """`ctts` (clause 8.6.1.3); none where every picture is presented when it is decoded."""
    if track.pts_90k is track.dts_90k or track.pts_90k == track.dts_90k:
        return []
    offsets = _differences(track.pts_90k, track.dts_90k)
    if offsets is not None:
        return [_run_table(b"ctts", offsets)]
    signed = [pts - dts for pts, dts in zip(track.pts_90k, track.dts_90k, strict=True)]
    if min(signed) < -(1 << 31) or max(signed) >= 1 << 31:
        raise FormatError(f"composition offsets from {min(signed)} to {max(signed)} /90000 s do not fit")
    return [_run_table(b"ctts", array("I", (value & _LARGEST_U32 for value in signed)), version=1)]


def _differences(minuends: array[int], subtrahends: array[int]) -> array[int] | None:
    """Element by element, as array("I"); None when one is negative or needs over 32 bits.

    One subtraction of two long numbers with the elements as their 64-bit digits: no digit borrows of its neighbour
    unless a difference is negative, and then its upper half is not zero. Half an hour of samples takes a
    millisecond, a loop over them ten.
    """
    difference = _long_number(minuends) - _long_number(subtrahends)
    if difference < 0:
        return None
    halves = array("I", difference.to_bytes(8 * len(minuends), "little"))
    if sys.byteorder == "big":
        halves.byteswap()
    if halves[1::2].tobytes() != bytes(4 * len(minuends)):
        return None
    return halves[0::2]


def _long_number(values: array[int]) -> int:
    if sys.byteorder == "little":
        return int.from_bytes(values.tobytes(), "little")
    return int.from_bytes(values[::-1].tobytes(), "big")


def _run_table(kind: bytes, values: array[int], version: int = 0) -> bytes:
    """Pairs of a count and a value: one when all are equal, else one a sample, for cameras hardly repeat values."""
    if values == values[:1] * len(values):
        pairs = array("I", (len(values), values[0]))
    else:
        pairs = array("I", bytes(8 * len(values)))
        pairs[0::2] = array("I", (1,)) * len(values)
        pairs[1::2] = values
    return build_full(kind, version, 0, struct.pack(">I", len(pairs) // 2), _big_endian(pairs))


def _samples_of_chunks(chunks: Chunks) -> bytes:
    """`stsc` (clause 8.7.4): one entry where the number of samples a chunk changes."""
    entries = array("I")
    first_chunk = 1
    for samples, run in groupby(chunks.samples):
        entries.extend((first_chunk, samples, 1))
        first_chunk += len(list(run))
    return build_full(b"stsc", 0, 0, struct.pack(">I", len(entries) // 3), _big_endian(entries))


def _chunk_offsets(chunks: Chunks, body_offset: int) -> bytes:
    offsets = array("Q", [offset + body_offset for offset in chunks.offsets])
    return build_full(b"co64", 0, 0, struct.pack(">I", len(offsets)), _big_endian(offsets))


def _big_endian(values: array[int]) -> bytes:
    """The values' bytes in network order; the array is spent by it."""
    if sys.byteorder == "little":
        values.byteswap()
    return values.tobytes()
