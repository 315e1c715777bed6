"""The fragments of a segment, a column for each field: what planning needs of thousands of them at once.

A clip's first byte waits for every fragment between its ends. As objects they took most of that time; as columns they
are copied, compared and written a segment at a time, and become objects only where one of them is looked at.
"""

from __future__ import annotations  # array[int] is an annotation only before Python 3.12

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self, overload

from edge_agent.contract.segment_format import CLOCK_SOURCES, FragmentRecord

DIGEST_BYTES = 32
_KEY_FLAG = 1
_EARLY_FLAG = 2
_KEYS_BACK_SHIFT = 2  # six bits


class FragmentEntry(NamedTuple):
    """One synced fragment of a segment.

    Attributes:
        offset: of its `moof`, bytes from the file's beginning.
        length_bytes: `moof`, `mdat` and `uuid` together.
        payload_offset: of the first sample's first byte, bytes from the file's beginning; samples follow one another.
        record: what its `uuid` box says.
        digest: SHA-256 as its `uuid` box carries it, 32 bytes.
    """

    offset: int
    length_bytes: int
    payload_offset: int
    record: FragmentRecord
    digest: bytes


@dataclass(slots=True)
class FragmentTable(Sequence[FragmentEntry]):
    """Fragments of one segment in order; also a sequence of `FragmentEntry`.

    Attributes:
        sequence: of the segment.
        run_id: of the segment.
        offsets: array("Q"), as `FragmentEntry.offset`.
        lengths_bytes: array("I"), as `FragmentEntry.length_bytes`.
        payload_offsets: array("Q"), as `FragmentEntry.payload_offset`.
        numbers: array("I"), and the following as in `FragmentRecord`.
        first_pts_90k: array("q").
        monotonic_us: array("q").
        utc_us: array("q").
        bounds_us: array("q"); -1 where the record has none.
        samples: array("I").
        sources: array("B"), indices into `CLOCK_SOURCES`.
        flags: array("B"): 1 begins with a key frame, 2 closed early, keys to go back from bit 2 on.
        digests: 32 bytes a fragment, one after another.
    """

    sequence: int
    run_id: str
    offsets: array[int] = field(default_factory=lambda: array("Q"))
    lengths_bytes: array[int] = field(default_factory=lambda: array("I"))
    payload_offsets: array[int] = field(default_factory=lambda: array("Q"))
    numbers: array[int] = field(default_factory=lambda: array("I"))
    first_pts_90k: array[int] = field(default_factory=lambda: array("q"))
    monotonic_us: array[int] = field(default_factory=lambda: array("q"))
    utc_us: array[int] = field(default_factory=lambda: array("q"))
    bounds_us: array[int] = field(default_factory=lambda: array("q"))
    samples: array[int] = field(default_factory=lambda: array("I"))
    sources: array[int] = field(default_factory=lambda: array("B"))
    flags: array[int] = field(default_factory=lambda: array("B"))
    digests: bytes | bytearray = field(default_factory=bytearray)

    @classmethod
    def of(cls, sequence: int, run_id: str, entries: Iterable[FragmentEntry]) -> Self:
        """The table of a segment's entries."""
        table = cls(sequence, run_id)
        for entry in entries:
            table.append(entry)
        return table

    @classmethod
    def of_columns(
        cls, sequence: int, run_id: str, columns: Iterable[array[int]], digests: bytes | bytearray
    ) -> Self:
        """A table of these very columns, which are those of `columns`, and digests."""
        values: list[Any] = [*columns, digests]
        return cls(sequence, run_id, *values)

    def columns(self) -> tuple[array[int], ...]:
        """Every column but the digests, in the order of the attributes."""
        return (
            self.offsets,
            self.lengths_bytes,
            self.payload_offsets,
            self.numbers,
            self.first_pts_90k,
            self.monotonic_us,
            self.utc_us,
            self.bounds_us,
            self.samples,
            self.sources,
            self.flags,
        )

    def append(self, entry: FragmentEntry) -> None:
        """Add a fragment behind the others; one that is refused changes nothing.

        Raises:
            OverflowError: a number that does not fit its column.
            ValueError: a fragment of another segment, or a digest of another length.
        """
        record = entry.record
        if (record.sequence, record.run_id) != (self.sequence, self.run_id):
            raise ValueError(f"fragment {record.number} is of segment {record.sequence}, not of {self.sequence}")
        if len(entry.digest) != DIGEST_BYTES:
            raise ValueError(f"fragment {record.number}: a digest of {len(entry.digest)} bytes")
        values = (
            entry.offset,
            entry.length_bytes,
            entry.payload_offset,
            record.number,
            record.first_pts_90k,
            record.monotonic_us,
            record.utc_us,
            -1 if record.bound_us is None else record.bound_us,
            record.samples,
            CLOCK_SOURCES.index(record.clock_source),
            _flags(record),
        )
        columns = self.columns()
        added = [array(column.typecode, (value,)) for column, value in zip(columns, values, strict=True)]
        for column, value in zip(columns, added, strict=True):
            column.extend(value)
        self.digests += entry.digest

    def is_key(self, place: int) -> bool:
        """Whether a fragment begins with a key frame."""
        return bool(self.flags[place] & _KEY_FLAG)

    def keys_back(self, place: int) -> int:
        """`FragmentRecord.keys_back` of a fragment."""
        return self.flags[place] >> _KEYS_BACK_SHIFT

    def refreshes_gradually(self) -> bool:
        """Whether any key picture has to go back for exact pictures."""
        return max(self.flags, default=0) >= 1 << _KEYS_BACK_SHIFT

    def digests_between(self, first: int, end: int) -> bytes:
        """SHA-256 of the fragments `[first, end)`, one after another."""
        return bytes(self.digests[first * DIGEST_BYTES : end * DIGEST_BYTES])

    def __len__(self) -> int:
        """Number of fragments."""
        return len(self.offsets)

    def __iter__(self) -> Iterator[FragmentEntry]:
        """Each fragment in order."""
        return map(self._entry, range(len(self)))

    @overload
    def __getitem__(self, index: int) -> FragmentEntry: ...
    @overload
    def __getitem__(self, index: slice) -> FragmentTable: ...
    def __getitem__(self, index: int | slice) -> FragmentEntry | FragmentTable:
        """One fragment, or those that follow one another as a table of their own."""
        places = range(len(self))[index]
        if isinstance(places, int):
            return self._entry(places)
        if places.step != 1:
            raise ValueError(f"a table in steps of {places.step}")
        start, stop = places.start, max(places.start, places.stop)
        columns = (column[start:stop] for column in self.columns())
        return FragmentTable.of_columns(self.sequence, self.run_id, columns, self.digests_between(start, stop))

    def __delitem__(self, index: slice) -> None:
        """Forget fragments at the end."""
        start = range(len(self))[index].start
        for column in self.columns():
            del column[start:]
        self.digests = self.digests[: start * DIGEST_BYTES]

    def _entry(self, place: int) -> FragmentEntry:
        bound_us, flags = self.bounds_us[place], self.flags[place]
        record = FragmentRecord(
            number=self.numbers[place],
            sequence=self.sequence,
            run_id=self.run_id,
            first_pts_90k=self.first_pts_90k[place],
            monotonic_us=self.monotonic_us[place],
            utc_us=self.utc_us[place],
            bound_us=None if bound_us < 0 else bound_us,
            clock_source=CLOCK_SOURCES[self.sources[place]],
            samples=self.samples[place],
            is_key=bool(flags & _KEY_FLAG),
            closed_early=bool(flags & _EARLY_FLAG),
            keys_back=flags >> _KEYS_BACK_SHIFT,
        )
        return FragmentEntry(
            self.offsets[place],
            self.lengths_bytes[place],
            self.payload_offsets[place],
            record,
            self.digests_between(place, place + 1),
        )


def _flags(record: FragmentRecord) -> int:
    flags = (_KEY_FLAG if record.is_key else 0) | (_EARLY_FLAG if record.closed_early else 0)
    return flags | record.keys_back << _KEYS_BACK_SHIFT
