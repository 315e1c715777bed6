"""The clip's header, table by table, read back by the verifier's own reader."""

import subprocess
import sys
from array import array
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csu.verify.tables import Tables, read_tables
from edge_agent.buffer.clip.header import Chunks, Track, build_header
from edge_agent.contract.boxes import find, walk
from edge_agent.errors import FormatError
from tests.builders import WALL_US
from tests.golden_segment import CONFIG

STSD = bytes.fromhex("0000001073747364 0000000000000000")


def make_track(dts: Sequence[int], pts: Sequence[int] | None = None, chunks: Sequence[tuple[int, int]] = ()) -> Track:
    """A track of samples of 100 bytes, all in one chunk unless said: offset and samples of each."""
    places = chunks or [(700, len(dts))]
    times = list(dts if pts is None else pts)
    return Track(
        config=CONFIG,
        stsd=STSD,
        created_us=WALL_US,
        sizes_bytes=array("I", [100 + index for index in range(len(dts))]),
        dts_90k=array("q", dts),
        pts_90k=array("q", times),
        end_90k=dts[-1] + 3_600 if dts else 0,
        keys=[0],
        chunks=Chunks(array("Q", [at for at, _ in places]), array("I", [count for _, count in places])),
        first_shown_90k=times[0] if times else 0,
        shown_90k=3_600,
        body_bytes=5_000_000_000,
    )


def tables_of(header: bytes) -> Tables:
    moov = find(header, (b"moov",))
    return read_tables(header[moov.offset : moov.end])


def test_the_header_ends_with_a_large_mdat_head() -> None:
    header = build_header(make_track([0, 3_600]))
    assert [box.kind for box in walk(header, 0, len(header) - 16)] == [b"ftyp", b"moov"]
    assert header[-16:] == (1).to_bytes(4, "big") + b"mdat" + (5_000_000_016).to_bytes(8, "big")


def test_offsets_count_from_the_files_beginning() -> None:
    header = build_header(make_track([0, 3_600, 7_200, 10_800], chunks=[(700, 1), (5_000_000_000, 3)]))
    chunks = tables_of(header).chunks
    assert [(chunk.offset - len(header), chunk.first, chunk.samples) for chunk in chunks] == [
        (700, 0, 1),
        (5_000_000_000, 1, 3),
    ]


@given(
    steps=st.lists(st.integers(0, 200_000), min_size=0, max_size=60),
    offsets=st.lists(st.integers(-100_000, 200_000), min_size=61, max_size=61),
    start=st.integers(0, 1 << 50),
)
def test_any_times_come_back(steps: list[int], offsets: list[int], start: int) -> None:
    dts = [start + sum(steps[:index]) for index in range(len(steps) + 1)]
    pts = [time + offset for time, offset in zip(dts, offsets, strict=False)]
    track = make_track(dts, pts)
    tables = tables_of(build_header(replace(track, first_shown_90k=max(pts[0], start))))
    assert tables.dts_90k == [time - start for time in dts]
    assert tables.pts_90k == [time - start for time in pts]


@pytest.mark.parametrize(
    ("offsets", "version"), [([0, 0], None), ([3_600, 3_600], 0), ([7_200, 3_600], 0), ([0, -1], 1)]
)
def test_composition_offsets_are_signed_only_where_they_have_to_be(offsets: list[int], version: int | None) -> None:
    header = build_header(make_track([0, 3_600], [offsets[0], 3_600 + offsets[1]]))
    place = header.find(b"ctts")
    assert (header[place + 4] if place >= 0 else None) == version


def test_the_edit_list_begins_at_the_first_shown_picture() -> None:
    track = make_track([900_000, 903_600, 907_200], [907_200, 918_000, 910_800])
    tables = tables_of(build_header(replace(track, first_shown_90k=910_800, shown_90k=7_201)))
    assert (tables.media_time_90k, tables.shown_90k, tables.movie_90k) == (10_800, 7_201, 7_201)


@pytest.mark.parametrize(
    ("track", "complaint"),
    [
        (make_track([]), "no length"),
        (replace(make_track([0, 3_600]), sizes_bytes=array("I", [1])), "different"),
        (replace(make_track([0, 3_600]), shown_90k=0), "no duration"),
        (replace(make_track([0, 3_600]), end_90k=3_600), "no duration"),
        (replace(make_track([9, 3_600]), first_shown_90k=0), "before the first decode time"),
        (make_track([0, 3_600, 3_599]), "before that of the one before it"),
        (make_track([0, 1 << 33]), "over 13 hours"),
        (make_track([0, 3_600], [0, 1 << 40]), "do not fit"),
        (make_track([0, 3_600], [1 << 40, 0]), "do not fit"),
    ],
    ids=str,
)
def test_tables_that_no_header_can_say_are_refused(track: Track, complaint: str) -> None:
    with pytest.raises(FormatError, match=complaint):
        build_header(track)


def test_a_unit_plans_without_the_centres_or_the_test_sources_packages() -> None:
    code = "import sys, edge_agent.buffer.clip.plan; sys.exit(bool({'numpy', 'csu', 'av'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True)
