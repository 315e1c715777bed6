"""Records between a recorder and the process that runs its pipeline; the format stands in `pipeline_child.records`.

Nothing that comes is believed: a record is handed out when its head is sound, its number follows the one before and
the checksum behind its payload agrees. A plugin that writes into the stream, a torn record and plain garbage end the
reading with an error that says where.
"""

import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from edge_agent.contract.errors import FormatError

MAGIC = b"EGS1"
_HEAD = struct.Struct("<4sBBHIIqqqq")
_CHECK = struct.Struct("<I")
HEAD_BYTES = _HEAD.size + _CHECK.size
_UNKNOWN = -(1 << 63)
_NUMBERS = 1 << 32

MAX_PICTURE_BYTES = 64 << 20
"""A raw picture of 8192 × 5461 pixels at 12 bits each."""
MAX_JSON_BYTES = 1 << 16


class Kind(IntEnum):
    """What a record is."""

    HELLO = 1
    CAPS = 2
    UNIT = 3
    EVENT = 4
    END = 5
    PICTURE = 6


_KINDS = frozenset(Kind)
_PICTURES = frozenset({Kind.UNIT, Kind.PICTURE})


@dataclass(frozen=True, slots=True)
class Times:
    """Of a picture, in ns; None where it is not known.

    Attributes:
        pts: presentation, on the pipeline's running time.
        dts: decoding, likewise.
        duration: of the picture.
        capture: CLOCK_MONOTONIC of the instant that `pts` stands for.
    """

    pts: int | None = None
    dts: int | None = None
    duration: int | None = None
    capture: int | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """One record, sound.

    Attributes:
        kind: what it is.
        payload: JSON, or a picture.
        times: of a picture.
        is_key: decoding can begin here.
        is_discontinuous: data is missing before it.
        is_damaged: it is not whole.
    """

    kind: Kind
    payload: bytes
    times: Times = Times()
    is_key: bool = False
    is_discontinuous: bool = False
    is_damaged: bool = False


class Stream(Protocol):
    """Where records come from: as `io.BufferedReader` over a pipe."""

    def read(self, size: int, /) -> bytes:
        """So many bytes, fewer at the end alone."""
        ...


class RecordReader:
    """Takes a stream apart; after an error nothing more can be read from it."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._number = 0

    def read(self) -> Record | None:
        """The next record; None at the end of the stream. Waits for it.

        Raises:
            FormatError: what came is no record, not the one that was due, or torn.
        """
        head = self._stream.read(HEAD_BYTES)
        if not head:
            return None
        kind, flags, size, times = self._parse(head)
        payload = self._stream.read(size)
        check = self._stream.read(_CHECK.size)
        if len(payload) + len(check) < size + _CHECK.size:
            raise FormatError(f"record {self._number} is torn: {size} bytes announced, {len(payload)} came")
        if check != head[_HEAD.size :]:
            raise FormatError(f"record {self._number} is broken: something else wrote into the stream")
        self._number = (self._number + 1) % _NUMBERS
        return Record(kind, payload, times, bool(flags & 1), bool(flags & 2), bool(flags & 4))

    def _parse(self, head: bytes) -> tuple[Kind, int, int, Times]:
        if len(head) < HEAD_BYTES:
            raise FormatError(f"record {self._number} is torn: its head has {len(head)} of {HEAD_BYTES} bytes")
        magic, kind, flags, zero, size, number, *times = _HEAD.unpack_from(head)
        if magic != MAGIC or _CHECK.pack(zlib.crc32(head[: _HEAD.size])) != head[_HEAD.size :]:
            raise FormatError(f"what came instead of record {self._number} is none: {head[:16].hex(' ')}…")
        if number != self._number:
            raise FormatError(f"record {number} came where {self._number} was due")
        if zero or flags > 7 or kind not in _KINDS:
            raise FormatError(f"record {number} is of a kind that is not known: {kind}, flags {flags}")
        limit = MAX_PICTURE_BYTES if kind in _PICTURES else MAX_JSON_BYTES
        if size > limit:
            raise FormatError(f"record {number} announces {size} bytes; a record of its kind has {limit} at most")
        return Kind(kind), flags, size, Times(*(None if time == _UNKNOWN else time for time in times))


class RecordWriter:
    """Makes records; one writer a stream."""

    def __init__(self) -> None:
        self._number = 0

    def frame(self, record: Record) -> tuple[bytes, bytes, bytes]:
        """What to write, one behind the other."""
        times = record.times
        stamps = (times.pts, times.dts, times.duration, times.capture)
        flags = record.is_key | record.is_discontinuous << 1 | record.is_damaged << 2
        size = len(record.payload)
        known = (_UNKNOWN if stamp is None else stamp for stamp in stamps)
        head = _HEAD.pack(MAGIC, record.kind, flags, 0, size, self._number, *known)
        check = _CHECK.pack(zlib.crc32(head))
        self._number = (self._number + 1) % _NUMBERS
        return head + check, record.payload, check
