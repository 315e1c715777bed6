"""Parameter sets of a stream: read from its extradata, compared with what comes in band, put back into extradata.

Records: `avcC` is ISO/IEC 14496-15:2022 clause 5.3.3.1.2, `hvcC` is clause 8.3.3.1.2.
"""

import struct
from collections.abc import Iterable
from dataclasses import replace

from edge_agent.capture.nal import Framing, framing_of, nal_type, split_annex_b, unescape
from edge_agent.capture.sps import BitReader, parse_sps
from edge_agent.contract.access_unit import Codec, CodecConfig
from edge_agent.contract.errors import FormatError

_START_CODE = b"\x00\x00\x00\x01"
_SPS = {"h264": 7, "hevc": 33}
_PPS = {"h264": 8, "hevc": 34}
_VPS_HEVC = 32
_HVCC_ARRAYS_OFFSET = 22
_CHROMA_PROFILES_H264 = frozenset({100, 110, 122, 144})


def read_parameter_sets(codec: Codec, extradata: bytes) -> tuple[bytes, ...]:
    """The parameter sets in `extradata`, NAL headers included.

    Raises:
        FormatError: it is neither a whole record nor Annex B.
    """
    if not extradata:
        return ()
    if not framing_of(codec, extradata).length_size_bytes:
        return tuple(unit for unit in split_annex_b(extradata) if nal_type(codec, unit[0]) in _types(codec))
    return tuple(_walk_avcc(extradata) if codec == "h264" else _walk_hvcc(extradata))


def _types(codec: Codec) -> frozenset[int]:
    return frozenset({7, 8}) if codec == "h264" else frozenset({32, 33, 34})


def _take(data: bytes, offset: int) -> tuple[bytes, int]:
    (size_bytes,) = struct.unpack_from(">H", data, offset)
    end = offset + 2 + size_bytes
    if not size_bytes or end > len(data):
        raise FormatError("codec configuration record holds a torn parameter set")
    return data[offset + 2 : end], end


def _walk_avcc(record: bytes) -> list[bytes]:
    units: list[bytes] = []
    try:
        offset = 6
        for _ in range(record[5] & 0x1F):
            unit, offset = _take(record, offset)
            units.append(unit)
        pictures = record[offset]
        offset += 1
        for _ in range(pictures):
            unit, offset = _take(record, offset)
            units.append(unit)
    except (struct.error, IndexError):
        raise FormatError("avcC record ends too early") from None
    return units


def _walk_hvcc(record: bytes) -> list[bytes]:
    units: list[bytes] = []
    try:
        offset = _HVCC_ARRAYS_OFFSET + 1
        for _ in range(record[_HVCC_ARRAYS_OFFSET]):
            kind, count = struct.unpack_from(">BH", record, offset)
            offset += 3
            for _ in range(count):
                unit, offset = _take(record, offset)
                if kind & 0x3F in _types("hevc"):
                    units.append(unit)
    except (struct.error, IndexError):
        raise FormatError("hvcC record ends too early") from None
    return units


def parameter_set_key(codec: Codec, unit: bytes) -> tuple[int, int]:
    """Type and id: a set with the same key replaces the earlier one (H.264 7.4.1.2.1, H.265 7.4.2.4.2).

    Raises:
        FormatError: too short to hold an id.
    """
    kind = nal_type(codec, unit[0])
    if codec == "h264":
        return kind, BitReader(unescape(unit[4:24] if kind == _SPS["h264"] else unit[1:24])).ue()
    if kind == _VPS_HEVC:
        return kind, BitReader(unescape(unit[2:8])).bits(4)
    if kind == _PPS["hevc"]:
        return kind, BitReader(unescape(unit[2:24])).ue()
    return kind, 0  # an SPS's id lies behind its profile; one SPS at a time is what cameras send


class ParameterSets:
    """The parameter sets in force, and the configuration that they make."""

    def __init__(self, config: CodecConfig) -> None:
        """Begin with what the demuxer told, which may be nothing.

        Raises:
            FormatError: its extradata is torn.
        """
        self.config = config
        self.framing: Framing = framing_of(config.codec, config.extradata)
        self._sets: dict[tuple[int, int], bytes] = {}
        self._merge(read_parameter_sets(config.codec, config.extradata))
        if not config.width_px:
            self.config = self._sized(config, self._sets)

    def _merge(self, units: Iterable[bytes]) -> None:
        for unit in units:
            self._sets[parameter_set_key(self.config.codec, unit)] = unit

    @property
    def complete(self) -> bool:
        """Whether a decoder can begin."""
        kinds = {kind for kind, _ in self._sets}
        return {_SPS[self.config.codec], _PPS[self.config.codec]} <= kinds

    def update(self, units: tuple[bytes, ...]) -> bool:
        """Take in the sets of a key frame; True when one of them differs from that in force.

        Raises:
            FormatError: a set is torn; those in force stay.
        """
        codec = self.config.codec
        known = set(self._sets.values())
        if all(unit in known for unit in units):
            return False
        fresh = {parameter_set_key(codec, unit): unit for unit in units}
        merged = self._merged(fresh)
        config = self._sized(self.config, fresh)
        self.config = replace(config, extradata=_build(self.framing, config.extradata, merged))
        self._sets = merged
        return True

    def _sized(self, config: CodecConfig, sets: dict[tuple[int, int], bytes]) -> CodecConfig:
        for (kind, _), unit in sets.items():
            if kind == _SPS[config.codec]:
                info = parse_sps(config.codec, unit)
                return replace(config, width_px=info.width_px, height_px=info.height_px)
        return config

    def _merged(self, fresh: dict[tuple[int, int], bytes]) -> dict[tuple[int, int], bytes]:
        """A whole new family (SPS and PPS) makes the old one void; anything less replaces its namesakes."""
        codec = self.config.codec
        kinds = {kind for kind, _ in fresh}
        if not {_SPS[codec], _PPS[codec]} <= kinds:
            return self._sets | fresh
        return {key: unit for key, unit in self._sets.items() if key[0] not in kinds} | fresh


def _build(framing: Framing, old: bytes, sets: dict[tuple[int, int], bytes]) -> bytes:
    units = [sets[key] for key in sorted(sets)]
    if not framing.length_size_bytes:
        return b"".join(_START_CODE + unit for unit in units)
    return _build_avcc(framing, units) if framing.codec == "h264" else _build_hvcc(old, units)


def _build_avcc(framing: Framing, units: list[bytes]) -> bytes:
    sequences = [unit for unit in units if unit[0] & 0x1F == _SPS["h264"]]
    pictures = [unit for unit in units if unit[0] & 0x1F == _PPS["h264"]]
    if not sequences or not pictures:
        raise FormatError("no whole set of H.264 parameters is known yet")
    profile = sequences[0][1:4]
    record = bytes([1, *profile, 0xFC | (framing.length_size_bytes - 1), 0xE0 | len(sequences)])
    record += b"".join(struct.pack(">H", len(unit)) + unit for unit in sequences)
    record += bytes([len(pictures)])
    record += b"".join(struct.pack(">H", len(unit)) + unit for unit in pictures)
    if profile[0] in _CHROMA_PROFILES_H264:
        info = parse_sps("h264", sequences[0])
        depths = (0xF8 | (info.bit_depth_luma - 8), 0xF8 | (info.bit_depth_chroma - 8))
        record += bytes([0xFC | info.chroma_format_idc, *depths, 0])
    return record


def _build_hvcc(old: bytes, units: list[bytes]) -> bytes:
    """The old record with profile, format and arrays of the new sets."""
    sequences = [unit for unit in units if nal_type("hevc", unit[0]) == _SPS["hevc"]]
    if not sequences:
        raise FormatError("no H.265 sequence parameter set is known yet")
    info = parse_sps("hevc", sequences[0])
    record = bytearray(old[:_HVCC_ARRAYS_OFFSET])
    record[1:13] = unescape(sequences[0][2:])[1:13]  # general_profile_space … general_level_idc
    record[16] = 0xFC | info.chroma_format_idc
    record[17] = 0xF8 | (info.bit_depth_luma - 8)
    record[18] = 0xF8 | (info.bit_depth_chroma - 8)
    layers = info.max_sub_layers << 3 | info.temporal_id_nested << 2
    record[21] = (record[21] & 0xC3) | layers
    arrays: dict[int, list[bytes]] = {}
    for unit in units:
        arrays.setdefault(nal_type("hevc", unit[0]), []).append(unit)
    record.append(len(arrays))
    for kind, members in arrays.items():
        record += struct.pack(">BH", kind, len(members))  # array_completeness 0: sets may come in band
        record += b"".join(struct.pack(">H", len(unit)) + unit for unit in members)
    return bytes(record)
