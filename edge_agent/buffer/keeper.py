"""The ring's housekeeping thread: everything that writing segments must not wait for.

About once a second: closed segments are indexed, the clock is sampled, expired and surplus segments are removed, a
lost index is rebuilt a little further. Each step is bounded, and a storage that refuses is met again a second later;
what it refuses is told once when it begins and once when it ends.

Age is reckoned so that only a vouched clock destroys on its word (`clock_trust`): then footage goes by its UTC age
(footage of a boot that nobody vouched for is dated as early as it can be: it goes rather too early than too late).
While UTC is not known, an age is only what certainly passed: monotonic time of this boot, and of the boots since.
"""

import logging
import shutil
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from edge_agent.buffer.catalogue import Catalogue
from edge_agent.buffer.clock_model import PLAUSIBLE_FROM_US, Anchor
from edge_agent.buffer.clock_offers import ClockOffers
from edge_agent.buffer.clock_trust import may_destroy
from edge_agent.buffer.disposal import Disposal
from edge_agent.buffer.file_indexer import FileIndexer
from edge_agent.buffer.freed_space import FreedSpace
from edge_agent.buffer.holdings import Holdings, VictimPicker
from edge_agent.buffer.index import Index, lacks_space
from edge_agent.buffer.index_file import mark_index_damaged
from edge_agent.buffer.layout import DAMAGED_FOLDER, segment_file
from edge_agent.buffer.pins import Pins
from edge_agent.buffer.retention import Limits, Victim, below_floor, expired, for_a_write, over_limits
from edge_agent.buffer.sampler import SAMPLE_INTERVAL_S, Sampler
from edge_agent.buffer.segment import UtcEstimate
from edge_agent.clock import Clock
from edge_agent.contract.clip import Interval
from edge_agent.errors import RingStorageError

logger = logging.getLogger(__name__)

TICK_S = 1.0
MAX_VICTIMS = 16
"""Segments removed a tick; four times as many as the busiest camera closes in it."""

_HURRY_S = 0.2
"""After a month without power a whole ring is beyond its age: it has to be gone within the hour."""

_REBUILD_FILES = 25
_DAMAGED_INTERVAL_S = 3600.0
_BOOTS_KEPT = 50


@dataclass(frozen=True, slots=True)
class Room:
    """What the file system says."""

    free_bytes: int
    total_bytes: int


@dataclass(frozen=True, slots=True)
class _Spared:
    """Segments that are no space to be had: a clip waits for them, or the storage does not let them go."""

    pins: Pins
    disposal: Disposal

    def __contains__(self, sequence: object) -> bool:
        return sequence in self.pins or (isinstance(sequence, int) and self.disposal.refuses(sequence))


class Keeper:
    """Keeps one ring within its limits and its index complete."""

    def __init__(
        self,
        holdings: Holdings,
        index: Index,
        disposal: Disposal,
        sampler: Sampler,
        clock: Clock,
        boot_id: str,
        limits: Limits,
    ) -> None:
        self._directory = holdings.directory
        self._holdings = holdings
        self._index = index
        self._disposal = disposal
        self._sampler = sampler
        self._clock = clock
        self._boot_id = boot_id
        self.offers = ClockOffers(boot_id, clock, holdings.anchors_of(boot_id))
        """Where the link's GNSS time is put."""
        self._limits = limits
        self._freed = FreedSpace(clock)
        self._max_age_us = limits.max_age_us
        self._more_is_expired = False
        self._unknown: list[int] = []
        self._indexer: FileIndexer | None = None
        self._sampled_us = clock.monotonic_us()
        self._swept_us = clock.monotonic_us()
        self._trouble = ""
        self._on_fatal: Callable[[BaseException], None] | None = None
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ring-keeper", daemon=True)

    @property
    def trouble(self) -> str:
        """What the last round could not do; empty when all went well."""
        return self._trouble

    @property
    def files_to_index(self) -> int:
        """Files that a rebuild has still to read."""
        return len(self._unknown)

    def may_bring(self, interval: Interval) -> bool:
        """Whether a file that a rebuild has still to read may hold footage of an interval."""
        # Read once: a file is held before it leaves the list, so that an old list refuses at most too much.
        return self._holdings.may_hold(self._unknown, interval)

    def rebuild(self, unknown: list[int], indexer: FileIndexer) -> None:
        """Index these files, oldest first, a few a round; call it before `start`."""
        self._unknown = unknown
        self._indexer = indexer
        self._holdings.add_unknown_bytes(self._total_bytes(unknown))

    def rebuild_all(self) -> None:
        """Index every file that waits, when no thread of ours will.

        Raises:
            RingStorageError: the index cannot be written.
        """
        while self._unknown:
            self._rebuild_more()

    def start(self, on_fatal: Callable[[BaseException], None]) -> None:
        """Begin the thread; `on_fatal` is told of a defect that ends it."""
        self._on_fatal = on_fatal
        self._thread.start()

    def wake(self) -> None:
        """There is something to do."""
        self._wake.set()

    def stop(self, timeout_s: float) -> bool:
        """Index what is closed, end; False when the storage did not let it end in time."""
        self._stopping.set()
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._wake.wait(_HURRY_S if self._more_is_expired else TICK_S)
                self._wake.clear()
                self.round()
            self._guarded(self._index_closed)
        except Exception as error:
            # A defect: without retention the disk fills up, so the supervisor starts the recorder again.
            logger.exception("the ring's housekeeping failed")
            if self._on_fatal is not None:
                self._on_fatal(error)

    def round(self) -> None:
        """Everything that is due."""
        clock_steps = (self._sample_clock, self._consider_offer)
        steps = (self._index_closed, *clock_steps, self._retain, self._rebuild_more, self._sweep_damaged)
        troubles = [trouble for step in steps if (trouble := self._guarded(step))]
        trouble = troubles[0] if troubles else self._disposal.trouble
        if bool(trouble) != bool(self._trouble):
            logger.warning("ring housekeeping: %s", trouble or "works again")
        self._trouble = trouble

    def _guarded(self, step: Callable[[], None]) -> str:
        try:
            step()
        except (RingStorageError, OSError) as error:
            return str(error)
        return ""

    def _index_closed(self) -> None:
        if self._index.is_damaged:
            mark_index_damaged(self._directory)
        for sequence in self._holdings.unindexed():
            infos = self._holdings.read([sequence])
            try:
                self._index.add_segments(infos)
            except RingStorageError as error:
                if lacks_space(error):
                    self.free_space(1)
                raise
            if any(row.cause == "unknown" for row in self._holdings.rows_of(sequence)[:1]):
                self._index.doubt([sequence])  # what was before it went while it was not indexed yet
            self._holdings.indexed([sequence])

    def _sample_clock(self) -> None:
        now_us = self._clock.monotonic_us()
        if now_us - self._sampled_us < SAMPLE_INTERVAL_S * 1e6:
            return
        self._sampled_us = now_us
        self.sample()

    def sample(self) -> None:
        """Read the clock now; a reading that tells something becomes an anchor.

        Raises:
            RingStorageError: the index cannot be written; the anchor holds in memory.
        """
        known = self._holdings.anchors_of(self._boot_id)
        model = self._holdings.clock
        self._learn(self._sampler.sample(known, lambda instant_us: model.to_utc(self._boot_id, instant_us)))

    def _consider_offer(self) -> None:
        offered = self.offers.take()
        if offered is not None:
            known = self._holdings.anchors_of(self._boot_id)
            model = self._holdings.clock
            self._learn(
                self._sampler.consider(offered, known, lambda instant_us: model.to_utc(self._boot_id, instant_us))
            )

    def _learn(self, anchor: Anchor | None) -> None:
        if anchor is not None:
            self._holdings.add_anchor(anchor)
            self._index.add_anchors([anchor])

    def _may_destroy(self, now: UtcEstimate) -> bool:
        return may_destroy(now, self._holdings.anchors_of(self._boot_id), self._clock)

    def room(self) -> Room:
        """Free and total bytes of the ring's file system.

        Raises:
            OSError: the storage does not answer.
        """
        usage = shutil.disk_usage(self._directory)
        return Room(usage.free, usage.total)

    def _retain(self) -> None:
        self._more_is_expired = False
        self._disposal.retry()
        excess_bytes = 0
        if self._limits.max_bytes is not None:
            headroom_bytes = self._limits.headroom_bytes(self._holdings.bytes_per_s())
            excess_bytes = self._holdings.size_bytes() + headroom_bytes - self._limits.max_bytes

        def pick(catalogue: Catalogue, pins: Pins) -> list[Victim]:
            old = expired(catalogue, lambda number: self._is_expired(catalogue, number), MAX_VICTIMS)
            self._more_is_expired = len(old) == MAX_VICTIMS
            spared = _Spared(pins, self._disposal)
            return old or self._before_unknown(over_limits(catalogue, spared, excess_bytes, 0, MAX_VICTIMS))

        owed = len(self._disposal.owed())
        self._dispose(pick)
        if len(self._disposal.owed()) - owed >= MAX_VICTIMS:
            self._more_is_expired = False  # the storage refuses all of them: there is nothing to hurry with
        self._keep_free()
        self._prune_boots()

    def _keep_free(self) -> None:
        """Give up footage until enough is free: one segment, then, if the free space rose, as many as it takes."""
        for at_most in (1, MAX_VICTIMS - 1):
            room = self.room()
            if not self._freed.may_remove(room.free_bytes) or not self._dispose(self._for_room(room, at_most)):
                return
            if not self._freed.helped(room.free_bytes, self.room().free_bytes):
                return

    def _for_room(self, room: Room, at_most: int) -> VictimPicker:
        floor_bytes = self._limits.floor_bytes(self._holdings.bytes_per_s(), room.total_bytes)
        below_bytes = floor_bytes - room.free_bytes if floor_bytes else 0
        lacking_bytes = self._limits.min_free_bytes - room.free_bytes

        def pick(catalogue: Catalogue, pins: Pins) -> list[Victim]:
            spared = _Spared(pins, self._disposal)
            return self._before_unknown(
                over_limits(catalogue, spared, 0, lacking_bytes, at_most)
                or below_floor(catalogue, spared, below_bytes, at_most)
            )

        return pick

    def _before_unknown(self, victims: list[Victim]) -> list[Victim]:
        """While a rebuild has files to read, newer footage does not go before them: the next rounds reach them."""
        unknown = self._unknown
        return [victim for victim in victims if not unknown or victim.sequence < unknown[0]]

    def free_space(self, wanted_bytes: int) -> int:
        """Give up footage at once because a write failed for want of space; the bytes given up."""

        def pick(catalogue: Catalogue, pins: Pins) -> list[Victim]:
            return for_a_write(catalogue, _Spared(pins, self._disposal), wanted_bytes, self._disposal.refuses)

        # A storage that refuses the first ones says of what follows that it refuses it too.
        return self._dispose(pick) or self._dispose(pick)

    def _dispose(self, pick: VictimPicker) -> int:
        """Remove what is picked; the bytes of what the storage let go."""
        victims = self._holdings.take_victims(pick)
        if victims:
            reasons = ", ".join(sorted({victim.reason for victim, _ in victims}))
            logger.info("removing %d segments up to %d: %s", len(victims), victims[-1][0].sequence, reasons)
            self._disposal.remove(victim.sequence for victim, _ in victims)
        owed = self._disposal.owed() if victims else frozenset()
        return sum(size_bytes for victim, size_bytes in victims if victim.sequence not in owed)

    def _is_expired(self, catalogue: Catalogue, sequence: int) -> bool:
        row = catalogue.rows_of(sequence)[0]
        now_us = self._clock.monotonic_us()
        if self._certain_age_us(row.boot_id, row.start_us, now_us) > self._max_age_us:
            return True
        model = self._holdings.clock
        now = model.to_utc(self._boot_id, now_us)
        if not self._may_destroy(now) or not model.knows(row.boot_id):
            return False
        recorded_us = model.utc_us(row.boot_id, row.start_us)
        return recorded_us > PLAUSIBLE_FROM_US and now.utc_us - recorded_us > self._max_age_us

    def _certain_age_us(self, boot_id: str, monotonic_us: int, now_us: int) -> int:
        """The time that certainly passed since an instant: footage spans of the boots since, and this boot's own."""
        if boot_id == self._boot_id:
            return now_us - monotonic_us
        spans = self._holdings.spans()
        places = [place for place, span in enumerate(spans) if span.boot_id == boot_id]
        if not places:
            return 0
        since = spans[places[0] + 1 :]
        between_us = sum(span.last_us - span.first_us for span in since if span.boot_id != self._boot_id)
        return max(spans[places[0]].last_us - monotonic_us, 0) + between_us + now_us

    def _prune_boots(self) -> None:
        """Forget the oldest boots without footage; the newest of them still hold later ones in their order."""
        spans = self._holdings.spans()
        if len(spans) <= _BOOTS_KEPT:
            return
        held = {row.boot_id for row in self._holdings.stretches()} | {self._boot_id}
        first = next(place for place, span in enumerate(spans) if span.boot_id in held)
        gone = [span.boot_id for span in spans[: max(first - _BOOTS_KEPT, 0)]]
        if gone:
            self._index.drop_boots(gone)
            self._holdings.drop_boots(gone)

    def _rebuild_more(self) -> None:
        if not self._unknown or self._indexer is None:
            return
        batch = self._unknown[:_REBUILD_FILES]
        batch_bytes = self._total_bytes(batch)
        self._indexer.take(batch, verify=False)
        self._unknown = self._unknown[_REBUILD_FILES:]
        self._holdings.add_unknown_bytes(-batch_bytes)
        if not self._unknown:
            logger.warning("the index is complete again")

    def _sweep_damaged(self) -> None:
        """Files set aside go at the age limit, too; their age counts from when they were set aside."""
        now_us = self._clock.monotonic_us()
        if now_us - self._swept_us < _DAMAGED_INTERVAL_S * 1e6:
            return
        self._swept_us = now_us
        now = self._holdings.clock.to_utc(self._boot_id, now_us)
        if not self._may_destroy(now):
            return
        for path in (self._directory / DAMAGED_FOLDER).iterdir():
            set_aside_us = path.stat().st_mtime_ns // 1000
            if PLAUSIBLE_FROM_US < set_aside_us < now.utc_us - self._max_age_us:
                path.unlink()

    def _total_bytes(self, sequences: Iterable[int]) -> int:
        total_bytes = 0
        for sequence in sequences:
            try:
                total_bytes += (self._directory / segment_file(sequence)).stat().st_size
            except OSError as error:  # gone, or rotten: whoever reads it deals with it
                logger.warning("segment %d, which is not indexed: %s", sequence, error.strerror)
        return total_bytes
