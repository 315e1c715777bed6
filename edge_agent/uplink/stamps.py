"""What every event and reply carries: who, when by which clock, and a number that shows loss.

The number rises by one a message within a boot, over restarts of the link too. It lives in a memory-mapped file under
`run/`: the kernel keeps it when the process is killed, nothing is synced, and a power cut begins a new boot, whose
numbers start at 1 anyway.
"""

import mmap
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_agent.clock import Clock
from edge_agent.contract.segment_format import ClockSource
from edge_agent.durable import make_directory

_RECORD = struct.Struct(">16sQ")


@dataclass(slots=True)
class ClockBelief:
    """Who vouches for the wall clock at present; kept up to date by the wiring.

    Attributes:
        source: `unknown` when nobody does.
        bound_us: bound of the error, µs; None when unknown.
        synced_us: UTC of the last word of a time server; None when that is not told.
        offset_us: how far the wall clock is from what chrony believes, µs; None when that is not told.
    """

    source: ClockSource = "unknown"
    bound_us: int | None = None
    synced_us: int | None = None
    offset_us: int | None = None


class SequenceCounter:
    """The number of the last message of this boot; one process at a time (the link's lock sees to it)."""

    def __init__(self, path: Path, boot_id: str) -> None:
        """Open or begin the counter.

        Raises:
            OSError: the storage refused.
        """
        make_directory(path.parent)
        boot = bytes.fromhex(boot_id)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            stored = os.pread(descriptor, _RECORD.size, 0)
            if len(stored) != _RECORD.size or stored[:16] != boot:
                # Written out, not left sparse: a full disk then fails here and not at a later memory access.
                os.pwrite(descriptor, _RECORD.pack(boot, 0), 0)
            self._map = mmap.mmap(descriptor, _RECORD.size)
        finally:
            os.close(descriptor)
        self._boot = boot
        self._last: int = _RECORD.unpack(self._map[:])[1]

    def take(self) -> int:
        """The next number."""
        self._last += 1
        self._map[:] = _RECORD.pack(self._boot, self._last)
        return self._last


@dataclass(frozen=True, slots=True)
class Stamper:
    """Makes the fields of `contract.messages.Stamp`."""

    unit_id: str
    boot_id: str
    clock: Clock
    belief: ClockBelief
    counter: SequenceCounter

    def fields(self) -> dict[str, Any]:
        """The fields of one message; each call takes a number."""
        return self.fields_without_number() | {"seq": self.counter.take()}

    def fields_without_number(self) -> dict[str, Any]:
        """The fields of a message that gets its number when it is sent."""
        bound_us = self.belief.bound_us
        return {
            "unit_id": self.unit_id,
            "boot_id": self.boot_id,
            "at": self.clock.wall_us(),
            "clock_source": self.belief.source,
            "clock_bound_ms": None if bound_us is None else -(-bound_us // 1000),
        }
