"""The thread that writes segments: takes units from the intake, makes fragments, appends, syncs, rotates.

What it does when the storage refuses, in this order:

1. no space: the oldest footage is given up, unpinned before pinned, and the same fragment is written again; that
   alone is no failure (retention keeps some space free before, so that it is rare);
2. any other error: the same step once more, then the segment is closed at its last synced fragment and a new one
   is opened, with the cause `storage-error`;
3. while nothing helps: it says so (`storage_ok` false and why) and tries again with capped, jittered backoff; the
   intake keeps the newest whole groups of pictures and counts what is left out.

It comes back by itself. Any other exception is a defect: the segment is closed, `on_fatal` is told, the thread ends.
"""

import errno
import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Protocol

from edge_agent.buffer.assembler import Assembler, ClosedFragment, SegmentOpening, stands
from edge_agent.buffer.hooks import RingHooks
from edge_agent.buffer.intake import Hole, Intake, Item, StreamEnded, StreamStarted
from edge_agent.buffer.segment import SegmentInfo, UtcEstimate
from edge_agent.buffer.segment_scan import cut_tail
from edge_agent.buffer.segment_writer import SegmentWriter
from edge_agent.buffer.write_figures import WriteFigures
from edge_agent.clock import Clock
from edge_agent.contract.access_unit import AccessUnit, GapCause
from edge_agent.errors import FormatError, RingStorageError
from edge_agent.retry import backoff_s, jittered
from edge_agent.settings import SyncPolicy

logger = logging.getLogger(__name__)

SYNC_INTERVAL_S = 10.0

_IDLE_S = 1.0  # and no longer, so that what a source holds back is asked for within a fragment's time
_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})
_FREELY = 4  # so often a fragment is tried again at once after footage was given up; then with pauses
_BACKOFF = jittered(0.1, 5.0)


class SegmentShelf(Protocol):
    """What the writer needs of the ring around it."""

    def open_segment(self, opening: SegmentOpening, first: AccessUnit) -> SegmentWriter:
        """A new segment file.

        Raises:
            RingStorageError: the storage refuses.
            FormatError: the codec parameters cannot be muxed.
        """
        ...

    def segment_closed(self, info: SegmentInfo | None) -> None:
        """The open segment is closed; None when nothing of it is worth keeping."""
        ...

    def free_space(self, wanted_bytes: int) -> int:
        """Give up footage at once; the number of bytes given up."""
        ...

    def stamp(self, monotonic_us: int) -> UtcEstimate:
        """UTC of an instant of this boot as best known."""
        ...


class WriterThread:
    """Writes one camera's segments until it is stopped."""

    def __init__(
        self,
        intake: Intake,
        shelf: SegmentShelf,
        figures: WriteFigures,
        clock: Clock,
        segment_s: float,
        sync: SyncPolicy,
        hooks: RingHooks,
        is_moving: Callable[[], bool] = stands,
    ) -> None:
        self._intake = intake
        self._shelf = shelf
        self._figures = figures
        self._clock = clock
        self._sync_each = sync == "fragment"
        self._hooks = hooks
        self._assembler = Assembler(segment_s, is_moving)
        self._writer: SegmentWriter | None = None
        self._opening: SegmentOpening | None = None
        self._awaits_key = False
        self._appended: ClosedFragment | None = None  # in the file: only its sync may be missing
        self._synced_us = clock.monotonic_us()
        self._thread = threading.Thread(target=self._run, name="segment-writer", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, timeout_s: float) -> bool:
        """Write what is in hand, close the segment, end; False when the storage did not let it end in time."""
        self._intake.stop()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            while not (self._intake.is_stopped and self._intake.is_empty):
                self._step()
            self._store_all(self._assembler.end_stream())
            self._close_segment()
        except Exception as error:
            # A defect: the supervisor starts the recorder again, with the segment closed as well as it can be.
            logger.exception("the segment writer failed")
            self._abandon_segment(keep_unsynced=True)
            self._hooks.on_fatal(error)

    def _step(self) -> None:
        item = self._intake.get(self._wait_s(), eager=self._assembler.flush_at_us is None)
        if item is None or self._is_time_over():
            self._hooks.before_flush()
            if item is None:  # what came by that wakes nobody, and may end the fragment
                item = self._intake.get(0.0)
        now_us = self._clock.monotonic_us()
        if item is not None:
            self._take(item, now_us)
        if self._intake.is_empty:  # what came before the time was over belongs into the same fragment
            self._store_all(self._assembler.poll(now_us))
        self._sync_when_due(now_us)

    def _is_time_over(self) -> bool:
        """Whether the fragment in hand ends with what has come by now."""
        flush_at_us = self._assembler.flush_at_us
        return flush_at_us is not None and self._clock.monotonic_us() >= flush_at_us

    def _wait_s(self) -> float:
        flush_at_us = self._assembler.flush_at_us
        if flush_at_us is None:
            return _IDLE_S
        return min(max((flush_at_us - self._clock.monotonic_us()) / 1e6, 0.001), _IDLE_S)

    def _take(self, item: Item, now_us: int) -> None:
        match item:
            case AccessUnit():
                self._store_all(self._assembler.write(item, now_us))
            case StreamStarted():
                self._store_all(self._assembler.start_stream(item.config, item.cause))
            case StreamEnded():
                self._store_all(self._assembler.end_stream())
                self._close_segment()
            case Hole():
                self._store_all(self._assembler.cut(item.cause))

    def _store_all(self, fragments: Sequence[ClosedFragment]) -> None:
        for fragment in fragments:
            if fragment.opening is not None:
                self._close_segment()
                self._opening = fragment.opening
                self._awaits_key = False
            self._store(fragment)

    def _store(self, fragment: ClosedFragment) -> None:
        """Write one fragment, however long the storage refuses; given up only when the ring is being closed."""
        if self._awaits_key and not fragment.units[0].is_key:
            self._figures.lost(len(fragment.units))
            return
        attempt = 0
        while True:
            try:
                self._write(fragment)
            except FormatError as error:
                self._refuse(fragment, error)
                return
            except RingStorageError as error:
                attempt += 1
                if not self._recover(error, attempt, len(fragment.units)):
                    self._figures.lost(len(fragment.units))
                    return
                if self._awaits_key and not fragment.units[0].is_key:
                    self._figures.lost(len(fragment.units))
                    return
            else:
                self._succeeded()
                return

    def _write(self, fragment: ClosedFragment) -> None:
        first = fragment.units[0]
        if self._writer is None:
            self._writer = self._open(first)
        if self._appended is not fragment:
            stamp = self._shelf.stamp(first.capture_us)
            self._writer.append(fragment.units, stamp, closed_early=fragment.closed_early)
            self._appended = fragment
        if self._sync_each:
            self._sync()

    def _open(self, first: AccessUnit) -> SegmentWriter:
        if self._opening is None:
            raise FormatError("a fragment came before its stream began")
        writer = self._shelf.open_segment(self._opening, first)
        self._opening = replace(self._opening, cause="rotation")
        self._awaits_key = False
        return writer

    def _refuse(self, fragment: ClosedFragment, error: FormatError) -> None:
        """Libav refuses a fragment: it is left out, and the next key frame opens a segment."""
        if self._figures.refused(str(error)):
            logger.warning("access units cannot be muxed and are left out: %s", error)
        self._figures.lost(len(fragment.units))
        self._close_segment()
        self._begin_anew("unknown")

    def _recover(self, error: RingStorageError, attempt: int, units: int) -> bool:
        """Deal with a refused write; False when the ring is being closed meanwhile."""
        lacks_space = _errno_of(error) in _NO_SPACE
        if lacks_space and self._make_space() and attempt <= _FREELY:
            if self._figures.made_space(self._clock.monotonic_us()):
                logger.warning("the disk is full, the oldest footage makes room: %s", error)
            return True
        if self._figures.failed(str(error)):
            logger.warning("recording to the ring failed: %s (%d access units in hand)", error, units)
        if not lacks_space and self._writer is not None:
            self._abandon_segment(keep_unsynced=False)
            self._begin_anew("storage-error")
        self._intake.set_cause("storage-error")
        return not self._intake.wait_stopped(backoff_s(_BACKOFF, attempt))

    def _make_space(self) -> bool:
        wanted_bytes = self._intake.size_bytes + (self._writer.size_bytes if self._writer else 0)
        return self._shelf.free_space(max(wanted_bytes, 1_000_000)) > 0

    def _succeeded(self) -> None:
        if self._figures.storage_failing:
            logger.info("recording to the ring works again")
        self._figures.worked()
        self._intake.set_cause("overload")

    def _begin_anew(self, cause: GapCause) -> None:
        if self._opening is not None:
            self._opening = replace(self._opening, cause=cause)
        self._awaits_key = True

    def _sync_when_due(self, now_us: int) -> None:
        if self._sync_each or self._writer is None or now_us - self._synced_us < SYNC_INTERVAL_S * 1e6:
            return
        try:
            self._sync()
        except RingStorageError as error:
            self._recover(error, 1, 0)

    def _sync(self) -> None:
        if self._writer is None:
            return
        begin_us = self._clock.monotonic_us()
        try:
            self._writer.sync()
        except RingStorageError:
            self._writer.sync()
        self._synced_us = self._clock.monotonic_us()
        self._figures.synced(self._synced_us - begin_us)

    def _close_segment(self) -> None:
        if self._writer is None:
            return
        try:
            self._writer.close()
        except RingStorageError as error:
            logger.warning("a segment cannot be closed: %s", error)
            self._figures.failed(str(error))
            self._abandon_segment(keep_unsynced=False)
            return
        self._shelve(self._writer.info())

    def _abandon_segment(self, *, keep_unsynced: bool) -> None:
        """Let go of a segment whose storage fails: what was synced counts, the rest is cut off if that works."""
        writer = self._writer
        if writer is None:
            return
        writer.abandon()
        info = writer.info(synced_only=not keep_unsynced)
        try:
            cut_tail(writer.path, info.size_bytes)
        except (RingStorageError, FormatError) as error:
            logger.warning("the unsynced end of %s stays: %s", writer.path, error)
        self._shelve(replace(info, closed=True))

    def _shelve(self, info: SegmentInfo) -> None:
        path = self._writer.path if self._writer else None
        self._writer = self._appended = None
        self._shelf.segment_closed(info if info.fragments else None)
        if path is not None and not info.fragments:
            with suppress(OSError):  # a storage that refuses: a header alone is removed at the next start
                path.unlink(missing_ok=True)


def _errno_of(error: RingStorageError) -> int | None:
    cause = error.__cause__
    return cause.errno if isinstance(cause, OSError) else None
