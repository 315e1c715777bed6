import errno
import os
import random
from pathlib import Path

import pytest

from edge_agent.buffer.clip.reader import PartReader, read_plan
from edge_agent.errors import FormatError, RingStorageError
from tests.support.clips import make_part, write_ring_part

HEADER = bytes(range(100))
FILES = [bytes([number]) * (50 + 13 * number) for number in range(1, 12)]
WHOLE = HEADER + b"".join(FILES)


def without_open_files(*_arguments: object) -> int:
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_every_slice_of_a_part_reads_as_one_file(tmp_path: Path) -> None:
    ring, plan, part = write_ring_part(tmp_path, HEADER, FILES)
    with PartReader(ring, plan, part) as reader:
        assert reader.length_bytes == len(WHOLE)
        for offset in range(0, len(WHOLE) + 3, 7):
            for size in (0, 1, 60, 400, len(WHOLE) * 2):
                assert reader.read(offset, size) == WHOLE[offset : offset + size]


def test_ranges_begin_inside_their_files(tmp_path: Path) -> None:
    ring, plan, _ = write_ring_part(tmp_path, HEADER, FILES)
    part = make_part(HEADER, [("segments/3.mp4", 5, 20), ("segments/3.mp4", 40, 2), ("segments/7.mp4", 1, 9)])
    with PartReader(ring, plan, part) as reader:
        assert reader.read(0, 1000) == HEADER + FILES[3][5:25] + FILES[3][40:42] + FILES[7][1:10]


def test_files_stay_open_only_four_at_once_and_close(tmp_path: Path) -> None:
    ring, plan, part = write_ring_part(tmp_path, HEADER, FILES)
    before = open_files()
    reader = PartReader(ring, plan, part)
    assert reader.read(0, len(WHOLE)) == WHOLE
    assert open_files() <= before + 4
    reader.close()
    assert open_files() == before
    assert reader.read(0, 10) == WHOLE[:10]
    reader.close()


def test_a_missing_ring_file_is_named(tmp_path: Path) -> None:
    ring, plan, part = write_ring_part(tmp_path, HEADER, FILES)
    (ring / "segments/4.mp4").unlink()
    with PartReader(ring, plan, part) as reader, pytest.raises(FormatError, match=r"segments/4\.mp4: No such file"):
        reader.read(0, len(WHOLE))


def test_a_system_without_open_files_says_nothing_of_the_footage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring, plan, part = write_ring_part(tmp_path, HEADER, FILES)
    with PartReader(ring, plan, part) as reader:
        with monkeypatch.context() as patched:
            patched.setattr(os, "open", without_open_files)
            with pytest.raises(RingStorageError, match="Too many open files"):
                reader.read(0, 200)
        assert reader.read(0, len(WHOLE)) == WHOLE
    monkeypatch.setattr(Path, "read_bytes", without_open_files)
    with pytest.raises(RingStorageError, match="Too many open files"):
        read_plan(plan)


def test_a_short_ring_file_is_named_and_nothing_short_is_returned(tmp_path: Path) -> None:
    ring, plan, part = write_ring_part(tmp_path, HEADER, FILES)
    os.truncate(ring / "segments/10.mp4", 20)
    with PartReader(ring, plan, part) as reader:
        with pytest.raises(FormatError, match=r"segments/10\.mp4: ends 100 bytes before"):
            reader.read(len(WHOLE) - 100, 100)
        assert reader.read(0, 300) == WHOLE[:300]


def test_negative_offsets_are_refused(tmp_path: Path) -> None:
    ring, plan, part = write_ring_part(tmp_path, HEADER, FILES)
    with PartReader(ring, plan, part) as reader, pytest.raises(ValueError, match="negative"):
        reader.read(-1, 3)


def test_its_chunks_are_the_whole_part(tmp_path: Path) -> None:
    content = random.Random(7).randbytes(3_000_001)
    ring, plan, part = write_ring_part(tmp_path, HEADER, [content])
    with PartReader(ring, plan, part) as reader:
        assert b"".join(reader.chunks()) == HEADER + content
