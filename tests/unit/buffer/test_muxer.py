"""Fragments carry exactly the units' bytes, times and durations."""

import struct
from dataclasses import replace

import pytest

from edge_agent.buffer.fragment_boxes import MovieFragment, SampleDefaults, read_movie_fragment, read_movie_header
from edge_agent.buffer.muxer import mux_fragment, mux_header
from edge_agent.contract.access_unit import Codec
from edge_agent.contract.boxes import find, walk
from edge_agent.errors import FormatError
from tests.builders import make_units

_NO_DEFAULTS = SampleDefaults(0, 0, 0)
_CODECS: tuple[Codec, ...] = ("h264", "hevc")


def _parsed(data: bytes) -> MovieFragment:
    moof = find(data, (b"moof",))
    return read_movie_fragment(data[moof.offset : moof.end], _NO_DEFAULTS)


def _payload(data: bytes) -> bytes:
    mdat = find(data, (b"mdat",))
    return data[mdat.body_offset : mdat.end]


def _samples(data: bytes) -> list[bytes]:
    fragment = _parsed(data)
    ends = [sum(fragment.sizes_bytes[: index + 1]) for index in range(len(fragment.sizes_bytes))]
    payload = _payload(data)
    return [payload[end - size : end] for end, size in zip(ends, fragment.sizes_bytes, strict=True)]


def _nal_units(sample: bytes) -> list[bytes]:
    units = []
    while sample:
        (size,) = struct.unpack_from(">I", sample)
        units.append(sample[4 : 4 + size])
        sample = sample[4 + size :]
    return units


def _annex_b_nal_units(data: bytes) -> list[bytes]:
    """ITU-T H.264 Annex B; x264 and x265 write no trailing zeros but those of 4-byte start codes."""
    parts = data.split(b"\x00\x00\x01")[1:]
    return [part.removesuffix(b"\x00") for part in parts[:-1]] + parts[-1:]


@pytest.mark.parametrize("codec", _CODECS)
@pytest.mark.parametrize("b_frames", [0, 2])
@pytest.mark.parametrize("annex_b", [False, True])
def test_times_and_durations_are_the_units(codec: Codec, b_frames: int, annex_b: bool) -> None:
    stream = make_units(2, codec=codec, b_frames=b_frames, annex_b=annex_b)
    units = (*stream.units[7:40], replace(stream.units[40], duration_90k=1_234))
    fragment = _parsed(mux_fragment(stream.config, units, 3))
    assert fragment.number == 3
    assert list(fragment.dts_90k) == [unit.dts_90k for unit in units]
    assert list(fragment.pts_90k) == [unit.pts_90k for unit in units]
    assert fragment.end_90k == units[-1].dts_90k + 1_234
    assert list(fragment.keys) == [index for index, unit in enumerate(units) if unit.is_key]


@pytest.mark.parametrize("codec", _CODECS)
def test_length_prefixed_samples_are_untouched(codec: Codec) -> None:
    stream = make_units(1, codec=codec, b_frames=2)
    data = mux_fragment(stream.config, stream.units, 1)
    assert _samples(data) == [unit.data for unit in stream.units]


@pytest.mark.parametrize("codec", _CODECS)
def test_annex_b_becomes_length_prefixed_nal_unit_by_nal_unit(codec: Codec) -> None:
    stream = make_units(1, codec=codec, b_frames=2, annex_b=True)
    data = mux_fragment(stream.config, stream.units, 1)
    nal_units = [_nal_units(sample) for sample in _samples(data)]
    assert nal_units == [_annex_b_nal_units(unit.data) for unit in stream.units]


@pytest.mark.parametrize("codec", _CODECS)
def test_parameter_sets_in_band_stay_in_the_samples(codec: Codec) -> None:
    stream = make_units(1, codec=codec, annex_b=True)
    first = replace(stream.units[0], data=stream.config.extradata + stream.units[0].data)
    sample = _samples(mux_fragment(stream.config, (first,), 1))[0]
    assert _nal_units(sample) == _annex_b_nal_units(stream.config.extradata + stream.units[0].data)


@pytest.mark.parametrize("codec", _CODECS)
def test_the_header_holds_the_decoder_record_as_it_came(codec: Codec) -> None:
    config = make_units(1, codec=codec).config
    header = mux_header(config)
    assert [box.kind for box in walk(header)] == [b"ftyp", b"moov"]
    moov = find(header, (b"moov",))
    movie = read_movie_header(header[moov.offset : moov.end])
    assert (movie.codec, movie.extradata, movie.width_px, movie.height_px) == (codec, config.extradata, 128, 96)


def test_the_header_of_annex_b_h264_holds_the_same_parameter_sets() -> None:
    annex_b, length_prefixed = (make_units(1, annex_b=kind).config for kind in (True, False))
    assert mux_header(annex_b) == mux_header(length_prefixed)


def test_no_edit_list_and_no_library_version() -> None:
    stream = make_units(1, b_frames=2)
    data = mux_header(stream.config) + mux_fragment(stream.config, stream.units, 1)
    for tag in (b"elst", b"Lavf", b"mfra", b"sidx"):
        assert tag not in data


def test_the_same_units_give_the_same_bytes() -> None:
    stream = make_units(1, b_frames=2)
    assert mux_fragment(stream.config, stream.units, 9) == mux_fragment(stream.config, stream.units, 9)


def test_long_times_survive() -> None:
    stream = make_units(0.2, first_dts_90k=10 * 365 * 86_400 * 90_000)
    fragment = _parsed(mux_fragment(stream.config, stream.units, 2**31 - 1))
    assert list(fragment.dts_90k) == [unit.dts_90k for unit in stream.units]
    assert fragment.number == 2**31 - 1


def test_a_single_unit_is_a_fragment() -> None:
    stream = make_units(1)
    for unit in stream.units[:2]:
        fragment = _parsed(mux_fragment(stream.config, (unit,), 1))
        assert (fragment.dts_90k[0], fragment.end_90k) == (unit.dts_90k, unit.dts_90k + unit.duration_90k)
        assert fragment.keys == ((0,) if unit.is_key else ())


def test_refused_units_are_an_error_and_may_be_tried_again() -> None:
    stream = make_units(0.2)
    backwards = (stream.units[0], stream.units[2], stream.units[1])
    with pytest.raises(FormatError, match="fragment 4"):
        mux_fragment(stream.config, backwards, 4)
    assert mux_fragment(stream.config, stream.units[:3], 4)


def test_no_units_are_an_error() -> None:
    with pytest.raises(FormatError, match="without access units"):
        mux_fragment(make_units(0.2).config, (), 1)
