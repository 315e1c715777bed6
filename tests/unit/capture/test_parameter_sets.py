"""NAL units, sequence parameter sets and configuration records, against what libav's encoders and muxers make."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.capture.nal import Framing, Picture, framing_of, look, nal_type, split_annex_b, unescape
from edge_agent.capture.parameter_sets import ParameterSets, read_parameter_sets
from edge_agent.capture.sps import BitReader, parse_sps
from edge_agent.contract.access_unit import Codec, CodecConfig
from edge_agent.contract.errors import FormatError
from tests.unit.capture.clips import extradata_of, packets_of, write_clip
from tests.unit.capture.fakes import DELTA, EXTRADATA, KEY, PPS, SPS, SPS_720P, START

CODECS: list[tuple[Codec, str]] = [("h264", "libx264"), ("hevc", "libx265")]
ANNEX_B = Framing("h264", 0)


def as_config(codec: Codec, extradata: bytes) -> CodecConfig:
    return CodecConfig(codec, extradata, 0, 0, 25.0)


@pytest.mark.parametrize(("codec", "encoder"), CODECS)
@pytest.mark.parametrize("size", [(160, 128), (642, 362), (1280, 720), (1920, 1080)])
def test_picture_size_is_read_from_the_parameter_set(
    tmp_path: Path, codec: Codec, encoder: str, size: tuple[int, int]
) -> None:
    clip = write_clip(tmp_path / "clip.mp4", codec=encoder, width=size[0], height=size[1], frames=1)
    config = ParameterSets(as_config(codec, extradata_of(clip))).config
    assert (config.width_px, config.height_px) == size


@pytest.mark.parametrize(("codec", "encoder"), CODECS)
def test_both_framings_hold_the_same_parameter_sets(tmp_path: Path, codec: Codec, encoder: str) -> None:
    boxed = extradata_of(write_clip(tmp_path / "clip.mp4", codec=encoder, frames=30))
    bare = extradata_of(write_clip(tmp_path / "clip.ts", codec=encoder, frames=30))
    assert framing_of(codec, boxed).length_size_bytes == 4
    assert framing_of(codec, bare).length_size_bytes == 0
    assert sorted(read_parameter_sets(codec, boxed)) == sorted(read_parameter_sets(codec, bare))


@pytest.mark.parametrize(("codec", "encoder"), CODECS)
def test_a_record_built_here_is_the_one_that_libav_builds(tmp_path: Path, codec: Codec, encoder: str) -> None:
    small = extradata_of(write_clip(tmp_path / "small.mp4", codec=encoder, frames=1))
    large = extradata_of(write_clip(tmp_path / "large.mp4", codec=encoder, width=1280, height=720, frames=1))
    sets = ParameterSets(as_config(codec, small))
    assert sets.update(read_parameter_sets(codec, large))
    assert (sets.config.width_px, sets.config.height_px) == (1280, 720)
    built, expected = sets.config.extradata, large
    if codec == "hevc":  # libav sets array_completeness and keeps an SEI array with the encoder's name
        assert built[:22] == expected[:22]
        assert read_parameter_sets(codec, built) == read_parameter_sets(codec, expected)
    else:
        assert built == expected


@pytest.mark.parametrize(("codec", "encoder"), CODECS)
def test_pictures_are_recognised_in_both_framings(tmp_path: Path, codec: Codec, encoder: str) -> None:
    for name in ("clip.mp4", "clip.ts"):
        clip = write_clip(tmp_path / name, codec=encoder, frames=30)
        framing = framing_of(codec, extradata_of(clip))
        assert {look(framing, packet).picture for packet in packets_of(clip)} == {Picture.FIRST_SLICE}


def test_parameter_sets_before_a_picture_are_found() -> None:
    seen = look(ANNEX_B, EXTRADATA + KEY)
    assert seen.parameter_sets == (SPS, PPS)
    assert seen.picture is Picture.FIRST_SLICE


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (DELTA, Picture.FIRST_SLICE),
        (START + b"\x41\x1a\x02", Picture.CONTINUATION),
        (EXTRADATA, Picture.NO_SLICE),
        (START + b"\x09\x10", Picture.NO_SLICE),
        (b"", Picture.GARBLED),
        (START, Picture.GARBLED),
        (START + b"\x41", Picture.GARBLED),
        (b"garbage", Picture.GARBLED),
    ],
)
def test_what_a_packet_is(data: bytes, expected: Picture) -> None:
    assert look(ANNEX_B, data).picture is expected


@pytest.mark.parametrize(
    "data", [b"\x00\x00\x00\xff\x41\x9a", b"\x00\x00\x00\x00", b"\x00\x00", b"\x00\x00\x00\x00\x41"]
)
def test_torn_length_prefixes_are_garbled(data: bytes) -> None:
    assert look(Framing("h264", 4), data).picture is Picture.GARBLED


@settings(deadline=None)
@given(data=st.binary(max_size=200), size=st.integers(0, 4), codec=st.sampled_from(["h264", "hevc"]))
def test_looking_never_fails(data: bytes, size: int, codec: Codec) -> None:
    look(Framing(codec, size), data)
    look(Framing(codec, size), START + data)


@settings(deadline=None)
@given(data=st.binary(max_size=120), codec=st.sampled_from(["h264", "hevc"]))
def test_garbage_in_records_is_a_format_error(data: bytes, codec: Codec) -> None:
    for extradata in (data, b"\x01" + data, START + b"\x67" + data, START + b"\x42\x01" + data):
        try:
            sets = ParameterSets(as_config(codec, extradata))
            sets.update((b"\x67" + data, b"\x68" + data, b"\x42\x01" + data, b"\x44\x01" + data))
        except FormatError:
            continue


@pytest.mark.parametrize("length", range(len(SPS)))
def test_a_torn_sequence_parameter_set_is_a_format_error_or_whole_enough(length: int) -> None:
    try:
        info = parse_sps("h264", SPS[:length])
    except FormatError:
        return
    assert (info.width_px, info.height_px) == (704, 576)


def test_the_same_sets_again_are_no_change() -> None:
    sets = ParameterSets(as_config("h264", EXTRADATA))
    assert not sets.update((SPS, PPS))
    assert not sets.update(())
    assert sets.complete


def test_a_new_picture_parameter_set_replaces_its_namesake() -> None:
    sets = ParameterSets(as_config("h264", EXTRADATA))
    other = PPS + b"\x11"
    assert sets.update((other,))
    assert split_annex_b(sets.config.extradata) == (SPS, other)


def test_an_unknown_picture_parameter_set_id_is_kept_beside() -> None:
    sets = ParameterSets(as_config("h264", EXTRADATA))
    other = b"\x68\x48\x80"  # pps_id 1
    assert sets.update((other,))
    assert split_annex_b(sets.config.extradata) == (SPS, PPS, other)


def test_a_new_family_drops_the_old_one() -> None:
    sets = ParameterSets(as_config("h264", EXTRADATA))
    assert sets.update((SPS_720P, PPS))
    assert split_annex_b(sets.config.extradata) == (SPS_720P, PPS)
    assert sets.config.width_px == 1280


def test_emulation_prevention_is_taken_out() -> None:
    assert unescape(b"\x01\x00\x00\x03\x01\x00\x00\x03\x00\x00\x03\x02") == b"\x01\x00\x00\x01\x00\x00\x00\x00\x02"


def test_types_are_read_by_codec() -> None:
    assert nal_type("h264", 0x67) == 7
    assert nal_type("hevc", 0x42) == 33


def test_exponential_golomb_codes() -> None:
    reader = BitReader(bytes([0b1_010_011_0, 0b0100_0010, 0b1_0000000]))
    assert [reader.ue(), reader.ue(), reader.ue(), reader.ue(), reader.ue()] == [0, 1, 2, 3, 4]
    signed = BitReader(bytes([0b1_010_011_0, 0b0100_0000]))
    assert [signed.se(), signed.se(), signed.se(), signed.se()] == [0, 1, -1, 2]
    with pytest.raises(FormatError, match="too early"):
        BitReader(b"").bits(1)
    with pytest.raises(FormatError, match="impossible"):
        BitReader(bytes(10)).ue()
