"""A camera's ring: takes access units, keeps their segments, answers what others ask of them.

    capture ─► intake ─► writer thread ─► segment files
                              │ closed segments
                              ▼
                         holdings ◄─► keeper thread ─► index, retention, clock
                              ▲
                     planner, coverage ◄─ server threads

One process at a time owns a ring (`ring_lock`); it is the only one that touches the index.
"""

import logging
import shutil
import threading
from pathlib import Path
from typing import Self

from edge_agent.buffer.assembler import SegmentOpening
from edge_agent.buffer.coverage import DAY_US, clipped, days, newest, page
from edge_agent.buffer.file_indexer import FileIndexer, Recovered
from edge_agent.buffer.holdings import Holdings
from edge_agent.buffer.hooks import RingHooks
from edge_agent.buffer.index import Index
from edge_agent.buffer.intake import Intake, StreamEnded, StreamStarted
from edge_agent.buffer.keeper import Keeper
from edge_agent.buffer.layout import PLANS_FOLDER
from edge_agent.buffer.live_state import LiveState, RingContext
from edge_agent.buffer.new_segments import NewSegments
from edge_agent.buffer.planning import Planner
from edge_agent.buffer.recovery import open_ring, with_room
from edge_agent.buffer.retention import limits_of
from edge_agent.buffer.ring_lock import RingLock, take_ring
from edge_agent.buffer.sampler import Sampler
from edge_agent.buffer.segment import SegmentInfo, UtcEstimate
from edge_agent.buffer.segment_writer import SegmentWriter, StorageCalls
from edge_agent.buffer.whereabouts import Whereabouts
from edge_agent.buffer.write_figures import WriteFigures
from edge_agent.buffer.writer_thread import WriterThread
from edge_agent.clock import Clock
from edge_agent.clock_source import ClockProbe, SystemClockProbe
from edge_agent.contract.access_unit import AccessUnit, CodecConfig, GapCause
from edge_agent.contract.messages import CameraCoverage
from edge_agent.contract.ring_protocol import (
    ClockOffer,
    CoveragePage,
    CoveragePageRequest,
    PlanRequest,
    PlanResult,
    PositionNotice,
    RecorderState,
)
from edge_agent.contract.segment_format import SegmentHeader
from edge_agent.errors import RingStorageError
from edge_agent.paths import ring_directory
from edge_agent.settings import CameraSettings

__all__ = ["Ring", "RingContext"]

logger = logging.getLogger(__name__)

CLOSE_TIMEOUT_S = 2.5
"""How long `close` waits for the disk: SIGTERM ends a recorder, its camera's library included, within 5 s."""

_MIN_QUEUE_BYTES = 16_000_000
_MAX_QUEUE_BYTES = 64_000_000
_QUEUE_S = 20


class Ring:
    """One camera's ring, owned by this process; a `StreamSink`.

    `start_stream`, `write` and `end_stream` never block; all else may wait for the disk and may be called from any
    thread.
    """

    def __init__(
        self,
        camera: CameraSettings,
        context: RingContext,
        clock: Clock,
        lock: RingLock,
        index: Index,
        holdings: Holdings,
        keeper: Keeper,
        next_sequence: int,
    ) -> None:
        """Use `open`."""
        self._camera = camera
        self._context = context
        self._clock = clock
        self._lock = lock
        self._index = index
        self._holdings = holdings
        self._keeper = keeper
        self._new_segments = NewSegments(holdings.directory, next_sequence)
        self._intake = Intake(_queue_bytes(camera))
        self._whereabouts = Whereabouts(context.position, clock)
        self._figures = WriteFigures()
        limits = limits_of(camera)
        self._live = LiveState(camera.name, context, clock, holdings, keeper, self._intake, self._figures, limits)
        plans_directory = holdings.directory / PLANS_FOLDER
        self._planner = Planner(holdings, index, self._live, plans_directory, context.unit_id, camera.name)
        self._hooks = RingHooks()
        self._writer: WriterThread | None = None
        self.storage = StorageCalls()
        """What reaches the disk; tests of failing disks put theirs here."""
        self._closing = threading.Lock()  # protects _closed
        self._closed = False

    @classmethod
    def open(
        cls,
        data_dir: Path,
        camera: CameraSettings,
        context: RingContext,
        clock: Clock,
        *,
        probe: ClockProbe | None = None,
        hooks: RingHooks | None = None,
        record: bool = True,
    ) -> Self:
        """Take a camera's ring, recover it, begin to record what is written to it.

        Args:
            data_dir: the unit's data directory.
            camera: its settings.
            context: who records.
            clock: the clocks.
            probe: says who vouches for the wall clock; this machine's when None.
            hooks: what the ring asks of the recorder around it; defects are logged when None.
            record: False to read and plan only, as the command line does; nothing is retained or written then.

        Raises:
            RingBusyError: another live process owns the ring.
            RingStorageError: the storage refused.
        """
        directory = ring_directory(data_dir, camera.name)
        lock = take_ring(directory)
        try:
            ring = with_room(
                directory,
                _free_bytes,
                lambda: cls._recovered(directory, camera, context, clock, lock, probe or SystemClockProbe(clock)),
            )
        except BaseException:
            lock.release()
            raise
        if record:
            ring.begin(hooks or RingHooks())
        return ring

    @classmethod
    def _recovered(
        cls,
        directory: Path,
        camera: CameraSettings,
        context: RingContext,
        clock: Clock,
        lock: RingLock,
        probe: ClockProbe,
    ) -> Self:
        opened = open_ring(directory)
        index, holdings, recovered = opened.index, opened.holdings, opened.recovered
        try:
            index.add_boot(context.boot_id, recovered.next_sequence, clock.monotonic_us())
            holdings.set_clock(index.boots(), index.anchors())
            sampler = Sampler(probe, context.boot_id)
            keeper = Keeper(holdings, index, opened.disposal, sampler, clock, context.boot_id, limits_of(camera))
            keeper.sample()
            _continue_rebuild(directory, index, holdings, keeper, recovered)
            ring = cls(camera, context, clock, lock, index, holdings, keeper, recovered.next_sequence)
            ring._load_plans(recovered.next_sequence)
        except BaseException:
            index.close()
            raise
        return ring

    def _load_plans(self, next_sequence: int) -> None:
        """A number that a plan names is not given out again, even when index and files are lost."""
        first = max(next_sequence, self._planner.load() + 1)
        self._new_segments = NewSegments(self._holdings.directory, first)

    def begin(self, hooks: RingHooks) -> None:
        """Start writing and housekeeping; `open` calls it."""
        self._hooks = hooks
        self._writer = WriterThread(
            self._intake,
            self,
            self._figures,
            self._clock,
            self._camera.segment_s,
            self._camera.sync,
            hooks,
            self._whereabouts.is_moving,
        )
        self._writer.start()
        self._keeper.start(hooks.on_fatal)

    def complete_index(self) -> None:
        """Read every file that a lost index leaves unknown: for who opened the ring without recording.

        Raises:
            RingStorageError: the storage refused.
        """
        try:
            self._keeper.rebuild_all()
        except OSError as error:
            raise RingStorageError(f"cannot complete the index of {self._holdings.directory}: {error}") from error

    def close(self) -> None:
        """Write what is in hand, close the segment and the index, let the ring go; safe to repeat."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
        self._hooks.before_flush()
        self.end_stream("stopped", "the recorder was stopped")
        written = self._writer is None or self._writer.stop(CLOSE_TIMEOUT_S)
        kept = self._keeper.stop(CLOSE_TIMEOUT_S / 4)
        if not written or not kept:
            logger.warning("the storage is too slow: the ring is left as it is, the next start recovers it")
            return
        self._index.close()
        self._lock.release()

    def start_stream(self, config: CodecConfig, cause: GapCause) -> None:
        """A continuous stream begins, or its parameters changed: the next unit opens a segment."""
        self._intake.put(StreamStarted(config, self._live.stream_started(config, cause)))

    def write(self, unit: AccessUnit) -> None:
        """The next access unit in decode order."""
        if self._live.unit_arrived(unit):
            self._intake.put_unit(unit)

    def end_stream(self, cause: GapCause, detail: str) -> None:
        """The stream ended: what is in hand is written and synced, and the gap that begins gets this cause."""
        if self._live.stream_ended(cause, detail):
            self._intake.put(StreamEnded(cause, detail))

    def plan(self, request: PlanRequest) -> PlanResult:
        """Plan a clip and pin its segments; the same `clip_id` again gets the same plan.

        Raises:
            RingRequestError: the request is rejected; `code` says why.
            RingStorageError: the storage refused.
        """
        return self._planner.plan(request)

    def release(self, clip_id: str) -> bool:
        """Remove a plan and its pins; False when there was none.

        Raises:
            RingStorageError: the storage refused; the plan stays.
        """
        return self._planner.release(clip_id)

    def plans(self) -> list[str]:
        """Ids of the clips that have a plan."""
        return self._planner.plans()

    def place(self, notice: PositionNotice) -> None:
        """Where the unit is: what new segments say, and how long they get.

        Raises:
            RingRequestError: the notice tells of the future.
        """
        self._whereabouts.take(notice)

    def offer_clock(self, offer: ClockOffer) -> None:
        """GNSS time, for the clock model to learn from.

        Raises:
            RingRequestError: the offer is not of now, or not of this boot.
        """
        self._keeper.offers.put(offer)

    def state_figures(self) -> RecorderState:
        """The recorder's figures, as the ring knows them."""
        self._hooks.before_flush()  # the age of the last picture is not that of the last that was handed over
        return self._live.figures(self._hooks.warnings(), self._hooks.capture())

    def coverage(self, max_intervals: int) -> CameraCoverage:
        """What the ring holds, with the newest intervals of the last 24 hours.

        Raises:
            OSError: the storage does not answer.
        """
        spans = self._live.timeline()
        now_us = self._live.now().utc_us
        intervals, truncated = newest(clipped(spans, now_us - DAY_US, now_us), max_intervals)
        footage = [span for span in spans if span.held]
        hours = self._live.hours_until_overwrite()
        return CameraCoverage(
            camera=self._camera.name,
            oldest_us=footage[0].start_us if footage else None,
            newest_us=footage[-1].end_us if footage else None,
            size_bytes=self._holdings.size_bytes(),
            hours_until_overwrite=None if hours is None else round(hours, 2),
            days=days(spans),
            last_24h=intervals,
            truncated=truncated,
        )

    def coverage_page(self, request: CoveragePageRequest) -> CoveragePage:
        """One page of footage and gaps between two instants.

        Raises:
            RingRequestError: the cursor is none that a page gave.
        """
        return page(self._live.timeline(), request)

    def open_segment(self, opening: SegmentOpening, first: AccessUnit) -> SegmentWriter:
        """A new segment file; called by the writer thread.

        Raises:
            RingStorageError: the storage refuses.
            FormatError: the codec parameters cannot be muxed.
        """
        writer = self._new_segments.create(
            opening.config, lambda sequence: self._header(opening, sequence, first), self.storage
        )
        self._holdings.set_open(writer)
        return writer

    def _header(self, opening: SegmentOpening, sequence: int, first: AccessUnit) -> SegmentHeader:
        context, config = self._context, opening.config
        opened = self.stamp(first.capture_us)
        return SegmentHeader(
            unit_id=context.unit_id,
            camera=self._camera.name,
            sequence=sequence,
            boot_id=context.boot_id,
            run_id=context.run_id,
            deployment_id=context.deployment_id,
            position=self._whereabouts.stamp_at(first.capture_us),
            codec=config.codec,
            width_px=config.width_px,
            height_px=config.height_px,
            frame_rate_fps=config.frame_rate_fps,
            opened_cause=opening.cause,
            wall_us=opened.utc_us,
            monotonic_us=first.capture_us,
            clock_source=opened.source,
            clock_bound_us=opened.bound_us,
            warnings=self._hooks.warnings(),
            software_version=context.software_version,
        )

    def segment_closed(self, info: SegmentInfo | None) -> None:
        """The open segment is closed; called by the writer thread."""
        self._holdings.close_open(info)
        self._keeper.wake()

    def free_space(self, wanted_bytes: int) -> int:
        """Give up footage at once; called by the writer thread when a write finds no space."""
        return self._keeper.free_space(wanted_bytes)

    def stamp(self, monotonic_us: int) -> UtcEstimate:
        """UTC of an instant of this boot as best known."""
        return self._holdings.clock.to_utc(self._context.boot_id, monotonic_us)


def _free_bytes(directory: Path) -> int:
    return shutil.disk_usage(directory).free


def _queue_bytes(camera: CameraSettings) -> int:
    """Twenty seconds of the camera, within bounds that fit a small board's memory."""
    return min(max(camera.bitrate_kbps * 125 * _QUEUE_S, _MIN_QUEUE_BYTES), _MAX_QUEUE_BYTES)


def _continue_rebuild(
    directory: Path, index: Index, holdings: Holdings, keeper: Keeper, recovered: Recovered
) -> None:
    if recovered.unknown:
        keeper.rebuild(recovered.unknown, FileIndexer(directory, index, holdings, recovered, newest=-1, is_lost=True))
