"""Records survive the way, and whatever is no record is refused with words, not with nonsense."""

import io
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.capture.gstreamer.framing import (
    HEAD_BYTES,
    MAX_JSON_BYTES,
    Kind,
    Record,
    RecordReader,
    RecordWriter,
    Times,
)
from edge_agent.capture.gstreamer.pipeline_child import records as child
from edge_agent.contract.errors import FormatError

STAMP = st.one_of(st.none(), st.integers(-(1 << 63) + 1, (1 << 63) - 1))
RECORD = st.builds(
    Record,
    st.sampled_from(list(Kind)),
    st.binary(max_size=300),
    st.builds(Times, STAMP, STAMP, STAMP, STAMP),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
RECORDS = st.lists(RECORD, max_size=6)


def written(records: list[Record]) -> bytes:
    writer = RecordWriter()
    return b"".join(b"".join(writer.frame(record)) for record in records)


def read_all(data: bytes) -> tuple[list[Record], str | None]:
    """The records before the end or the first error, and the error."""
    reader, records = RecordReader(io.BytesIO(data)), list[Record]()
    try:
        while (record := reader.read()) is not None:
            records.append(record)
    except FormatError as error:
        return records, str(error)
    return records, None


@given(RECORDS)
def test_what_is_written_is_read(records: list[Record]) -> None:
    assert read_all(written(records)) == (records, None)


@given(RECORDS, st.data())
def test_a_torn_stream_gives_its_whole_records_and_says_that_it_is_torn(
    records: list[Record], data: st.DataObject
) -> None:
    stream = written(records)
    cut = data.draw(st.integers(0, len(stream)))
    found, error = read_all(stream[:cut])
    assert found == records[: len(found)]
    whole = len(written(found))
    assert (error is None) == (whole == cut)


@given(st.lists(RECORD, min_size=1, max_size=4), st.binary(min_size=1, max_size=40), st.data())
def test_nothing_that_is_written_between_becomes_a_picture(
    records: list[Record], rubbish: bytes, data: st.DataObject
) -> None:
    stream = written(records)
    at = data.draw(st.integers(0, len(stream)))
    found, error = read_all(stream[:at] + rubbish + stream[at:])
    assert found == records[: len(found)], "records that came before it are right"
    if found != records:
        assert error is not None


@given(st.binary(max_size=400))
def test_garbage_is_refused(garbage: bytes) -> None:
    found, error = read_all(garbage)
    assert found == []
    assert (error is None) == (garbage == b"")


def head(kind: int = 3, flags: int = 0, zero: int = 0, size: int = 0, number: int = 0) -> bytes:
    bare = struct.pack("<4sBBHIIqqqq", b"EGS1", kind, flags, zero, size, number, 0, 0, 0, 0)
    return bare + struct.pack("<I", zlib.crc32(bare))


@pytest.mark.parametrize(
    ("stream", "said"),
    [
        (head(kind=9), "not known"),
        (head(flags=8), "not known"),
        (head(zero=1), "not known"),
        (head(number=1), "record 1 came where 0 was due"),
        (head(size=(64 << 20) + 1), "announces"),
        (head(kind=4, size=MAX_JSON_BYTES + 1), "announces"),
        (b"ERROR: from element /GstPipeline:pipeline0/GstV4l2Src:v4l2src0" * 2, "is none"),
        (head()[:20], "torn"),
    ],
)
def test_a_head_that_cannot_be_is_refused(stream: bytes, said: str) -> None:
    with pytest.raises(FormatError, match=said):
        RecordReader(io.BytesIO(stream + bytes(8)) if len(stream) >= HEAD_BYTES else io.BytesIO(stream)).read()


def test_the_format_is_what_the_docstring_of_the_child_says() -> None:
    """Golden bytes: both ends are written by hand, the child's for an older Python."""
    times = Times(40_000_000, -33_333_333, 40_000_000, 85_000_000_000_000)
    record = Record(Kind.UNIT, b"picture", times, is_key=True, is_damaged=True)
    golden = "45475331030500000700000000000000005a620200000000ab5f03feffffffff005a62020000000000"
    data = written([record])
    assert data.hex().startswith(golden[:80])
    assert len(data) == HEAD_BYTES + 7 + 4
    assert data[-4:] == data[48:52]
    assert struct.calcsize(child.HEAD.format) + child.CHECK.size == HEAD_BYTES
    assert child.HEAD.unpack_from(data) == (
        b"EGS1",
        3,
        5,
        0,
        7,
        0,
        40_000_000,
        -33_333_333,
        40_000_000,
        85_000_000_000_000,
    )
    kinds = (child.HELLO, child.CAPS, child.UNIT, child.EVENT, child.END, child.PICTURE)
    assert kinds == tuple(Kind)
