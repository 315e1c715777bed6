"""What the ring holds right now, shared by its threads: one lock, no disk access under it.

Closed segments are in the catalogue from the moment they are closed, in the index a little later; until then their
tables are kept here. A plan pins its segments, and retention takes its victims, under the same lock: what was pinned
first stays, what was taken first is not planned any more.
"""

import logging
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from edge_agent.buffer.catalogue import Catalogue, Stretch, stretches_of
from edge_agent.buffer.clock_model import Anchor, BootSpan, ClockModel
from edge_agent.buffer.index import Index
from edge_agent.buffer.layout import segment_file
from edge_agent.buffer.pins import Pins
from edge_agent.buffer.retention import Victim
from edge_agent.buffer.segment import SegmentInfo
from edge_agent.buffer.segment_scan import scan_segment
from edge_agent.buffer.segment_writer import SegmentWriter
from edge_agent.contract.clip import Interval
from edge_agent.errors import RingStorageError

logger = logging.getLogger(__name__)

_MAX_RECENT = 32
_RATE_SEGMENTS = 180
_CLOCK_STEP_US = 5_000_000
"""Vouched clocks may be set right by so much between two segments and still bear witness of their order."""

VictimPicker = Callable[[Catalogue, Pins], list[Victim]]


class Holdings:
    """The ring's state in memory; every method may be called from any thread."""

    def __init__(self, directory: Path, index: Index) -> None:
        self.directory = directory
        self._index = index
        self._lock = threading.RLock()  # protects everything below
        self._catalogue = Catalogue()
        self._pins = Pins()
        self._open: SegmentWriter | None = None
        self._recent: dict[int, SegmentInfo] = {}
        self._unindexed: set[int] = set()
        self._spans: list[BootSpan] = []
        self._anchors: dict[str, list[Anchor]] = {}
        self._clock = ClockModel((), {})
        self._unknown_bytes = 0

    @property
    def clock(self) -> ClockModel:
        """The clock model as of now; immutable."""
        with self._lock:
            return self._clock

    @property
    def lock(self) -> threading.RLock:
        """For steps that must not be interrupted: choosing segments and pinning them."""
        return self._lock

    @property
    def pins(self) -> Pins:
        """The claims; touch them with the lock held."""
        return self._pins

    def set_clock(self, spans: Sequence[BootSpan], anchors: Iterable[Anchor]) -> None:
        """Replace boots and anchors."""
        by_boot: dict[str, list[Anchor]] = {}
        for anchor in anchors:
            by_boot.setdefault(anchor.boot_id, []).append(anchor)
        with self._lock:
            self._spans, self._anchors = list(spans), by_boot
            self._clock = ClockModel(self._spans, self._anchors)

    def add_anchor(self, anchor: Anchor) -> None:
        """One anchor more."""
        with self._lock:
            self._anchors.setdefault(anchor.boot_id, []).append(anchor)
            self._clock = ClockModel(self._spans, self._anchors)

    def anchors_of(self, boot_id: str) -> list[Anchor]:
        """The anchors of a boot in the order of their making."""
        with self._lock:
            return list(self._anchors.get(boot_id, ()))

    def spans(self) -> list[BootSpan]:
        """The boots in order."""
        with self._lock:
            return list(self._spans)

    def drop_boots(self, boot_ids: Iterable[str]) -> None:
        """Forget boots without footage."""
        gone = set(boot_ids)
        with self._lock:
            self._spans = [span for span in self._spans if span.boot_id not in gone]
            self._anchors = {boot_id: found for boot_id, found in self._anchors.items() if boot_id not in gone}
            self._clock = ClockModel(self._spans, self._anchors)

    def load(self, rows: Iterable[tuple[Stretch, int]]) -> None:
        """Fill the catalogue from the index's rows, in order."""
        with self._lock:
            pending: list[Stretch] = []
            size_bytes = 0
            for row, row_bytes in rows:
                if pending and pending[0].sequence != row.sequence:
                    self._catalogue.add(pending, pending[0].sequence, size_bytes)
                    pending = []
                pending.append(row)
                size_bytes = row_bytes
            if pending:
                self._catalogue.add(pending, pending[0].sequence, size_bytes)

    def holds(self, sequence: int) -> bool:
        """Whether a closed segment is held."""
        with self._lock:
            return sequence in self._catalogue

    def newest(self, count: int) -> list[int]:
        """The newest closed segments, rising."""
        with self._lock:
            return self._catalogue.newest(count)

    def forget(self, sequences: Iterable[int]) -> None:
        """Segments are not held any more."""
        with self._lock:
            for sequence in sequences:
                self._catalogue.remove(sequence)
                self._recent.pop(sequence, None)
                self._unindexed.discard(sequence)

    def replace(self, info: SegmentInfo, *, indexed: bool) -> None:
        """What a file holds turned out to be this; a segment that is not held any more stays gone."""
        with self._lock:
            if info.sequence in self._catalogue:
                self._recent.pop(info.sequence, None)
                self._unindexed.discard(info.sequence)
                self.add(info, indexed=indexed)

    def behind(self, sequences: Iterable[int]) -> list[int]:
        """The next held segment behind each number, held or not."""
        with self._lock:
            found = {self._catalogue.neighbours(sequence)[1] for sequence in sequences}
            return sorted(number for number in found if number is not None)

    def doubt(self, sequences: Iterable[int]) -> None:
        """More may be missing before these segments than what their own word for the cause speaks of."""
        with self._lock:
            for sequence in sequences:
                self._catalogue.doubt(sequence)

    def set_open(self, writer: SegmentWriter) -> None:
        """A segment was opened."""
        with self._lock:
            self._open = writer

    def close_open(self, info: SegmentInfo | None) -> None:
        """The open segment is closed, with this content or without any."""
        with self._lock:
            self._open = None
            if info is not None:
                self.add(info, indexed=False)
                self._extend_reservations(info)

    def add(self, info: SegmentInfo, *, indexed: bool) -> None:
        """A closed segment is held."""
        with self._lock:
            self._catalogue.add(stretches_of(info), info.sequence, info.size_bytes)
            if not indexed:
                self._unindexed.add(info.sequence)
                self._recent[info.sequence] = info
                while len(self._recent) > _MAX_RECENT:
                    del self._recent[next(iter(self._recent))]

    def _extend_reservations(self, info: SegmentInfo) -> None:
        for clip_id, interval in self._pins.reservations():
            if any(self._overlaps(row, interval) for row in stretches_of(info)):
                self._pins.extend(clip_id, info.sequence)

    def _overlaps(self, row: Stretch, interval: Interval) -> bool:
        clock = self._clock
        return (
            clock.utc_us(row.boot_id, row.start_us) < interval.end_us
            and clock.utc_us(row.boot_id, row.end_us) > interval.start_us
        )

    def unindexed(self) -> list[int]:
        """Segments that the index does not know yet."""
        with self._lock:
            return sorted(self._unindexed)

    def indexed(self, sequences: Iterable[int]) -> None:
        """The index knows these now."""
        with self._lock:
            for sequence in sequences:
                self._unindexed.discard(sequence)
                self._recent.pop(sequence, None)

    def open_info(self) -> SegmentInfo | None:
        """The open segment up to its last synced fragment; None when it has none."""
        with self._lock:
            writer = self._open
        info = writer.info() if writer is not None else None
        return info if info is not None and info.fragments else None

    def stretches(self) -> list[Stretch]:
        """Everything that is held, the open segment included, joined where it is continuous."""
        with self._lock:
            rows = list(self._catalogue.merged())
            info = self.open_info()
        return rows + (stretches_of(info) if info is not None else [])

    def newest_us(self, boot_id: str) -> int | None:
        """Monotonic end of the newest synced footage, when it is of this boot."""
        info = self.open_info()
        with self._lock:
            last = stretches_of(info)[-1] if info is not None else self._catalogue.last()
        return last.end_us if last is not None and last.boot_id == boot_id else None

    def take_victims(self, pick: VictimPicker) -> list[tuple[Victim, int]]:
        """Let a policy choose segments and take them out; with the size of each."""
        with self._lock:
            victims = [
                (victim, self._catalogue.size_of(victim.sequence)) for victim in pick(self._catalogue, self._pins)
            ]
            for victim, _ in victims:
                self.doubt(self.behind([victim.sequence]))
                self._catalogue.remove(victim.sequence)
                self._recent.pop(victim.sequence, None)
                self._unindexed.discard(victim.sequence)
            return victims

    def overlapping(self, interval: Interval) -> list[int]:
        """Closed segments with footage in a UTC interval, rising."""
        with self._lock:
            found: set[int] = set()
            for boot_id in self._catalogue.boots():
                if self._clock.knows(boot_id):
                    start_us = self._clock.to_monotonic(boot_id, interval.start_us)
                    end_us = self._clock.to_monotonic(boot_id, interval.end_us)
                    found.update(self._catalogue.overlapping(boot_id, start_us, end_us))
            return sorted(found)

    def may_hold(self, unread: Sequence[int], interval: Interval) -> bool:
        """Whether files that nobody read yet, rising, may hold footage of an interval.

        What files hold follows one another as their numbers do. So a file lies before the interval when the next
        held segment begins no later than it, and behind it when the one before ends no earlier. Only segments whose
        clock somebody vouched for bear witness, the others still move while a rebuild goes on; and only where
        they do not contradict one another.
        """
        with self._lock:
            place = 0
            while place < len(unread):
                before, after = self._catalogue.neighbours(unread[place])
                end_us = (
                    None if before is None else self._vouched_us(self._catalogue.rows_of(before)[-1], is_end=True)
                )
                start_us = (
                    None if after is None else self._vouched_us(self._catalogue.rows_of(after)[0], is_end=False)
                )
                contradict = end_us is not None and start_us is not None and end_us > start_us + _CLOCK_STEP_US
                is_before = start_us is not None and start_us <= interval.start_us
                is_behind = end_us is not None and end_us >= interval.end_us
                if contradict or not (is_before or is_behind):
                    return True
                place = len(unread) if after is None else bisect_left(unread, after, place)
            return False

    def _vouched_us(self, row: Stretch, *, is_end: bool) -> int | None:
        """When a stretch began or ended; None when nobody vouches for it."""
        if not self._clock.knows(row.boot_id):
            return None
        estimate = self._clock.to_utc(row.boot_id, row.end_us if is_end else row.start_us)
        return None if estimate.source == "unknown" else estimate.utc_us

    def neighbours(self, sequence: int) -> tuple[int | None, int | None]:
        """The held segments before and after a sequence number."""
        with self._lock:
            return self._catalogue.neighbours(sequence)

    def rows_of(self, sequence: int) -> list[Stretch]:
        """The stretches of one closed segment."""
        with self._lock:
            return self._catalogue.rows_of(sequence)

    def missing(self, sequences: Iterable[int]) -> list[int]:
        """Those of the sequences that are not held."""
        with self._lock:
            info = self.open_info()
            return [number for number in sequences if number not in self._catalogue and not _is(info, number)]

    def sizes(self, sequences: Iterable[int]) -> int:
        """Bytes of these segments together."""
        with self._lock:
            return sum(map(self._catalogue.size_of, sequences))

    def read(self, sequences: Sequence[int]) -> list[SegmentInfo]:
        """Tables of closed segments: from memory, the index, or else their files; those gone are left out."""
        with self._lock:
            found = {number: self._recent[number] for number in sequences if number in self._recent}
        wanted = [number for number in sequences if number not in found]
        if wanted:
            try:
                found.update(self._index.read_segments(wanted))
            except RingStorageError as error:
                logger.warning("the index cannot be read, the files are: %s", error)
        for number in wanted:
            if number not in found and (info := self._scan(number)) is not None:
                found[number] = info
        return [found[number] for number in sorted(found)]

    def _scan(self, sequence: int) -> SegmentInfo | None:
        try:
            return scan_segment(self.directory / segment_file(sequence), self.directory, verify=False).info
        except RingStorageError as error:
            logger.warning("segment %d cannot be read: %s", sequence, error)
            return None

    def add_unknown_bytes(self, size_bytes: int) -> None:
        """Bytes more, or less, of files that are there and not catalogued yet."""
        with self._lock:
            self._unknown_bytes += size_bytes

    def size_bytes(self) -> int:
        """Bytes of all segments, the open one and not yet catalogued ones included."""
        with self._lock:
            open_bytes = self._open.size_bytes if self._open is not None else 0
            return self._catalogue.size_bytes + open_bytes + self._unknown_bytes

    def pinned_bytes(self) -> int:
        """Bytes of pinned segments, the open one left out."""
        with self._lock:
            return sum(map(self._catalogue.size_of, self._pins.sequences()))

    def bytes_before(self, sequence: int) -> int:
        """Bytes of the segments that retention would take before this one."""
        with self._lock:
            return self._catalogue.bytes_before(sequence)

    def bytes_per_s(self) -> float:
        """Of the last hours' footage; 0 when there is none."""
        with self._lock:
            size_bytes, length_us = self._catalogue.recent_sums(_RATE_SEGMENTS)
        return size_bytes / (length_us / 1e6) if length_us > 0 else 0.0

    def last_stretch(self) -> Stretch | None:
        """The newest stretch of a closed segment."""
        with self._lock:
            return self._catalogue.last()


def _is(info: SegmentInfo | None, sequence: int) -> bool:
    return info is not None and info.sequence == sequence
