"""A scan finds exactly what is whole in a file, whatever happened to the rest."""

import errno
import os
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.buffer import segment_scan
from edge_agent.buffer.segment import SegmentInfo
from edge_agent.buffer.segment_scan import ScanResult, cut_tail, scan_segment
from edge_agent.contract.access_unit import Codec
from edge_agent.contract.segment_format import FRAGMENT_BOX_BYTES
from edge_agent.errors import FormatError, RingStorageError
from tests.builders import make_units
from tests.support.segments import samples_of, write_segments


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, SegmentInfo]:
    """A segment of four fragments in a few thousand bytes."""
    root = tmp_path_factory.mktemp("small")
    (info,) = write_segments(root, make_units(0.4, gop=3, b_frames=1, width=64, height=48))
    return (root / info.file).read_bytes(), info


def _scan_bytes(folder: Path, data: bytes, *, verify: bool = True) -> ScanResult:
    path = folder / "00000001.mp4"
    path.write_bytes(data)
    return scan_segment(path, folder, verify=verify)


def _ends(info: SegmentInfo) -> list[int]:
    return [entry.offset + entry.length_bytes for entry in info.fragments]


def _numbers(result: ScanResult) -> list[int]:
    return [entry.record.number for entry in result.info.fragments] if result.info else []


@pytest.mark.parametrize("codec", ["h264", "hevc"])
@pytest.mark.parametrize("b_frames", [0, 2])
@pytest.mark.parametrize("annex_b", [False, True])
@pytest.mark.parametrize("verify", [False, True])
def test_the_file_tells_what_the_writer_knew(
    tmp_path: Path, codec: Codec, b_frames: int, annex_b: bool, verify: bool
) -> None:
    stream = make_units(3, codec=codec, b_frames=b_frames, annex_b=annex_b)
    (info,) = write_segments(tmp_path, stream)
    result = scan_segment(tmp_path / info.file, tmp_path, verify=verify)
    assert result == ScanResult(info, info.size_bytes, None)
    if not annex_b:
        assert samples_of(tmp_path, info) == [unit.data for unit in stream.units]


def test_the_file_is_named_from_the_rings_root(tmp_path: Path) -> None:
    (tmp_path / "segments").mkdir()
    (info,) = write_segments(tmp_path / "segments", make_units(1))
    result = scan_segment(tmp_path / "segments" / info.file, tmp_path)
    assert result.info is not None
    assert result.info.file == f"segments/{info.file}"


def test_cut_at_every_byte_leaves_exactly_the_whole_fragments(
    tmp_path: Path, small: tuple[bytes, SegmentInfo]
) -> None:
    data, info = small
    for verify, step in ((True, 1), (False, 7)):
        for length in range(0, len(data) + 1, step):
            result = _scan_bytes(tmp_path, data[:length], verify=verify)
            if length < info.header_bytes:
                assert (result.info, result.good_bytes) == (None, 0)
                assert result.problem is not None
                continue
            whole = [end for end in _ends(info) if end <= length]
            assert _numbers(result) == list(range(1, len(whole) + 1))
            assert result.good_bytes == (whole[-1] if whole else info.header_bytes)
            assert (result.problem is None) == (result.good_bytes == length)


@pytest.mark.parametrize("mask", [0x01, 0xFF])
def test_any_changed_byte_costs_its_own_fragment_alone(
    tmp_path: Path, small: tuple[bytes, SegmentInfo], mask: int
) -> None:
    data, info = small
    for entry in info.fragments:
        others = [other.record.number for other in info.fragments if other != entry]
        last = entry == info.fragments[-1]
        for offset in range(entry.offset, entry.offset + entry.length_bytes):
            changed = bytearray(data)
            changed[offset] ^= mask
            result = _scan_bytes(tmp_path, bytes(changed))
            assert _numbers(result) == others
            assert result.good_bytes == (entry.offset if last else len(data))
            assert result.problem is not None


@pytest.mark.parametrize("mask", [0x01, 0xFF])
def test_any_changed_byte_of_the_header_unmakes_the_segment(
    tmp_path: Path, small: tuple[bytes, SegmentInfo], mask: int
) -> None:
    data, info = small
    for offset in range(info.header_bytes):
        changed = bytearray(data)
        changed[offset] ^= mask
        for verify in (True, False):
            result = _scan_bytes(tmp_path, bytes(changed), verify=verify)
            assert (result.info, result.good_bytes) == (None, 0)
            assert result.problem is not None


def test_changed_bytes_never_break_the_quick_scan(tmp_path: Path, small: tuple[bytes, SegmentInfo]) -> None:
    data, info = small
    for offset in range(info.header_bytes, len(data), 2):
        changed = bytearray(data)
        changed[offset] ^= 0xFF
        result = _scan_bytes(tmp_path, bytes(changed), verify=False)
        assert len(_numbers(result)) >= len(info.fragments) - 1


def test_a_zero_filled_tail_is_torn(tmp_path: Path, small: tuple[bytes, SegmentInfo]) -> None:
    data, info = small
    for start in range(info.header_bytes, len(data), 7):
        whole = [end for end in _ends(info) if end <= start]
        result = _scan_bytes(tmp_path, data[:start] + bytes(len(data) - start + 4096))
        assert _numbers(result)[: len(whole)] == list(range(1, len(whole) + 1))
        assert len(_numbers(result)) <= len(whole) + 1  # a fragment may end with a zero by chance
        assert result.problem is not None


def test_garbage_between_fragments_costs_nothing(tmp_path: Path, small: tuple[bytes, SegmentInfo]) -> None:
    data, info = small
    middle = info.fragments[2].offset
    for garbage in (b"\x00", b"moof", b"\x00\x00\x00\x10moof" * 50, random.Random(1).randbytes(3_000)):
        result = _scan_bytes(tmp_path, data[:middle] + garbage + data[middle:])
        assert _numbers(result) == [1, 2, 3, 4]
        assert result.problem is not None
        assert samples_of(tmp_path, result.info or info) == samples_of_bytes(tmp_path, data, info)


def samples_of_bytes(folder: Path, data: bytes, info: SegmentInfo) -> list[bytes]:
    (folder / info.file).write_bytes(data)
    return samples_of(folder, info)


def test_a_removed_fragment_is_missed(tmp_path: Path, small: tuple[bytes, SegmentInfo]) -> None:
    data, info = small
    second, third = info.fragments[1:3]
    result = _scan_bytes(tmp_path, data[: second.offset] + data[third.offset :])
    assert _numbers(result) == [1, 3, 4]
    assert result.problem is not None
    assert "missing" in result.problem


def test_repeated_and_swapped_fragments_are_left_out(tmp_path: Path, small: tuple[bytes, SegmentInfo]) -> None:
    data, info = small
    head, *fragments = (
        data[start:end] for start, end in zip([0, *_starts(info)], [*_starts(info), len(data)], strict=True)
    )
    for order, numbers in (((0, 1, 1, 2, 3), [1, 2, 3, 4]), ((0, 2, 1, 3), [1, 3, 4])):
        result = _scan_bytes(tmp_path, head + b"".join(fragments[index] for index in order))
        assert _numbers(result) == numbers
        assert result.problem is not None


def _starts(info: SegmentInfo) -> list[int]:
    return [entry.offset for entry in info.fragments]


def test_a_fragment_of_another_segment_is_left_out(tmp_path: Path) -> None:
    stream = make_units(4)
    first, second = write_segments(tmp_path, stream, segment_s=2)
    data = (tmp_path / first.file).read_bytes()
    other = (tmp_path / second.file).read_bytes()
    result = _scan_bytes(tmp_path, data + other[second.header_bytes :])
    assert _numbers(result) == [1, 2]
    assert result.good_bytes == first.size_bytes
    assert result.problem is not None
    assert "another header" in result.problem


def _retold(data: bytes, info: SegmentInfo, changes: dict[str, Any]) -> bytes:
    """The segment with other records, which carry no header tag."""
    told = data[: info.header_bytes]
    for entry in info.fragments:
        boxes = data[entry.offset : entry.offset + entry.length_bytes - FRAGMENT_BOX_BYTES]
        told += boxes + entry.record._replace(**changes).to_box(boxes)
    return told


def test_records_without_a_header_tag_are_read(tmp_path: Path, small: tuple[bytes, SegmentInfo]) -> None:
    data, info = small
    result = _scan_bytes(tmp_path, _retold(data, info, {}))
    assert (result.problem, _numbers(result)) == (None, [1, 2, 3, 4])


@pytest.mark.parametrize(
    "changes", [{"sequence": 2}, {"run_id": "d" * 32}, {"samples": 2}, {"first_pts_90k": 5}, {"is_key": False}]
)
@pytest.mark.parametrize("verify", [False, True])
def test_records_that_do_not_agree_are_no_fragments(
    tmp_path: Path, small: tuple[bytes, SegmentInfo], changes: dict[str, Any], verify: bool
) -> None:
    data, info = small
    result = _scan_bytes(tmp_path, _retold(data, info, changes), verify=verify)
    assert (_numbers(result), result.good_bytes) == ([], info.header_bytes)
    assert result.problem is not None


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=3_000))
def test_garbage_is_no_segment(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    result = _scan_bytes(tmp_path_factory.getbasetemp(), data)
    assert (result.info, result.good_bytes) == (None, 0)


_PIECES = st.lists(
    st.one_of(
        st.binary(max_size=60),
        st.sampled_from([b"moof", b"mdat", b"uuid", b"\x00\x00\x00\x98uuid", b"\x00\x00\x00\x01moof"]),
        st.tuples(st.integers(0, 6_000), st.integers(0, 2_000)),
    ),
    max_size=30,
)


@settings(max_examples=300, deadline=None)
@given(_PIECES)
def test_a_header_and_garbage_is_a_segment_of_what_is_good(
    tmp_path_factory: pytest.TempPathFactory,
    small: tuple[bytes, SegmentInfo],
    pieces: list[bytes | tuple[int, int]],
) -> None:
    data, info = small
    mixed = b"".join(piece if isinstance(piece, bytes) else data[piece[0] : piece[0] + piece[1]] for piece in pieces)
    result = _scan_bytes(tmp_path_factory.getbasetemp(), data[: info.header_bytes] + mixed)
    assert result.info is not None
    assert info.header_bytes <= result.good_bytes <= info.header_bytes + len(mixed)
    numbers = _numbers(result)
    assert numbers == sorted(set(numbers))
    known = {entry.digest for entry in info.fragments}
    assert all(entry.digest in known for entry in result.info.fragments)


def test_a_flood_of_box_heads_is_bounded(tmp_path: Path, small: tuple[bytes, SegmentInfo]) -> None:
    data, _ = small
    flood = (b"\x00\x00\x00\x10moof" * 100_000, b"\x00\x0f\xff\xffmoof" * 5_000)
    for tail in flood:
        result = _scan_bytes(tmp_path, data + tail)
        assert _numbers(result) == [1, 2, 3, 4]
        assert result.problem is not None


def test_a_search_that_is_given_up_cuts_nothing(
    tmp_path: Path, small: tuple[bytes, SegmentInfo], monkeypatch: pytest.MonkeyPatch
) -> None:
    data, _ = small
    monkeypatch.setattr(segment_scan, "_MAX_TRIAL_BYTES", 100)
    flooded = data + b"\x00\x00\x00\x10moof" * 100
    result = _scan_bytes(tmp_path, flooded)
    assert result.good_bytes == len(flooded)
    assert result.problem is not None
    assert "given up" in result.problem


def test_a_sector_that_cannot_be_read_costs_its_fragment_and_is_never_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (info,) = write_segments(tmp_path, make_units(3))
    real_pread = os.pread
    for bad in info.fragments:

        def pread(descriptor: int, length: int, offset: int, lost: int = bad.payload_offset) -> bytes:
            if offset <= lost < offset + length:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return real_pread(descriptor, length, offset)

        monkeypatch.setattr(os, "pread", pread)
        monkeypatch.setattr(segment_scan, "_BLOCK_BYTES", 512)
        result = scan_segment(tmp_path / info.file, tmp_path)
        assert _numbers(result) == [entry.record.number for entry in info.fragments if entry != bad]
        assert result.good_bytes == info.size_bytes
        assert result.problem is not None
        assert os.strerror(errno.EIO) in result.problem


def test_a_header_that_cannot_be_read_is_not_called_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (info,) = write_segments(tmp_path, make_units(1))

    def pread(descriptor: int, length: int, offset: int) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "pread", pread)
    with pytest.raises(RingStorageError, match=info.file):
        scan_segment(tmp_path / info.file, tmp_path)


def test_a_missing_file_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(RingStorageError, match="absent"):
        scan_segment(tmp_path / "absent.mp4", tmp_path)


def test_a_torn_tail_is_cut_off(tmp_path: Path, small: tuple[bytes, SegmentInfo]) -> None:
    data, info = small
    result = _scan_bytes(tmp_path, data[:-1])
    path = tmp_path / "00000001.mp4"
    cut_tail(path, result.good_bytes)
    assert path.read_bytes() == data[: info.fragments[-1].offset]
    again = scan_segment(path, tmp_path)
    assert (again.problem, _numbers(again)) == (None, [1, 2, 3])


def test_a_good_file_is_not_touched(tmp_path: Path, small: tuple[bytes, SegmentInfo]) -> None:
    data, _ = small
    result = _scan_bytes(tmp_path, data)
    path = tmp_path / "00000001.mp4"
    before = path.stat()
    cut_tail(path, result.good_bytes)
    assert (path.stat().st_mtime_ns, path.stat().st_size) == (before.st_mtime_ns, before.st_size)


@pytest.mark.parametrize("good_bytes", [0, -1, 11])
def test_nothing_is_cut_without_a_header_or_beyond_the_end(tmp_path: Path, good_bytes: int) -> None:
    path = tmp_path / "00000001.mp4"
    path.write_bytes(b"0123456789")
    with pytest.raises(FormatError):
        cut_tail(path, good_bytes)
    assert path.read_bytes() == b"0123456789"


def test_a_missing_file_cannot_be_cut(tmp_path: Path) -> None:
    with pytest.raises(RingStorageError):
        cut_tail(tmp_path / "absent.mp4", 1)
