"""Reading a clip from its durable plan: header bytes, then ring ranges, at any offset, without a temporary file."""

import os
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Self

from edge_agent.contract.clip import MAX_PLAN_BYTES, ClipPlan, Part
from edge_agent.errors import ContractError, FormatError, RingStorageError
from edge_agent.os_errors import is_passing

PLAN_SUFFIX = ".plan"

_MAX_OPEN_FILES = 4
_CHUNK_BYTES = 1 << 20


def read_plan(plan_file: Path) -> ClipPlan:
    """Read a durable plan: the last line of its file (`clip.store`).

    Raises:
        FormatError: there is no such plan, or it is damaged.
        RingStorageError: the system lacks what reading takes, which says nothing of the plan.
    """
    try:
        headers, _, document = plan_file.read_bytes().rpartition(b"\n")
        plan = ClipPlan.from_json(document, MAX_PLAN_BYTES)
    except OSError as error:
        if is_passing(error):
            raise RingStorageError(f"cannot read {plan_file}: {error.strerror}") from error
        raise FormatError(f"{plan_file}: {error.strerror}") from error
    except ContractError as error:
        raise FormatError(f"{plan_file}: {error}") from error
    for part in plan.parts:
        _check_part(plan_file, part, len(headers))
    return plan


def _check_part(path: Path, part: Part, headers_bytes: int) -> None:
    names = dict.fromkeys(piece.file for piece in part.ranges)
    unsafe = next((name for name in names if PurePosixPath(name).is_absolute() or ".." in name.split("/")), None)
    if unsafe is not None:
        raise FormatError(f"{path}: part {part.index}: {unsafe!r:.80} leads out of the ring")
    if part.header_offset < 0 or part.header_bytes < 0 or part.header_offset + part.header_bytes > headers_bytes:
        raise FormatError(f"{path}: part {part.index}: its header does not lie in the plan's file")
    if any(piece.offset < 0 or piece.length_bytes <= 0 for piece in part.ranges):
        raise FormatError(f"{path}: part {part.index}: a range is empty or begins before its file")
    total_bytes = part.header_bytes + sum(piece.length_bytes for piece in part.ranges)
    if total_bytes != part.length_bytes:
        raise FormatError(f"{path}: part {part.index}: ranges of {total_bytes} bytes, length {part.length_bytes}")


@dataclass(frozen=True, slots=True)
class _Piece:
    path: Path
    offset: int
    length_bytes: int


class PartReader:
    """One part of a planned clip as if it were a file.

    Files are opened when they are first needed, at most four at once. Calls may come from any thread, one at a
    time each; they block on the disk.
    """

    def __init__(self, ring_directory: Path, plan_file: Path, part: Part) -> None:
        header = _Piece(plan_file, part.header_offset, part.header_bytes)
        ring = [_Piece(ring_directory / piece.file, piece.offset, piece.length_bytes) for piece in part.ranges]
        self._pieces = [header, *ring]
        self._starts = [0]
        for piece in self._pieces:
            self._starts.append(self._starts[-1] + piece.length_bytes)
        self.length_bytes = self._starts.pop()
        self._lock = threading.Lock()  # protects the descriptors: a cancelled upload's last read may still run
        self._descriptors: OrderedDict[Path, int] = OrderedDict()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the files that are open; reading opens them again."""
        with self._lock:
            while self._descriptors:
                os.close(self._descriptors.popitem()[1])

    def read(self, offset: int, size: int) -> bytes:
        """The bytes `[offset, offset + size)`, fewer only at the end of the part.

        Raises:
            FormatError: a file that the plan names is gone, shorter than it was, or cannot be read.
            RingStorageError: the system lacks what reading takes, which says nothing of the file.
            ValueError: a negative offset or size.
        """
        if offset < 0 or size < 0:
            raise ValueError(f"offset {offset} and size {size} must not be negative")
        end = min(offset + size, self.length_bytes)
        with self._lock:
            return b"".join(self._read_pieces(offset, end))

    def chunks(self, chunk_bytes: int = _CHUNK_BYTES) -> Iterator[bytes]:
        """The whole part in order.

        Raises:
            FormatError: as `read`.
        """
        for offset in range(0, self.length_bytes, chunk_bytes):
            yield self.read(offset, chunk_bytes)

    def _read_pieces(self, offset: int, end: int) -> Iterator[bytes]:
        index = bisect_right(self._starts, offset) - 1
        while offset < end:
            piece, start = self._pieces[index], self._starts[index]
            size = min(end, start + piece.length_bytes) - offset
            yield self._read_file(piece.path, piece.offset + offset - start, size)
            offset += size
            index += 1

    def _read_file(self, path: Path, offset: int, size: int) -> bytes:
        read: list[bytes] = []
        missing = size
        try:
            descriptor = self._open(path)
            while missing and (data := os.pread(descriptor, missing, offset + size - missing)):
                read.append(data)
                missing -= len(data)
        except OSError as error:
            if is_passing(error):
                raise RingStorageError(f"cannot read {path}: {error.strerror}") from error
            raise FormatError(f"{path}: {error.strerror}") from error
        if missing:
            raise FormatError(f"{path}: ends {missing} bytes before offset {offset + size}, which the plan needs")
        return b"".join(read)

    def _open(self, path: Path) -> int:
        descriptor = self._descriptors.pop(path, None)
        if descriptor is None:
            while len(self._descriptors) >= _MAX_OPEN_FILES:
                os.close(self._descriptors.popitem(last=False)[1])
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._descriptors[path] = descriptor
        return descriptor
