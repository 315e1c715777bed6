"""Records: what goes out, and how pictures come in.

A record is a head of 52 bytes, a payload and the head's checksum once more, so that a stream into which anything was
written, or of which anything is missing, is noticed before a picture of it is used. Little endian:

    0  4  magic "EGS1"                    16  8  presentation stamp, running time in ns
    4  1  kind                            24  8  decode stamp, running time in ns, negative before B-frames
    5  1  flags (units)                   32  8  duration in ns
    6  2  0                               40  8  CLOCK_MONOTONIC in ns that the presentation stamp stands for
    8  4  payload bytes                   48  4  CRC-32 of bytes 0 to 47
    12 4  number, from 0, modulo 2^32

A time that is not known is -2^63. Kinds: 1 hello (JSON), 2 caps (JSON: what the units that follow are), 3 unit (one
coded picture, or one raw picture in GStreamer's default layout), 4 event (JSON: an error or warning of the pipeline),
5 end (JSON: the reason; nothing follows), 6 picture (input: one raw picture). Flags: 1 decoding can begin here, 2
data is missing before it, 4 damaged.
"""

import json
import os
import struct
import threading
import zlib
from typing import TypeAlias

Times: TypeAlias = "tuple[int, int, int, int]"

MAGIC = b"EGS1"
HEAD = struct.Struct("<4sBBHIIqqqq")
CHECK = struct.Struct("<I")
UNKNOWN = -(1 << 63)
NO_TIMES = (UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN)
HELLO, CAPS, UNIT, EVENT, END, PICTURE = range(1, 7)
KEY, DISCONTINUOUS, DAMAGED = 1, 2, 4


class Records:
    """Writes records, from any thread."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()  # protects the number, and keeps records whole
        self._number = 0
        self._left: list[memoryview] = []

    def write(
        self, kind: int, payload: bytes = b"", flags: int = 0, times: Times = NO_TIMES, is_last: bool = True
    ) -> None:
        """Write one record, unless another one follows at once; waits as long as the recorder does not read."""
        with self._lock:
            head = HEAD.pack(MAGIC, kind, flags, 0, len(payload), self._number, *times)
            check = CHECK.pack(zlib.crc32(head))
            self._number = (self._number + 1) & 0xFFFFFFFF
            left = self._left
            left += [memoryview(head + check), memoryview(payload), memoryview(check)]
            while left and is_last:
                written = os.writev(self._descriptor, left)
                while left and written >= len(left[0]):
                    written -= len(left.pop(0))
                if left:
                    left[0] = left[0][written:]

    def tell(self, kind: int, **fields: object) -> None:
        """Write a record of JSON."""
        self.write(kind, json.dumps(fields).encode())
