"""What an open segment promises: whole fragments, honest about what is durable, unharmed by a disk that refuses."""

import errno
import os
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from edge_agent.buffer.segment import SegmentInfo
from edge_agent.buffer.segment_scan import scan_segment
from edge_agent.buffer.segment_writer import SegmentWriter, StorageCalls
from edge_agent.contract.access_unit import CodecConfig
from edge_agent.errors import FormatError, RingStorageError
from tests.builders import CAPTURE_US, Stream, make_header, make_units
from tests.support.segments import utc_of

_FILE = "00000001.mp4"
_UTC = utc_of(CAPTURE_US)


@dataclass
class _Disk:
    """A disk whose next calls are refused: `None` lets one pass."""

    refusals: list[int | None] = field(default_factory=list)
    short: bool = False
    cuts_fail: bool = False
    writes: int = 0

    def calls(self) -> StorageCalls:
        return StorageCalls(write=self._write, sync=self._sync, cut=self._cut)

    def _refuse(self) -> None:
        code = self.refusals.pop(0) if self.refusals else None
        if code is not None:
            raise OSError(code, os.strerror(code))

    def _write(self, descriptor: int, data: bytes, offset: int) -> int:
        self._refuse()
        self.writes += 1
        return os.pwrite(descriptor, data[: len(data) // 2 + 1] if self.short else data, offset)

    def _sync(self, descriptor: int) -> None:
        self._refuse()
        os.fdatasync(descriptor)

    def _cut(self, descriptor: int, size_bytes: int) -> None:
        if self.cuts_fail:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        os.ftruncate(descriptor, size_bytes)


def _writer(root: Path, stream: Stream, disk: _Disk | None = None) -> SegmentWriter:
    return SegmentWriter.create(root, _FILE, make_header(stream.config), stream.config, (disk or _Disk()).calls())


def _scanned(root: Path) -> SegmentInfo:
    result = scan_segment(root / _FILE, root)
    assert result.problem is None
    assert result.info is not None
    return result.info


def test_what_the_writer_knows_is_what_the_file_says(tmp_path: Path) -> None:
    stream = make_units(2, b_frames=2, annex_b=True)
    writer = _writer(tmp_path, stream)
    writer.append(stream.units[:25], _UTC)
    writer.append(stream.units[25:], _UTC, closed_early=True)
    writer.close()
    info = writer.info()
    assert info == _scanned(tmp_path)
    assert info.closed
    assert info.size_bytes == (tmp_path / _FILE).stat().st_size == writer.size_bytes
    assert list(info.samples.dts_90k) == [unit.dts_90k for unit in stream.units]
    assert list(info.samples.key_indices) == [0, 25]
    assert [entry.record.closed_early for entry in info.fragments] == [False, True]


def test_a_fragment_is_one_write(tmp_path: Path) -> None:
    disk = _Disk()
    stream = make_units(1)
    writer = _writer(tmp_path, stream, disk)
    before = disk.writes
    writer.append(stream.units, _UTC)
    assert disk.writes == before + 1


def test_only_synced_fragments_are_told(tmp_path: Path) -> None:
    stream = make_units(2)
    writer = _writer(tmp_path, stream)
    assert (len(writer.info().fragments), writer.info().size_bytes) == (0, writer.info().header_bytes)
    writer.append(stream.units[:25], _UTC)
    assert len(writer.info().fragments) == 0
    assert len(writer.info(synced_only=False).fragments) == 1
    writer.sync()
    assert len(writer.info().fragments) == 1
    assert not writer.info().closed


def test_a_snapshot_does_not_change(tmp_path: Path) -> None:
    stream = make_units(2)
    writer = _writer(tmp_path, stream)
    writer.append(stream.units[:25], _UTC)
    writer.sync()
    snapshot = writer.info()
    assert writer.info() is snapshot
    writer.append(stream.units[25:], _UTC)
    writer.sync()
    assert (len(snapshot.fragments), len(snapshot.samples), len(snapshot.samples.key_indices)) == (1, 25, 1)
    assert snapshot.samples.end_90k == stream.units[25].dts_90k
    assert len(writer.info().samples) == 50


def test_snapshots_are_whole_while_another_thread_writes(tmp_path: Path) -> None:
    stream = make_units(8, gop=5)
    writer = _writer(tmp_path, stream)
    done = threading.Event()
    wrong: list[SegmentInfo] = []

    def watch() -> None:
        while not done.is_set():
            info = writer.info()
            samples = sum(entry.record.samples for entry in info.fragments)
            if not samples == len(info.samples.dts_90k) == 5 * len(info.samples.key_indices):
                wrong.append(info)

    watcher = threading.Thread(target=watch)
    watcher.start()
    for start in range(0, 200, 5):
        writer.append(stream.units[start : start + 5], _UTC)
        writer.sync()
    done.set()
    watcher.join()
    writer.close()
    assert wrong == []
    assert len(writer.info().fragments) == 40


def test_an_existing_file_is_never_overwritten(tmp_path: Path) -> None:
    stream = make_units(1)
    (tmp_path / _FILE).write_bytes(b"footage")
    with pytest.raises(RingStorageError, match="File exists"):
        _writer(tmp_path, stream)
    assert (tmp_path / _FILE).read_bytes() == b"footage"


@pytest.mark.parametrize("refusals", [[errno.ENOSPC], [None, errno.EIO]])
def test_a_header_that_cannot_be_written_leaves_no_file(tmp_path: Path, refusals: list[int | None]) -> None:
    stream = make_units(1)
    with pytest.raises(RingStorageError, match="header"):
        _writer(tmp_path, stream, _Disk(refusals, short=True))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("codec", ["h264", "hevc"])
@pytest.mark.parametrize("extradata", [b"", b"\x00\x00\x00\x01", b"\xff" * 30, b"\x01\x01"])
def test_parameters_without_a_decoder_record_leave_no_file(tmp_path: Path, codec: str, extradata: bytes) -> None:
    config = CodecConfig("h264" if codec == "h264" else "hevc", extradata, 128, 96, 25.0)
    with pytest.raises(FormatError):
        SegmentWriter.create(tmp_path, _FILE, make_header(config), config)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("data", [b"", b"\xff" * 40, b"\x00\x00\x00\x01"])
def test_a_unit_that_libav_leaves_out_is_an_error(tmp_path: Path, data: bytes) -> None:
    stream = make_units(1, annex_b=True)
    writer = _writer(tmp_path, stream)
    size_bytes = writer.size_bytes
    bad = type(stream.units[0])(data, *_fields(stream))
    with pytest.raises(FormatError):
        writer.append((bad, *stream.units[1:]), _UTC)
    assert (tmp_path / _FILE).stat().st_size == size_bytes
    writer.append(stream.units, _UTC)
    writer.close()
    assert len(_scanned(tmp_path).fragments) == 1


def _fields(stream: Stream) -> tuple[int, int, int, bool, int]:
    unit = stream.units[0]
    return unit.pts_90k, unit.dts_90k, unit.duration_90k, unit.is_key, unit.capture_us


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("short", [False, True])
@pytest.mark.parametrize("cuts_fail", [False, True])
def test_the_same_units_may_be_appended_after_a_refusal(
    tmp_path: Path, code: int, short: bool, cuts_fail: bool
) -> None:
    stream = make_units(2)
    disk = _Disk()
    writer = _writer(tmp_path, stream, disk)
    writer.append(stream.units[:25], _UTC)
    size_bytes = writer.size_bytes
    disk.short, disk.cuts_fail = short, cuts_fail
    disk.refusals = [None, code] if short else [code]
    with pytest.raises(RingStorageError, match=os.strerror(code)):
        writer.append(stream.units[25:], _UTC)
    assert writer.size_bytes == size_bytes
    if not cuts_fail:
        assert (tmp_path / _FILE).stat().st_size == size_bytes
    disk.short = disk.cuts_fail = False
    writer.append(stream.units[25:], _UTC)
    writer.close()
    assert _scanned(tmp_path) == writer.info()
    assert len(writer.info().fragments) == 2


def test_a_torn_write_that_cannot_be_cut_off_holds_back_the_next(tmp_path: Path) -> None:
    stream = make_units(2)
    disk = _Disk()
    writer = _writer(tmp_path, stream, disk)
    disk.refusals, disk.short, disk.cuts_fail = [None, errno.EIO], True, True
    with pytest.raises(RingStorageError):
        writer.append(stream.units, _UTC)
    disk.short = False
    with pytest.raises(RingStorageError):
        writer.append(stream.units[:1], _UTC)
    disk.cuts_fail = False
    writer.append(stream.units[:1], _UTC)
    writer.close()
    assert _scanned(tmp_path) == writer.info()


def test_a_torn_write_behind_the_last_fragment_is_known_to_the_scan(tmp_path: Path) -> None:
    stream = make_units(2)
    disk = _Disk()
    writer = _writer(tmp_path, stream, disk)
    writer.append(stream.units[:25], _UTC)
    disk.refusals, disk.short, disk.cuts_fail = [None, errno.EIO], True, True
    with pytest.raises(RingStorageError):
        writer.append(stream.units[25:], _UTC)
    writer.sync()
    writer.abandon()
    result = scan_segment(tmp_path / _FILE, tmp_path)
    assert (result.info is not None, result.good_bytes) == (True, writer.info().size_bytes)


def test_a_failed_sync_writes_the_bytes_again(tmp_path: Path) -> None:
    stream = make_units(2)
    disk = _Disk()
    writer = _writer(tmp_path, stream, disk)
    writer.append(stream.units[:25], _UTC)
    writer.sync()
    writer.append(stream.units[25:], _UTC)
    disk.refusals = [errno.EIO]
    with pytest.raises(RingStorageError, match="sync"):
        writer.sync()
    assert len(writer.info().fragments) == 1
    before = disk.writes
    writer.sync()
    assert disk.writes == before + 1
    assert len(writer.info().fragments) == 2
    writer.close()
    assert _scanned(tmp_path) == writer.info()


def test_a_failed_first_sync_writes_the_header_again(tmp_path: Path) -> None:
    stream = make_units(1)
    disk = _Disk()
    writer = _writer(tmp_path, stream, disk)
    writer.append(stream.units, _UTC)
    disk.refusals = [errno.EIO]
    with pytest.raises(RingStorageError):
        writer.sync()
    with (tmp_path / _FILE).open("r+b") as file:
        file.write(bytes(writer.info().header_bytes))
    writer.close()
    assert _scanned(tmp_path) == writer.info()


def test_fragments_lost_by_a_failed_sync_leave_the_segment(tmp_path: Path) -> None:
    stream = make_units(3)
    disk = _Disk()
    writer = _writer(tmp_path, stream, disk)
    writer.append(stream.units[:25], _UTC)
    writer.sync()
    lost = writer.append(stream.units[25:50], _UTC)
    writer.append(stream.units[50:60], _UTC)
    disk.refusals = [errno.EIO]
    with pytest.raises(RingStorageError):
        writer.sync()
    with (tmp_path / _FILE).open("r+b") as file:
        file.seek(lost.payload_offset)
        file.write(b"\xff")
    with pytest.raises(RingStorageError, match="fragment 2 was lost"):
        writer.sync()
    writer.append(stream.units[60:], _UTC)
    writer.close()
    info = _scanned(tmp_path)
    assert info == writer.info()
    assert [entry.record.samples for entry in info.fragments] == [25, 15]


def test_close_may_be_tried_again(tmp_path: Path) -> None:
    stream = make_units(1)
    disk = _Disk()
    writer = _writer(tmp_path, stream, disk)
    writer.append(stream.units, _UTC)
    disk.refusals = [errno.EIO]
    with pytest.raises(RingStorageError):
        writer.close()
    assert not writer.info().closed
    writer.close()
    writer.close()
    assert writer.info().closed


@contextmanager
def _file_size_limit(size_bytes: int) -> Iterator[None]:
    """The kernel refuses to write beyond this (setrlimit(2), RLIMIT_FSIZE), after a short write up to it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_the_kernels_own_refusal_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    stream = make_units(2)
    writer = SegmentWriter.create(tmp_path, _FILE, make_header(stream.config), stream.config)
    writer.append(stream.units[:25], _UTC)
    good = (tmp_path / _FILE).read_bytes()
    for limit in (writer.size_bytes + extra for extra in (0, 1, 8, 300)):
        with _file_size_limit(limit), pytest.raises(RingStorageError, match="File too large"):
            writer.append(stream.units[25:], _UTC)
        assert (tmp_path / _FILE).read_bytes() == good
    writer.append(stream.units[25:], _UTC)
    writer.close()
    assert _scanned(tmp_path) == writer.info()
