"""A segment's fragments and sample table as one compact blob for the index.

zlib (level 1) of a little-endian concatenation: a head of seven numbers; the fragments' columns in the order of
`FragmentTable.columns` and their digests; sample sizes (uint32), decode times (int64), presentation times (int64;
none where they equal the decode times, as they do of cameras without B-frames) and key indices (uint32). The samples'
arrays are shuffled: all first bytes, then all second ones, and so on, which zlib packs as well as differences and
which is undone by a few strided copies. A minute of 25 pictures a second takes about 9 kB of the index and less than
0.1 ms to read.
"""

import struct
import sys
import zlib
from array import array

from edge_agent.buffer.fragment_table import DIGEST_BYTES, FragmentTable
from edge_agent.buffer.segment import SampleTable
from edge_agent.contract.segment_format import CLOCK_SOURCES
from edge_agent.errors import FormatError

_LEVEL = 1
_VERSION = 2
_HEAD = struct.Struct("<B?HIIIq")
_MAX_BLOB_BYTES = 64_000_000
_COLUMNS = tuple((column.typecode, column.itemsize) for column in FragmentTable(0, "").columns())
_FRAGMENT_BYTES = sum(width for _, width in _COLUMNS) + DIGEST_BYTES


def encode_contents(fragments: FragmentTable, samples: SampleTable) -> bytes:
    """The blob of a segment's fragments and samples."""
    keys = len(samples.key_indices)
    is_ordered = samples.pts_90k == samples.dts_90k
    pts = () if is_ordered else (samples.pts_90k,)
    pieces = (
        _HEAD.pack(_VERSION, is_ordered, _FRAGMENT_BYTES, len(fragments), len(samples), keys, samples.end_90k),
        *map(_plain, fragments.columns()),
        fragments.digests,
        *map(_shuffled, (samples.sizes_bytes, samples.dts_90k, *pts, samples.key_indices)),
    )
    return zlib.compress(b"".join(pieces), _LEVEL)


def decode_contents(blob: bytes, sequence: int, run_id: str) -> tuple[FragmentTable, SampleTable]:
    """Fragments and samples of a blob; what a whole segment shares is not in it and given.

    Raises:
        FormatError: not such a blob.
    """
    try:
        data = _inflate(blob)
        version, is_ordered, fragment_bytes, fragments, samples, keys, end_90k = _HEAD.unpack_from(data)
        if version != _VERSION or fragment_bytes != _FRAGMENT_BYTES:
            raise FormatError(f"segment {sequence}: index entry of version {version}")
        columns, at = _columns(data, _HEAD.size, fragments)
        digests = data[at : at + fragments * DIGEST_BYTES]
        sizes, at = _unshuffled("I", data, at + len(digests), samples)
        dts, at = _unshuffled("q", data, at, samples)
        pts, at = (dts, at) if is_ordered else _unshuffled("q", data, at, samples)
        key_indices, at = _unshuffled("I", data, at, keys)
    except (zlib.error, struct.error, ValueError) as error:
        raise FormatError(f"segment {sequence}: damaged index entry: {error}") from error
    table = FragmentTable.of_columns(sequence, run_id, columns, digests)
    if at != len(data) or max(table.sources, default=0) >= len(CLOCK_SOURCES):
        raise FormatError(f"segment {sequence}: damaged index entry of {len(data)} bytes")
    return table, SampleTable(sizes, dts, pts, key_indices, end_90k)


def _inflate(blob: bytes) -> bytes:
    inflater = zlib.decompressobj()
    data = inflater.decompress(blob, _MAX_BLOB_BYTES)
    if not inflater.eof or inflater.unused_data:
        raise ValueError("not one whole zlib stream")
    return data


def _plain(values: "array[int]") -> bytes:
    if sys.byteorder == "big":
        values = values[:]
        values.byteswap()
    return values.tobytes()


def _shuffled(values: "array[int]") -> bytes:
    data = _plain(values)
    return b"".join(data[place :: values.itemsize] for place in range(values.itemsize))


def _columns(data: bytes, at: int, count: int) -> "tuple[list[array[int]], int]":
    """The fragments' columns, and where they end."""
    found = []
    for kind, width in _COLUMNS:
        end = at + count * width
        found.append(_array(kind, data[at:end], count))
        at = end
    return found, at


def _unshuffled(kind: str, data: bytes, at: int, count: int) -> "tuple[array[int], int]":
    width = array(kind).itemsize
    end = at + count * width
    if end > len(data):
        raise ValueError("it ends too early")
    plain = bytearray(count * width)
    for place in range(width):
        plain[place::width] = data[at + place * count : at + (place + 1) * count]
    return _array(kind, plain, count), end


def _array(kind: str, data: bytes | bytearray, count: int) -> "array[int]":
    values: array[int] = array(kind)
    values.frombytes(data)
    if len(values) != count:
        raise ValueError("it ends too early")
    if sys.byteorder == "big":
        values.byteswap()
    return values
