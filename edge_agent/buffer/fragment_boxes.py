"""What a segment's `moov` and `moof` say: codec parameters and sample tables, as libav writes them.

Strict on purpose: a box layout that libav does not write is an error, not a guess. Clauses are those of
ISO/IEC 14496-12:2022; sample entries are ISO/IEC 14496-15's.
"""

from __future__ import annotations  # array[int] is an annotation only before Python 3.12

import struct
from array import array
from collections.abc import Iterator
from dataclasses import dataclass

from edge_agent.contract.access_unit import TIMESCALE_HZ, Codec
from edge_agent.contract.boxes import Box, find, walk
from edge_agent.contract.errors import FormatError

_MAX_SAMPLES = 1 << 16
_MAX_TIME_90K = 1 << 60  # 400,000 years; sums with 32-bit offsets stay within 64 bits
_SAMPLE_ENTRY_BYTES = 8 + 78  # VisualSampleEntry, §12.1.3.2
_ENTRIES: dict[bytes, tuple[Codec, bytes]] = {
    b"avc1": ("h264", b"avcC"),
    b"avc3": ("h264", b"avcC"),
    b"hvc1": ("hevc", b"hvcC"),
    b"hev1": ("hevc", b"hvcC"),
}

_RECORD_BYTES: dict[Codec, int] = {"h264": 7, "hevc": 23}  # the shortest decoder configuration records

_TFHD_DURATION = 0x08
_TFHD_SIZE = 0x10
_TFHD_FLAGS = 0x20
_TFHD_BASE_IS_MOOF = 0x020000
_TFHD_KNOWN = _TFHD_DURATION | _TFHD_SIZE | _TFHD_FLAGS | _TFHD_BASE_IS_MOOF

_TRUN_OFFSET = 0x01
_TRUN_FIRST_FLAGS = 0x04
_TRUN_DURATION = 0x100
_TRUN_SIZE = 0x200
_TRUN_FLAGS = 0x400
_TRUN_COMPOSITION = 0x800
_TRUN_KNOWN = _TRUN_OFFSET | _TRUN_FIRST_FLAGS | _TRUN_DURATION | _TRUN_SIZE | _TRUN_FLAGS | _TRUN_COMPOSITION

_NON_SYNC = 0x10000  # sample_is_non_sync_sample, §8.8.3.1


@dataclass(frozen=True, slots=True)
class SampleDefaults:
    """What a sample has when its `trun` does not say (`trex` §8.8.3, `tfhd` §8.8.7)."""

    duration_90k: int
    size_bytes: int
    flags: int


@dataclass(frozen=True, slots=True)
class MovieHeader:
    """A segment's `moov`.

    Attributes:
        codec: by the sample entry.
        extradata: body of its `avcC` or `hvcC`.
        width_px: coded width.
        height_px: coded height.
        stsd: the whole `stsd` box.
        defaults: of `trex`.
    """

    codec: Codec
    extradata: bytes
    width_px: int
    height_px: int
    stsd: bytes
    defaults: SampleDefaults


@dataclass(frozen=True, slots=True)
class MovieFragment:
    """A fragment's `moof`: its samples in decode order.

    Attributes:
        number: `mfhd` sequence number.
        data_offset: of the first sample's first byte, bytes from the beginning of the `moof`.
        sizes_bytes: array("I").
        dts_90k: array("q").
        pts_90k: array("q").
        keys: indices of the samples where decoding can begin.
        end_90k: decode time at which the last sample ends.
    """

    number: int
    data_offset: int
    sizes_bytes: array[int]
    dts_90k: array[int]
    pts_90k: array[int]
    keys: tuple[int, ...]
    end_90k: int


def read_movie_header(moov: bytes) -> MovieHeader:
    """Read a whole `moov` box.

    Raises:
        FormatError: not a `moov` of one H.264 or H.265 track with the timescale 90,000.
    """
    try:
        return _read_movie_header(moov)
    except struct.error as error:
        raise FormatError(f"moov is torn: {error}") from error


def _read_movie_header(moov: bytes) -> MovieHeader:
    media = (b"moov", b"trak", b"mdia")
    mdhd = find(moov, (*media, b"mdhd"))
    version, _ = _version_and_flags(moov, mdhd)
    (timescale_hz,) = struct.unpack_from(">I", moov, mdhd.body_offset + (20 if version == 1 else 12))
    if timescale_hz != TIMESCALE_HZ:
        raise FormatError(f"timescale is {timescale_hz}, expected {TIMESCALE_HZ}")
    stsd = find(moov, (*media, b"minf", b"stbl", b"stsd"))
    codec, extradata, width_px, height_px = _read_sample_entry(moov, stsd)
    trex = find(moov, (b"moov", b"mvex", b"trex"))
    _, _, _, duration_90k, size_bytes, flags = struct.unpack_from(">IIIIII", moov, trex.body_offset)
    defaults = SampleDefaults(duration_90k, size_bytes, flags)
    return MovieHeader(codec, extradata, width_px, height_px, moov[stsd.offset : stsd.end], defaults)


def _read_sample_entry(moov: bytes, stsd: Box) -> tuple[Codec, bytes, int, int]:
    entries = list(walk(moov, stsd.body_offset + 8, stsd.end))
    if len(entries) != 1 or entries[0].kind not in _ENTRIES:
        raise FormatError(f"stsd holds {[entry.kind for entry in entries]}, expected one of {list(_ENTRIES)}")
    entry = entries[0]
    codec, record_kind = _ENTRIES[entry.kind]
    width_px, height_px = struct.unpack_from(">HH", moov, entry.body_offset + 24)
    record = find(moov, (record_kind,), entry.offset + _SAMPLE_ENTRY_BYTES, entry.end)
    extradata = moov[record.body_offset : record.end]
    if len(extradata) < _RECORD_BYTES[codec] or extradata[0] != 1:
        raise FormatError(f"{record_kind!r} of {len(extradata)} bytes holds no decoder configuration")
    return codec, extradata, width_px, height_px


def read_movie_fragment(moof: bytes, defaults: SampleDefaults) -> MovieFragment:
    """Read a whole `moof` box.

    Args:
        moof: the box, head included.
        defaults: those of the segment's `moov`.

    Raises:
        FormatError: not a `moof` of one `traf` with one `trun`, offsets counted from the `moof`.
    """
    try:
        mfhd, traf = _exactly(moof, 8, len(moof), (b"mfhd", b"traf"))
        tfhd, tfdt, trun = _exactly(moof, traf.body_offset, traf.end, (b"tfhd", b"tfdt", b"trun"))
        number = _only_field(moof, mfhd, ">I")
        return _read_run(moof, trun, number, _read_base_time(moof, tfdt), _read_track_defaults(moof, tfhd, defaults))
    except struct.error as error:
        raise FormatError(f"moof is torn: {error}") from error


def _exactly(data: bytes, start: int, end: int, kinds: tuple[bytes, ...]) -> list[Box]:
    boxes = list(walk(data, start, end))
    found = tuple(box.kind for box in boxes)
    if found != kinds:
        raise FormatError(f"found boxes {found}, expected {kinds}")
    return boxes


def _version_and_flags(data: bytes, box: Box) -> tuple[int, int]:
    (word,) = struct.unpack_from(">I", data, box.body_offset)
    return word >> 24, word & 0xFFFFFF


def _only_field(data: bytes, box: Box, form: str) -> int:
    """The one number that a full box holds."""
    if box.end - box.body_offset != 4 + struct.calcsize(form):
        raise FormatError(f"{box.kind!r} of {box.size_bytes} bytes has another length than its version says")
    value: int = struct.unpack_from(form, data, box.body_offset + 4)[0]
    return value


def _read_track_defaults(moof: bytes, tfhd: Box, defaults: SampleDefaults) -> SampleDefaults:
    _, flags = _version_and_flags(moof, tfhd)
    if flags & ~_TFHD_KNOWN or not flags & _TFHD_BASE_IS_MOOF:
        raise FormatError(f"tfhd flags {flags:#x} are not those of a fragment that stands alone")
    present = (_TFHD_DURATION, _TFHD_SIZE, _TFHD_FLAGS)
    offset = tfhd.body_offset + 8
    values = [defaults.duration_90k, defaults.size_bytes, defaults.flags]
    for index, flag in enumerate(present):
        if flags & flag:
            (values[index],) = struct.unpack_from(">I", moof, offset)
            offset += 4
    if offset != tfhd.end:
        raise FormatError("tfhd has another length than its flags say")
    return SampleDefaults(*values)


def _read_base_time(moof: bytes, tfdt: Box) -> int:
    version, _ = _version_and_flags(moof, tfdt)
    time_90k = _only_field(moof, tfdt, ">Q" if version == 1 else ">I")
    if time_90k >= _MAX_TIME_90K:
        raise FormatError(f"tfdt {time_90k} is beyond any recording")
    return time_90k


def _read_run(moof: bytes, trun: Box, number: int, base_90k: int, defaults: SampleDefaults) -> MovieFragment:
    version, flags = _version_and_flags(moof, trun)
    if flags & ~_TRUN_KNOWN or not flags & _TRUN_OFFSET:
        raise FormatError(f"trun flags {flags:#x} are not those of libav's muxer")
    count, data_offset = struct.unpack_from(">Ii", moof, trun.body_offset + 4)
    if not 0 < count <= _MAX_SAMPLES:
        raise FormatError(f"trun has {count} samples, expected 1 to {_MAX_SAMPLES}")
    offset = trun.body_offset + 12
    first_flags = None
    if flags & _TRUN_FIRST_FLAGS:
        (first_flags,) = struct.unpack_from(">I", moof, offset)
        offset += 4
    sizes, dts, pts, keys = array("I"), array("q"), array("q"), []
    time_90k = base_90k
    rows = _rows(moof, trun, offset, count, flags, version, defaults)
    for index, (duration_90k, size_bytes, sample_flags, composition_90k) in enumerate(rows):
        sizes.append(size_bytes)
        dts.append(time_90k)
        pts.append(time_90k + composition_90k)
        if not (first_flags if index == 0 and first_flags is not None else sample_flags) & _NON_SYNC:
            keys.append(index)
        time_90k += duration_90k
    return MovieFragment(number, data_offset, sizes, dts, pts, tuple(keys), time_90k)


def _rows(
    moof: bytes, trun: Box, offset: int, count: int, flags: int, version: int, defaults: SampleDefaults
) -> Iterator[tuple[int, int, int, int]]:
    """Duration, size, flags and composition offset of each sample of a `trun` (§8.8.8)."""
    fields = (
        (_TRUN_DURATION, "I", defaults.duration_90k),
        (_TRUN_SIZE, "I", defaults.size_bytes),
        (_TRUN_FLAGS, "I", defaults.flags),
        (_TRUN_COMPOSITION, "i" if version == 1 else "I", 0),
    )
    row = struct.Struct(">" + "".join(code for flag, code, _ in fields if flags & flag))
    if offset + count * row.size != trun.end:
        raise FormatError(f"trun of {trun.size_bytes} bytes does not hold {count} samples")
    for index in range(count):
        values = iter(row.unpack_from(moof, offset + index * row.size))
        duration, size, sample_flags, composition = (
            next(values) if flags & flag else default for flag, _, default in fields
        )
        yield duration, size, sample_flags, composition
