"""ISO base media file boxes (ISO/IEC 14496-12:2022 clause 4.2): heads, walking, building."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from edge_agent.contract.errors import FormatError

_HEAD = struct.Struct(">I4s")
_LARGE = struct.Struct(">Q")


@dataclass(frozen=True, slots=True)
class Box:
    """Where a box lies in the bytes that were walked."""

    kind: bytes
    offset: int
    size_bytes: int
    head_bytes: int

    @property
    def body_offset(self) -> int:
        """Offset of the first byte after the head."""
        return self.offset + self.head_bytes

    @property
    def end(self) -> int:
        """Offset of the first byte after the box."""
        return self.offset + self.size_bytes


def read_head(data: bytes | memoryview, offset: int, limit: int) -> Box:
    """Read one box head.

    Args:
        data: at least the head's bytes at `offset`.
        offset: where the box begins in `data`.
        limit: where the container ends; the box may not reach beyond it.

    Raises:
        FormatError: the head is torn, its size impossible, or the box reaches beyond `limit`.
    """
    if offset + 8 > min(limit, len(data)):
        raise FormatError(f"offset {offset}: {min(limit, len(data)) - offset} bytes are left, a box head needs 8")
    size_bytes, kind = _HEAD.unpack_from(data, offset)
    head_bytes = 8
    if size_bytes == 1:
        if offset + 16 > min(limit, len(data)):
            raise FormatError(f"offset {offset}: the 64-bit size of {kind!r} is torn")
        (size_bytes,) = _LARGE.unpack_from(data, offset + 8)
        head_bytes = 16
    if size_bytes < head_bytes:
        raise FormatError(f"offset {offset}: box {kind!r} has the impossible size {size_bytes}")
    if offset + size_bytes > limit:
        raise FormatError(f"offset {offset}: box {kind!r} of {size_bytes} bytes ends beyond {limit}")
    return Box(kind, offset, size_bytes, head_bytes)


def walk(data: bytes | memoryview, start: int = 0, end: int | None = None) -> Iterator[Box]:
    """The boxes that lie one after another in `data[start:end]`.

    Raises:
        FormatError: a box is torn or garbage.
    """
    limit = len(data) if end is None else end
    offset = start
    while offset < limit:
        box = read_head(data, offset, limit)
        yield box
        offset = box.end


def find(data: bytes | memoryview, path: tuple[bytes, ...], start: int = 0, end: int | None = None) -> Box:
    """The first box under a path of plain containers, such as `(b"moov", b"trak", b"mdia")`.

    Raises:
        FormatError: there is none.
    """
    for box in walk(data, start, end):
        if box.kind == path[0]:
            return box if len(path) == 1 else find(data, path[1:], box.body_offset, box.end)
    raise FormatError(f"no {path[0]!r} box")


def build(kind: bytes, *bodies: bytes) -> bytes:
    """A box with a 32-bit size.

    Raises:
        FormatError: 4 GiB or more.
    """
    size_bytes = 8 + sum(map(len, bodies))
    if size_bytes >= 1 << 32:
        raise FormatError(f"box {kind!r} of {size_bytes} bytes needs a 64-bit size")
    return b"".join((_HEAD.pack(size_bytes, kind), *bodies))


def build_full(kind: bytes, version: int, flags: int, *bodies: bytes) -> bytes:
    """A full box: version and flags before the body (clause 4.2.2)."""
    return build(kind, struct.pack(">I", version << 24 | flags), *bodies)


def large_head(kind: bytes, body_bytes: int) -> bytes:
    """The 16-byte head of a box whose body follows elsewhere; the 64-bit form whatever the length."""
    return _HEAD.pack(1, kind) + _LARGE.pack(16 + body_bytes)
