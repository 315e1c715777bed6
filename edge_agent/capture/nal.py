"""NAL units: framing, types and the few header bits that the normaliser needs.

ITU-T H.264 clause 7.3.1 and annex B; ITU-T H.265 clause 7.3.1.2 and annex B; length-prefixed framing as in
ISO/IEC 14496-15 clause 5.3.3. Nothing here fails on garbage: what cannot be parsed is reported as `GARBLED`.
"""

from dataclasses import dataclass
from enum import Enum

from edge_agent.contract.access_unit import Codec

_START_CODE = b"\x00\x00\x01"
_H264_PARAMETER_SETS = frozenset({7, 8})  # SPS, PPS
_HEVC_PARAMETER_SETS = frozenset({32, 33, 34})  # VPS, SPS, PPS
_H264_VCL = range(1, 6)
_H264_IDR = 5
_H264_SEI = 6
_H264_WANTED = _H264_PARAMETER_SETS | {_H264_SEI}
_HEVC_VCL = range(32)


@dataclass(frozen=True, slots=True)
class Framing:
    """How samples are cut into NAL units: `length_size_bytes` 0 means Annex B start codes."""

    codec: Codec
    length_size_bytes: int


def framing_of(codec: Codec, extradata: bytes) -> Framing:
    """Framing that goes with `CodecConfig.extradata`: `avcC`/`hvcC` records begin with version 1, Annex B with 0."""
    offset = 4 if codec == "h264" else 21
    if extradata[:1] == b"\x01" and len(extradata) > offset:
        return Framing(codec, (extradata[offset] & 3) + 1)
    return Framing(codec, 0)


class Picture(Enum):
    """How a packet begins."""

    FIRST_SLICE = "first slice of a picture"
    CONTINUATION = "further slice of a picture"
    NO_SLICE = "no slice at all: parameter sets, SEI, delimiters"
    GARBLED = "not NAL units"


@dataclass(frozen=True, slots=True)
class Look:
    """What stands in a packet up to its first slice; of H.265 only the first two are looked for.

    Attributes:
        picture: how it begins.
        parameter_sets: NAL units.
        messages: SEI NAL units.
        is_idr: the slice is of an IDR picture.
        is_reference: `nal_ref_idc` of the slice is not 0.
    """

    picture: Picture
    parameter_sets: tuple[bytes, ...]
    messages: tuple[bytes, ...] = ()
    is_idr: bool = False
    is_reference: bool = True


def nal_type(codec: Codec, header: int) -> int:
    """`nal_unit_type` from the first header byte."""
    return header & 0x1F if codec == "h264" else (header >> 1) & 0x3F


def look(framing: Framing, data: bytes) -> Look:
    """Walk a packet's NAL units up to and including the first slice."""
    codec = framing.codec
    vcl = _H264_VCL if codec == "h264" else _HEVC_VCL
    wanted = _H264_WANTED if codec == "h264" else _HEVC_PARAMETER_SETS
    found: list[bytes] = []
    messages: list[bytes] = []
    start, end = _first(framing, data)
    if start < 0:
        return Look(Picture.GARBLED, ())
    while start >= 0:
        kind = nal_type(codec, data[start])
        if kind in vcl:
            return _slice_look(codec, data, start, tuple(found), tuple(messages))
        if kind in wanted:
            stop = end if end >= 0 else _annex_b_end(data, start)
            unit = data[start:stop].rstrip(b"\x00")
            (messages if codec == "h264" and kind == _H264_SEI else found).append(unit)
        start, end = _next(framing, data, start, end)
    return Look(Picture.GARBLED if start == _TORN else Picture.NO_SLICE, tuple(found), tuple(messages))


def _slice_look(
    codec: Codec, data: bytes, start: int, parameter_sets: tuple[bytes, ...], messages: tuple[bytes, ...]
) -> Look:
    """What the first slice adds to what stands before it."""
    picture = _slice_kind(codec, data, start)
    if codec != "h264":
        return Look(picture, parameter_sets, messages)
    header = data[start]
    is_idr = header & 0x1F == _H264_IDR
    return Look(picture, parameter_sets, messages, is_idr, header & 0x60 != 0)


_NO_MORE = -1
_TORN = -2


def _first(framing: Framing, data: bytes) -> tuple[int, int]:
    if framing.length_size_bytes:
        return _length_prefixed(framing.length_size_bytes, data, 0)
    if data[:3] not in {_START_CODE, b"\x00\x00\x00"}:
        return _TORN, _TORN
    return _annex_b(data, 0)


def _next(framing: Framing, data: bytes, start: int, end: int) -> tuple[int, int]:
    if framing.length_size_bytes:
        return _length_prefixed(framing.length_size_bytes, data, end)
    return _annex_b(data, start)


def _annex_b(data: bytes, offset: int) -> tuple[int, int]:
    """Offset of the header byte of the next NAL unit; its end is looked for only when it is wanted."""
    code = data.find(_START_CODE, offset)
    if code < 0:
        return _NO_MORE, _NO_MORE
    return (code + 3, _NO_MORE) if code + 3 < len(data) else (_TORN, _TORN)


def _annex_b_end(data: bytes, start: int) -> int:
    end = data.find(_START_CODE, start)
    return end if end >= 0 else len(data)


def _length_prefixed(size_bytes: int, data: bytes, offset: int) -> tuple[int, int]:
    if offset == len(data):
        return _NO_MORE, _NO_MORE
    start = offset + size_bytes
    end = start + int.from_bytes(data[offset:start], "big")
    return (start, end) if start < end <= len(data) else (_TORN, _TORN)


def _slice_kind(codec: Codec, data: bytes, start: int) -> Picture:
    """`first_mb_in_slice` 0 is the single bit 1 (H.264 7.3.3); `first_slice_segment_in_pic_flag` (H.265 7.3.6.1)."""
    offset = start + (1 if codec == "h264" else 2)
    if offset >= len(data):
        return Picture.GARBLED
    return Picture.FIRST_SLICE if data[offset] & 0x80 else Picture.CONTINUATION


def unescape(payload: bytes) -> bytes:
    """Raw byte sequence payload: emulation prevention bytes taken out (H.264 7.4.1.1, H.265 7.4.2.1)."""
    return payload.replace(b"\x00\x00\x03", b"\x00\x00")


def split_annex_b(data: bytes) -> tuple[bytes, ...]:
    """All NAL units of an Annex B byte string, trailing zeros taken off."""
    units: list[bytes] = []
    start, _ = _annex_b(data, 0)
    while start >= 0:
        end = _annex_b_end(data, start)
        units.append(data[start:end].rstrip(b"\x00"))
        start, _ = _annex_b(data, end) if end < len(data) else (_NO_MORE, _NO_MORE)
    return tuple(unit for unit in units if unit)
