"""Sequence parameter sets: the few fields that a container needs.

ITU-T H.264 clause 7.3.2.1.1, ITU-T H.265 clauses 7.3.2.2.1 and 7.3.3.
"""

from dataclasses import dataclass

from edge_agent.capture.nal import unescape
from edge_agent.contract.access_unit import Codec
from edge_agent.contract.errors import FormatError

_H264_CHROMA_PROFILES = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})


@dataclass(frozen=True, slots=True)
class SequenceInfo:
    """What a sequence parameter set says.

    Attributes:
        width_px: shown width, cropping applied.
        height_px: shown height, cropping applied.
        chroma_format_idc: 1 is 4:2:0.
        bit_depth_luma: bits.
        bit_depth_chroma: bits.
        max_sub_layers: H.265 temporal sub-layers; 1 for H.264.
        temporal_id_nested: H.265 `sps_temporal_id_nesting_flag`; false for H.264.
    """

    width_px: int
    height_px: int
    chroma_format_idc: int
    bit_depth_luma: int
    bit_depth_chroma: int
    max_sub_layers: int = 1
    temporal_id_nested: bool = False


class BitReader:
    """Bits, most significant first, with exponential Golomb codes (H.264 clause 9.1)."""

    def __init__(self, payload: bytes) -> None:
        self._value = int.from_bytes(payload, "big")
        self._left = len(payload) * 8

    def bits(self, count: int) -> int:
        """The next `count` bits.

        Raises:
            FormatError: there are fewer.
        """
        if count > self._left:
            raise FormatError("sequence parameter set ends too early")
        self._left -= count
        return (self._value >> self._left) & ((1 << count) - 1)

    def ue(self) -> int:
        """Unsigned exponential Golomb code.

        Raises:
            FormatError: it is longer than 32 bits or torn.
        """
        zeros = 0
        while not self.bits(1):
            zeros += 1
            if zeros > 32:
                raise FormatError("sequence parameter set holds an impossible number")
        return (1 << zeros) - 1 + self.bits(zeros)

    def se(self) -> int:
        """Signed exponential Golomb code (H.264 clause 9.1.1)."""
        code = self.ue()
        return (code + 1) // 2 if code & 1 else -(code // 2)


def parse_sps(codec: Codec, unit: bytes) -> SequenceInfo:
    """Read a sequence parameter set NAL unit, header included.

    Raises:
        FormatError: it is torn or says something impossible.
    """
    info = _parse_h264(unit) if codec == "h264" else _parse_hevc(unit)
    if not (0 < info.width_px <= 16384 and 0 < info.height_px <= 16384):
        raise FormatError(f"sequence parameter set tells a picture of {info.width_px}×{info.height_px}")
    return info


def _parse_h264(unit: bytes) -> SequenceInfo:
    reader = BitReader(unescape(unit[1:]))
    profile = reader.bits(8)
    reader.bits(16)  # constraint flags, level_idc
    reader.ue()  # seq_parameter_set_id
    chroma, depth_luma, depth_chroma = _h264_chroma(reader) if profile in _H264_CHROMA_PROFILES else (1, 8, 8)
    reader.ue()  # log2_max_frame_num_minus4
    _skip_h264_order_count(reader)
    reader.ue()  # max_num_ref_frames
    reader.bits(1)  # gaps_in_frame_num_value_allowed_flag
    width_mbs, height_units = reader.ue() + 1, reader.ue() + 1
    frames_only = reader.bits(1)
    if not frames_only:
        reader.bits(1)  # mb_adaptive_frame_field_flag
    reader.bits(1)  # direct_8x8_inference_flag
    left, right, top, bottom = _window(reader)
    sub_width, sub_height = _chroma_steps(chroma)
    step_y = sub_height * (2 - frames_only)
    return SequenceInfo(
        width_px=width_mbs * 16 - (left + right) * sub_width,
        height_px=height_units * 16 * (2 - frames_only) - (top + bottom) * step_y,
        chroma_format_idc=chroma,
        bit_depth_luma=depth_luma,
        bit_depth_chroma=depth_chroma,
    )


def _h264_chroma(reader: BitReader) -> tuple[int, int, int]:
    chroma = reader.ue()
    if chroma == 3:
        reader.bits(1)  # separate_colour_plane_flag
    depth_luma, depth_chroma = reader.ue() + 8, reader.ue() + 8
    reader.bits(1)  # qpprime_y_zero_transform_bypass_flag
    if reader.bits(1):  # seq_scaling_matrix_present_flag
        for index in range(8 if chroma != 3 else 12):
            if reader.bits(1):
                _skip_scaling_list(reader, 16 if index < 6 else 64)
    return chroma, depth_luma, depth_chroma


def _skip_scaling_list(reader: BitReader, size: int) -> None:
    """H.264 clause 7.3.2.1.1.1."""
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + reader.se()) % 256
        last = following or last


def _skip_h264_order_count(reader: BitReader) -> None:
    kind = reader.ue()  # pic_order_cnt_type
    if kind == 0:
        reader.ue()
    elif kind == 1:
        reader.bits(1)
        reader.se()
        reader.se()
        for _ in range(min(reader.ue(), 255)):
            reader.se()


def _window(reader: BitReader) -> tuple[int, int, int, int]:
    """Cropping (H.264) or conformance (H.265) window: left, right, top, bottom, in chroma units."""
    if not reader.bits(1):
        return 0, 0, 0, 0
    return reader.ue(), reader.ue(), reader.ue(), reader.ue()


def _chroma_steps(chroma_format_idc: int) -> tuple[int, int]:
    """`SubWidthC`, `SubHeightC` (H.264 table 6-1, H.265 table 6-1); monochrome and 4:4:4 count single pixels."""
    return {1: (2, 2), 2: (2, 1)}.get(chroma_format_idc, (1, 1))


def _parse_hevc(unit: bytes) -> SequenceInfo:
    reader = BitReader(unescape(unit[2:]))
    reader.bits(4)  # sps_video_parameter_set_id
    sub_layers = reader.bits(3) + 1
    nested = bool(reader.bits(1))
    _skip_profile_tier_level(reader, sub_layers)
    reader.ue()  # sps_seq_parameter_set_id
    chroma = reader.ue()
    if chroma == 3:
        reader.bits(1)  # separate_colour_plane_flag
    width_px, height_px = reader.ue(), reader.ue()
    left, right, top, bottom = _window(reader)
    sub_width, sub_height = _chroma_steps(chroma)
    return SequenceInfo(
        width_px=width_px - (left + right) * sub_width,
        height_px=height_px - (top + bottom) * sub_height,
        chroma_format_idc=chroma,
        bit_depth_luma=reader.ue() + 8,
        bit_depth_chroma=reader.ue() + 8,
        max_sub_layers=sub_layers,
        temporal_id_nested=nested,
    )


def _skip_profile_tier_level(reader: BitReader, sub_layers: int) -> None:
    """H.265 clause 7.3.3: 88 bits of profile and 8 of level, then the same for sub-layers that are present."""
    reader.bits(96)
    present = [(reader.bits(1), reader.bits(1)) for _ in range(sub_layers - 1)]
    if sub_layers > 1:
        reader.bits(2 * (8 - (sub_layers - 1)))
    for profile, level in present:
        reader.bits(88 * profile + 8 * level)
