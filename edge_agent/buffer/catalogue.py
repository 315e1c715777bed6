"""What the ring holds, narrow and in memory: a row a continuous stretch of a segment, in the order of recording.

Retention, coverage and the choice of a clip's segments read nothing else, so none of them waits for the disk. Rows
are columns of plain arrays: 30 days of minute segments take 2 MB.

Not thread-safe: the ring's lock protects it.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from typing import NamedTuple, get_args

from edge_agent.buffer.segment import SegmentInfo
from edge_agent.contract.access_unit import TIMESCALE_HZ, GapCause

MAX_SHORT_GAP_US = 2_000_000
"""Missing footage up to this is no gap: a clip shows the picture before it for so long (design, clip)."""

_CAUSES: tuple[GapCause, ...] = get_args(GapCause)
_OVERLAP_US = (
    5_000_000  # pictures' capture times are estimates: a segment may seem to begin before its predecessor ended
)
_CONTINUES_US = _OVERLAP_US + MAX_SHORT_GAP_US


class Stretch(NamedTuple):
    """Continuous footage of one segment.

    Attributes:
        sequence: of the segment.
        boot_id: the boot of its monotonic clock.
        run_id: the life of the recorder process.
        start_us: monotonic capture time of its first picture.
        end_us: monotonic time at which its last picture ends.
        cause: why footage before it is missing, if it is; `rotation` when none was when it was recorded.
    """

    sequence: int
    boot_id: str
    run_id: str
    start_us: int
    end_us: int
    cause: GapCause


def stretches_of(info: SegmentInfo) -> list[Stretch]:
    """The continuous stretches of a segment; more than one when the camera fell silent within, or bytes rotted."""
    header = info.header
    found: list[Stretch] = []
    cause = header.opened_cause
    start_us = end_us = number = 0
    fragments = info.fragments
    for place, (begin_us, length_us) in enumerate(zip(fragments.monotonic_us, _lengths_us(info), strict=True)):
        if place and begin_us - end_us > MAX_SHORT_GAP_US:
            found.append(Stretch(info.sequence, header.boot_id, header.run_id, start_us, end_us, cause))
            cause = "camera-lost" if fragments.numbers[place] == number + 1 else "unknown"
            start_us = begin_us
        elif not place:
            start_us = begin_us
        end_us = max(begin_us + length_us, end_us)
        number = fragments.numbers[place]
    if info.fragments:
        found.append(Stretch(info.sequence, header.boot_id, header.run_id, start_us, end_us, cause))
    return found


def _lengths_us(info: SegmentInfo) -> Iterator[int]:
    """How long each fragment's pictures last, by decode time; a fragment's last one as long as the one before it."""
    samples = info.samples
    first = 0
    for count in info.fragments.samples:
        last = first + count - 1
        if last == len(samples) - 1:
            end_90k = samples.end_90k
        else:
            nominal = samples.dts_90k[last] - samples.dts_90k[last - 1] if last > 0 else 0
            step = samples.dts_90k[last + 1] - samples.dts_90k[last]
            end_90k = samples.dts_90k[last] + min(step, max(nominal, 0) or step)
        yield (end_90k - samples.dts_90k[first]) * 1_000_000 // TIMESCALE_HZ
        first = last + 1


class Catalogue:
    """Stretches by rising sequence, and the size of each segment."""

    def __init__(self) -> None:
        self._sequence = array("q")
        self._start_us = array("q")
        self._end_us = array("q")
        self._boot = array("I")
        self._run = array("I")
        self._cause = array("B")
        self._size_bytes = array("Q")  # of the whole segment, in its first row; 0 in others
        self._names: list[str] = []
        self._numbers: dict[str, int] = {}
        self._segments = 0
        self._merged: list[Stretch] | None = None
        self._ranges: dict[int, list[tuple[int, int]]] | None = None
        self.size_bytes = 0

    def __len__(self) -> int:
        """Number of segments."""
        return self._segments

    def __contains__(self, sequence: int) -> bool:
        """Whether the segment is held."""
        low, high = self._rows(sequence)
        return low < high

    def _rows(self, sequence: int) -> tuple[int, int]:
        return bisect_left(self._sequence, sequence), bisect_right(self._sequence, sequence)

    def add(self, stretches: Sequence[Stretch], sequence: int, size_bytes: int) -> None:
        """Add a segment in its place, usually behind all others; the one of this sequence is replaced."""
        self.remove(sequence)
        low, _ = self._rows(sequence)
        for place, row in enumerate(stretches, low):
            self._sequence.insert(place, sequence)
            self._start_us.insert(place, row.start_us)
            self._end_us.insert(place, row.end_us)
            self._boot.insert(place, self._number_of(row.boot_id))
            self._run.insert(place, self._number_of(row.run_id))
            self._cause.insert(place, _CAUSES.index(row.cause))
            self._size_bytes.insert(place, size_bytes if place == low else 0)
        if stretches:
            self._segments += 1
            self.size_bytes += size_bytes
        self._ranges = None
        if low + len(stretches) < len(self._sequence):
            self._merged = None
        else:
            self._join_newest(low)

    def _join_newest(self, low: int) -> None:
        """Go on with what is merged by the rows from here on, which lie behind all others.

        A full ring gets and gives up a segment every few seconds while the unit moves: merging all anew each time
        would cost a tenth of a second.
        """
        if self._merged is None:
            return
        for index in range(low, len(self._sequence)):
            if index and self._follows(index):
                last = self._merged[-1]
                self._merged[-1] = last._replace(end_us=max(last.end_us, self._end_us[index]))
            else:
                self._merged.append(self._joined(index, index + 1))

    def remove(self, sequence: int) -> None:
        """Forget a segment; one that is not there is fine."""
        low, high = self._rows(sequence)
        if low == high:
            return
        self._segments -= 1
        self.size_bytes -= self._size_bytes[low]
        end_us = max(self._end_us[low:high])
        columns = (self._sequence, self._start_us, self._end_us, self._boot, self._run, self._cause, self._size_bytes)
        for column in columns:
            del column[low:high]
        self._ranges = None
        if low:
            self._merged = None
        else:
            self._leave_oldest(end_us)

    def _leave_oldest(self, end_us: int) -> None:
        """Take the rows that were first, up to this end, out of what is merged."""
        if self._merged is None or not self._sequence:
            self._merged = None
            return
        first = self._row(0)
        begin = first.sequence, first.start_us
        place = 0
        while place + 1 < len(self._merged) and _begin(self._merged[place + 1]) <= begin:
            place += 1
        joined = self._merged[place]
        if joined.end_us <= end_us:
            self._merged = None
            return
        self._merged[: place + 1] = [first._replace(end_us=joined.end_us)]

    def doubt(self, sequence: int) -> None:
        """More may be missing before a segment than what its file's own word for the cause speaks of."""
        low, high = self._rows(sequence)
        if low < high:
            self._cause[low] = _CAUSES.index("unknown")
            start_us = self._start_us[low]
            for place, row in enumerate(self._merged or ()):
                if row.sequence == sequence and row.start_us == start_us and self._merged is not None:
                    self._merged[place] = row._replace(cause="unknown")

    def oldest_first(self) -> Iterator[int]:
        """Every segment, without a copy; the catalogue must not change meanwhile."""
        previous = -1
        for sequence in self._sequence:
            if sequence != previous:
                yield sequence
            previous = sequence

    def newest(self, count: int) -> list[int]:
        """The newest segments, at most so many, rising."""
        found: dict[int, None] = {}
        for index in reversed(range(len(self._sequence))):
            if len(found) == count and self._sequence[index] not in found:
                break
            found[self._sequence[index]] = None
        return sorted(found)

    def size_of(self, sequence: int) -> int:
        """Bytes of a segment's file; 0 when it is not held."""
        low, high = self._rows(sequence)
        return self._size_bytes[low] if low < high else 0

    def merged(self) -> list[Stretch]:
        """Stretches of a run joined where no gap lies between; each has the sequence and cause of its first."""
        if self._merged is None:
            self._merged = [self._joined(low, high) for low, high in self._continuous()]
        return self._merged

    def _joined(self, low: int, high: int) -> Stretch:
        row = self._row(low)._replace(end_us=max(self._end_us[low:high]))
        if row.cause == "rotation" and low and self._sequence[low - 1] + 1 < row.sequence:
            return row._replace(cause="unknown")  # segments between are gone: overwritten around a pin, or lost
        return row

    def _continuous(self) -> Iterator[tuple[int, int]]:
        """Index ranges of rows that follow one another without a gap."""
        low = 0
        for index in range(1, len(self._sequence)):
            if not self._follows(index):
                yield low, index
                low = index
        if len(self._sequence):
            yield low, len(self._sequence)

    def _follows(self, index: int) -> bool:
        """Whether a row goes on where the one before it ended."""
        before = index - 1
        if self._boot[index] != self._boot[before] or self._run[index] != self._run[before]:
            return False
        return 0 <= self._start_us[index] - self._end_us[before] + _OVERLAP_US <= _CONTINUES_US

    def neighbours(self, sequence: int) -> tuple[int | None, int | None]:
        """The held segments before and after a sequence number."""
        low, high = self._rows(sequence)
        before = self._sequence[low - 1] if low > 0 else None
        after = self._sequence[high] if high < len(self._sequence) else None
        return before, after

    def bytes_before(self, sequence: int) -> int:
        """Bytes of all segments with lower numbers."""
        low, _ = self._rows(sequence)
        if low > len(self._sequence) // 2:  # what is asked for is young, as a rule
            return self.size_bytes - sum(self._size_bytes[low:])
        return sum(self._size_bytes[:low])

    def recent_sums(self, rows: int) -> tuple[int, int]:
        """Bytes and microseconds of footage of the newest segments, at least so many rows of them."""
        low = max(len(self._sequence) - rows, 0)
        length_us = sum(self._end_us[index] - self._start_us[index] for index in range(low, len(self._sequence)))
        return sum(self._size_bytes[low:]), length_us

    def rows_of(self, sequence: int) -> list[Stretch]:
        """The stretches of one segment."""
        low, high = self._rows(sequence)
        return [self._row(index) for index in range(low, high)]

    def last(self) -> Stretch | None:
        """The newest stretch."""
        return self._row(len(self._sequence) - 1) if self._sequence else None

    def boots(self) -> list[str]:
        """Ids of the boots that have footage, in the order of recording."""
        return [self._names[number] for number in self._boot_ranges()]

    def overlapping(self, boot_id: str, start_us: int, end_us: int) -> list[int]:
        """Sequences of a boot with footage in `[start_us, end_us)` of its monotonic clock, rising."""
        found: dict[int, None] = {}
        for low, high in self._boot_ranges().get(self._numbers.get(boot_id, -1), ()):
            first = max(bisect_right(self._start_us, start_us, low, high) - 1, low)
            for index in range(first, high):
                if self._start_us[index] >= end_us:
                    break
                if self._end_us[index] > start_us:
                    found[self._sequence[index]] = None
        return list(found)

    def _boot_ranges(self) -> dict[int, list[tuple[int, int]]]:
        """Index ranges of each boot; a boot's rows lie together, for sequences rise."""
        if self._ranges is None:
            self._ranges = {}
            low = 0
            while low < len(self._boot):
                high = self._end_of_boot(low)
                self._ranges.setdefault(self._boot[low], []).append((low, high))
                low = high
        return self._ranges

    def _end_of_boot(self, low: int) -> int:
        """Where the rows of the boot at `low` end, by galloping."""
        high, step = low + 1, 1
        while step:
            if high + step <= len(self._boot) and self._boot[high + step - 1] == self._boot[low]:
                high += step
                step *= 2
            else:
                step //= 2
        return high

    def _row(self, index: int) -> Stretch:
        names = self._names
        return Stretch(
            self._sequence[index],
            names[self._boot[index]],
            names[self._run[index]],
            self._start_us[index],
            self._end_us[index],
            _CAUSES[self._cause[index]],
        )

    def _number_of(self, name: str) -> int:
        number = self._numbers.get(name)
        if number is None:
            number = self._numbers[name] = len(self._names)
            self._names.append(name)
        return number


def _begin(row: Stretch) -> tuple[int, int]:
    return row.sequence, row.start_us
