"""Positioned reading of a file that nothing is assumed about."""

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from csu.verify.progress import Progress, untold
from csu.verify.regular_file import open_regular
from edge_agent.contract.boxes import Box, read_head
from edge_agent.contract.errors import FormatError

_BLOCK_BYTES = 1 << 20
_HEAD_BYTES = 16


class FileBytes:
    """A file open for reading; every failure is a FormatError that says where."""

    def __init__(self, path: Path, progress: Progress = untold, on_unreadable: Callable[[], None] = untold) -> None:
        """Open it.

        Args:
            path: the file.
            progress: called for each read.
            on_unreadable: called when it is the storage that does not give the file or its bytes.

        Raises:
            FormatError: it is no regular file, or cannot be opened.
        """
        self._progress = progress
        self._on_unreadable = on_unreadable
        try:
            self._descriptor = open_regular(path)
            self.size_bytes = os.fstat(self._descriptor).st_size
        except OSError as error:
            on_unreadable()
            raise FormatError(f"cannot be opened: {error.strerror}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)

    def read(self, offset: int, size: int) -> bytes:
        """Exactly `size` bytes.

        Raises:
            FormatError: the file ends before, or cannot be read.
        """
        pieces: list[bytes] = []
        missing = size
        try:
            while missing and (data := os.pread(self._descriptor, missing, offset + size - missing)):
                pieces.append(data)
                missing -= len(data)
        except OSError as error:
            self._on_unreadable()
            raise FormatError(f"offset {offset}: {error.strerror}") from error
        self._progress()
        if missing:
            raise FormatError(f"offset {offset}: {size} bytes expected, {size - missing} are there")
        return b"".join(pieces)

    def blocks(self, start: int, end: int) -> Iterator[bytes]:
        """The bytes `[start, end)`, a MiB at a time.

        Raises:
            FormatError: as `read`.
        """
        for offset in range(start, end, _BLOCK_BYTES):
            yield self.read(offset, min(_BLOCK_BYTES, end - offset))

    def sha256(self) -> str:
        """Hex digest of the whole file.

        Raises:
            FormatError: as `read`.
        """
        digest = hashlib.sha256()
        for block in self.blocks(0, self.size_bytes):
            digest.update(block)
        return digest.hexdigest()

    def box(self, offset: int, limit: int) -> Box:
        """The box that begins at an offset of the file and ends no later than `limit`.

        Raises:
            FormatError: torn or garbage.
        """
        head = self.read(offset, max(0, min(_HEAD_BYTES, limit - offset)))
        try:
            box = read_head(head, 0, limit - offset)
        except FormatError as error:
            raise FormatError(f"box at {offset}: {error}") from error
        return replace(box, offset=offset)

    def whole_box(self, offset: int, limit: int, kind: bytes, max_bytes: int) -> tuple[Box, bytes]:
        """A box of this kind with all its bytes.

        Raises:
            FormatError: torn, garbage, of another kind, or larger than `max_bytes`.
        """
        box = self.box(offset, limit)
        if box.kind != kind:
            raise FormatError(f"offset {offset}: box {box.kind!r} stands where {kind!r} is expected")
        if box.size_bytes > max_bytes:
            raise FormatError(
                f"offset {offset}: box {kind!r} of {box.size_bytes} bytes, at most {max_bytes} are read"
            )
        return box, self.read(offset, box.size_bytes)
