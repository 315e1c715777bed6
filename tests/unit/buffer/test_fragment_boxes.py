"""The readers of `moov` and `moof` survive anything with a clear error."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.buffer.fragment_boxes import SampleDefaults, read_movie_fragment, read_movie_header
from edge_agent.buffer.muxer import mux_fragment, mux_header
from edge_agent.contract.boxes import build, build_full, find
from edge_agent.errors import FormatError
from tests.builders import make_units

_DEFAULTS = SampleDefaults(3_600, 10, 0)
_KEY, _OTHER = 0x02000000, 0x01010000


def _moof(*, tfhd: bytes = b"", trun: bytes, tfdt: bytes = b"", mfhd: bytes = b"") -> bytes:
    return build(
        b"moof",
        mfhd or build_full(b"mfhd", 0, 0, struct.pack(">I", 7)),
        build(
            b"traf",
            tfhd or build_full(b"tfhd", 0, 0x020000, struct.pack(">I", 1)),
            tfdt or build_full(b"tfdt", 1, 0, struct.pack(">Q", 900_000)),
            trun,
        ),
    )


def _trun(flags: int, version: int, count: int, *fields: int) -> bytes:
    body = b"".join(struct.pack(">i" if field < 0 else ">I", field) for field in fields)
    return build_full(b"trun", version, flags, struct.pack(">Ii", count, 100), body)


def test_defaults_stand_in_for_what_the_run_does_not_say() -> None:
    fragment = read_movie_fragment(_moof(trun=_trun(0x1, 0, 3)), _DEFAULTS)
    assert list(fragment.sizes_bytes) == [10, 10, 10]
    assert list(fragment.dts_90k) == list(fragment.pts_90k) == [900_000, 903_600, 907_200]
    assert (fragment.keys, fragment.end_90k, fragment.number, fragment.data_offset) == ((0, 1, 2), 910_800, 7, 100)


def test_track_defaults_win_over_the_movies() -> None:
    tfhd = build_full(b"tfhd", 0, 0x020038, struct.pack(">IIII", 1, 1_800, 20, _OTHER))
    fragment = read_movie_fragment(_moof(tfhd=tfhd, trun=_trun(0x5, 0, 2, _KEY)), _DEFAULTS)
    assert (list(fragment.sizes_bytes), fragment.keys, fragment.end_90k) == ([20, 20], (0,), 903_600)


def test_every_field_of_a_run_is_read_with_its_sign() -> None:
    trun = _trun(0xF01, 1, 2, 1_000, 11, _KEY, -500, 2_000, 12, _OTHER, 700)
    fragment = read_movie_fragment(_moof(trun=trun), _DEFAULTS)
    assert list(fragment.sizes_bytes) == [11, 12]
    assert list(fragment.dts_90k) == [900_000, 901_000]
    assert list(fragment.pts_90k) == [899_500, 901_700]
    assert (fragment.keys, fragment.end_90k) == ((0,), 903_000)


@pytest.mark.parametrize(
    ("moof", "message"),
    [
        (_moof(trun=_trun(0x1, 0, 0)), "0 samples"),
        (_moof(trun=_trun(0x1, 0, 0xFFFFFFFF)), "4294967295 samples"),
        (_moof(trun=_trun(0x201, 0, 2, 5)), "does not hold 2 samples"),
        (_moof(trun=_trun(0x0, 0, 1)), "trun flags"),
        (_moof(trun=_trun(0x1001, 0, 1)), "trun flags"),
        (_moof(trun=build(b"trun")), "torn"),
        (_moof(trun=_trun(0x1, 0, 1), tfdt=build_full(b"tfdt", 1, 0, b"\xff" * 8)), "beyond any recording"),
        (_moof(trun=_trun(0x1, 0, 1), tfdt=build_full(b"tfdt", 1, 0)), "another length"),
        (_moof(trun=_trun(0x1, 0, 1), tfhd=build_full(b"tfhd", 0, 0, bytes(4))), "stands alone"),
        (_moof(trun=_trun(0x1, 0, 1), tfhd=build_full(b"tfhd", 0, 0x020001, bytes(12))), "stands alone"),
        (_moof(trun=_trun(0x1, 0, 1), tfhd=build_full(b"tfhd", 0, 0x020000, bytes(8))), "another length"),
        (_moof(trun=_trun(0x1, 0, 1), mfhd=build(b"free")), "expected"),
        (_moof(trun=_trun(0x1, 0, 1) + _trun(0x1, 0, 1)), "expected"),
        (build(b"moof"), "expected"),
        (b"", "expected"),
    ],
)
def test_what_libav_does_not_write_is_an_error(moof: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        read_movie_fragment(moof, _DEFAULTS)


@settings(max_examples=500, deadline=None)
@given(st.data())
def test_mutated_boxes_raise_nothing_else(data: st.DataObject) -> None:
    stream = make_units(0.4, b_frames=2)
    fragment, header = mux_fragment(stream.config, stream.units, 1), mux_header(stream.config)
    moof, moov = find(fragment, (b"moof",)), find(header, (b"moov",))
    for box, reader in (
        (fragment[moof.offset : moof.end], lambda mutated: read_movie_fragment(mutated, _DEFAULTS)),
        (header[moov.offset : moov.end], read_movie_header),
    ):
        changed = bytearray(box)
        for place in data.draw(st.lists(st.integers(0, len(box) - 1), max_size=8)):
            changed[place] = data.draw(st.integers(0, 255))
        cut = data.draw(st.integers(0, len(box)))
        try:
            reader(bytes(changed[:cut] if cut % 2 else changed))
        except FormatError:
            continue


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_a_header_cut_anywhere_is_an_error(codec: str) -> None:
    header = mux_header(make_units(0.2, codec="h264" if codec == "h264" else "hevc").config)
    moov = find(header, (b"moov",))
    for length in range(moov.size_bytes):
        with pytest.raises(FormatError):
            read_movie_header(header[moov.offset : moov.offset + length])
