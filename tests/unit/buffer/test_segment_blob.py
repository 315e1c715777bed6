"""The index's form of a segment gives back what went in, and garbage is an error."""

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.buffer.fragment_table import FragmentEntry, FragmentTable
from edge_agent.buffer.segment import SampleTable
from edge_agent.buffer.segment_blob import decode_contents, encode_contents
from edge_agent.contract.segment_format import CLOCK_SOURCES, FragmentRecord
from edge_agent.errors import FormatError

RUN = "c1" * 16
INT64 = st.integers(-(1 << 62), 1 << 62)
UINT32 = st.integers(0, (1 << 32) - 1)
RECORDS = st.builds(
    FragmentRecord,
    number=UINT32,
    sequence=st.just(7),
    run_id=st.just(RUN),
    first_pts_90k=INT64,
    monotonic_us=INT64,
    utc_us=INT64,
    bound_us=st.one_of(st.none(), st.integers(0, 1 << 62)),
    clock_source=st.sampled_from(CLOCK_SOURCES),
    samples=UINT32,
    is_key=st.booleans(),
    closed_early=st.booleans(),
    keys_back=st.integers(0, 63),
)
ENTRIES = st.lists(
    st.builds(
        lambda offset, length, payload, record, digest: FragmentEntry(
            offset, length, offset + payload, record, digest
        ),
        st.integers(0, 1 << 40),
        UINT32,
        UINT32,
        RECORDS,
        st.binary(min_size=32, max_size=32),
    ),
    max_size=5,
)
SAMPLES = st.lists(st.tuples(UINT32, INT64, INT64), max_size=50)


@given(ENTRIES, SAMPLES, st.lists(UINT32, max_size=5), INT64)
def test_what_goes_in_comes_out(
    entries: list[FragmentEntry], samples: list[tuple[int, int, int]], keys: list[int], end_90k: int
) -> None:
    table = SampleTable(
        array("I", [size for size, _, _ in samples]),
        array("q", [dts for _, dts, _ in samples]),
        array("q", [pts for _, _, pts in samples]),
        array("I", keys),
        end_90k,
    )
    fragments = FragmentTable.of(7, RUN, entries)
    decoded = decode_contents(encode_contents(fragments, table), 7, RUN)
    assert decoded == (fragments, table)
    assert list(decoded[0]) == entries


TABLE = SampleTable(array("I", [1, 2]), array("q", [3, 4]), array("q", [5, 6]), array("I", [0]), 9)
EMPTY = FragmentTable(7, RUN)
BLOB = encode_contents(EMPTY, TABLE)


@given(st.integers(0, len(BLOB) - 1), st.integers(1, 255))
def test_a_damaged_blob_is_an_error_unless_the_damage_says_nothing(place: int, flip: int) -> None:
    damaged = bytearray(BLOB)
    damaged[place] ^= flip
    try:
        decoded = decode_contents(bytes(damaged), 7, RUN)
    except FormatError:
        return
    # a compressed stream has other spellings of the same: window size and level, code lengths, padding
    assert decoded == (EMPTY, TABLE)


@given(st.integers(0, len(BLOB) - 1))
def test_a_torn_blob_is_an_error(length: int) -> None:
    with pytest.raises(FormatError):
        decode_contents(BLOB[:length], 7, RUN)


def test_bytes_behind_a_blob_are_an_error() -> None:
    with pytest.raises(FormatError):
        decode_contents(BLOB + b"x", 7, RUN)
