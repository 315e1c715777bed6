"""What is happening now: whether footage comes in, why not, and every figure of `RecorderState`."""

import threading
from dataclasses import dataclass, replace

from edge_agent.buffer.coverage import Span, timeline
from edge_agent.buffer.holdings import Holdings
from edge_agent.buffer.intake import Intake
from edge_agent.buffer.keeper import Keeper
from edge_agent.buffer.retention import Limits
from edge_agent.buffer.segment import UtcEstimate
from edge_agent.buffer.write_figures import WriteFigures
from edge_agent.clock import Clock
from edge_agent.contract.access_unit import AccessUnit, CodecConfig, GapCause
from edge_agent.contract.clip import Interval
from edge_agent.contract.names import CameraName, HexId, UnitId
from edge_agent.contract.ring_protocol import CaptureFigures, ClockState, RecorderState
from edge_agent.contract.segment_format import PositionStamp

YOUNG_US = 5_000_000
"""A stream whose last frame is older is not recording, connected or not."""

_LATE_US = 10_000_000  # footage that is not synced after this is missing
_NEXT_FRAGMENT_US = 1_500_000
_LEAST_RATE_BYTES_PER_S = 1.0


@dataclass(frozen=True, slots=True)
class RingContext:
    """Who records, where, and in which life: what every segment says of itself."""

    unit_id: UnitId
    boot_id: HexId
    run_id: HexId
    software_version: str
    deployment_id: str = "bench"
    position: PositionStamp | None = None


@dataclass(slots=True)
class _Stream:
    """The stream as capture last told; times are monotonic.

    `gap_cause` is why there is no footage right before the next one, `cause` why there is none now: a recorder that
    was started after a power cut and finds no camera has another of each.
    """

    config: CodecConfig | None = None
    is_open: bool = False
    starts: int = 0
    last_frame_us: int | None = None
    changed_us: int = 0
    cause: GapCause = "start"
    gap_cause: GapCause = "start"
    detail: str = ""


class LiveState:
    """The recorder's figures; any thread may read, capture's thread tells what happens."""

    def __init__(
        self,
        camera: CameraName,
        context: RingContext,
        clock: Clock,
        holdings: Holdings,
        keeper: Keeper,
        intake: Intake,
        figures: WriteFigures,
        limits: Limits,
    ) -> None:
        self.software_version = context.software_version
        self._camera = camera
        self._context = context
        self._clock = clock
        self._holdings = holdings
        self._keeper = keeper
        self._intake = intake
        self._figures = figures
        self._limits = limits
        self._opened_us = clock.monotonic_us()
        self._lock = threading.Lock()  # protects _stream
        first = self._first_cause()
        self._stream = _Stream(changed_us=self._opened_us, cause=first, gap_cause=first)

    def _first_cause(self) -> GapCause:
        last = self._holdings.last_stretch()
        if last is None:
            return "start"
        return "restart" if last.boot_id == self._context.boot_id else "boot"

    def stream_started(self, config: CodecConfig, cause: GapCause) -> GapCause:
        """A stream begins; why there was no footage right before it."""
        with self._lock:
            stream = self._stream
            gap_cause = cause if stream.is_open else self._gap_cause(stream)
            stream.config, stream.is_open, stream.detail = config, True, ""
            stream.starts += 1
            stream.last_frame_us = None
            return gap_cause

    def _gap_cause(self, stream: _Stream) -> GapCause:
        """Of what came together before a run's first footage, the cause of most of the gap."""
        return stream.cause if stream.starts == 0 and self._waited_longest() else stream.gap_cause

    def _waited_longest(self) -> bool:
        """Whether this run waited for its camera for longer than nobody ran before it."""
        last = self._holdings.last_stretch()
        clock = self._holdings.clock
        boot_id = self._context.boot_id
        if last is None or not clock.knows(last.boot_id):
            return False
        off_us = clock.utc_us(boot_id, self._opened_us) - clock.utc_us(last.boot_id, last.end_us)
        return self._clock.monotonic_us() - self._opened_us > off_us

    def unit_arrived(self, unit: AccessUnit) -> bool:
        """A unit came; False when no stream was started, so that it cannot be written."""
        came_us = self._clock.monotonic_us() if unit.received_us is None else unit.received_us
        with self._lock:
            stream = self._stream
            if not stream.is_open:
                return False
            if stream.last_frame_us is None or came_us - stream.last_frame_us > YOUNG_US:
                stream.changed_us = came_us
            stream.last_frame_us = came_us
        self._figures.arrived(unit, came_us)
        return True

    def stream_ended(self, cause: GapCause, detail: str) -> bool:
        """The stream ended; False when none was open, and only the reason for the gap is news."""
        with self._lock:
            stream = self._stream
            was_open = stream.is_open
            stream.cause = cause
            if stream.starts > 0:
                stream.gap_cause = cause
            if was_open:
                stream.changed_us = self._clock.monotonic_us()
            stream.is_open, stream.detail = False, detail
            return was_open

    def now(self) -> UtcEstimate:
        """UTC now as best known."""
        return self._holdings.clock.to_utc(self._context.boot_id, self._clock.monotonic_us())

    def missing_cause(self) -> GapCause | None:
        """Why nothing is being recorded; None while it is."""
        now_us = self._clock.monotonic_us()
        with self._lock:
            stream = self._stream
            if not stream.is_open:
                return stream.cause
            begun_us = stream.last_frame_us if stream.last_frame_us is not None else stream.changed_us
            if now_us - begun_us > YOUNG_US:
                return "camera-lost"
            return None if stream.last_frame_us is not None else stream.gap_cause

    def is_rebuilding(self) -> bool:
        """Files wait to be indexed."""
        return self._keeper.files_to_index > 0

    def rebuild_trouble(self) -> str:
        """What keeps the ring's housekeeping from going on; empty when all is well."""
        return self._keeper.trouble

    def may_find_more(self, interval: Interval) -> bool:
        """Whether a lost index that is being rebuilt may come to know footage of an interval."""
        return self._keeper.may_bring(interval)

    def timeline(self) -> list[Span]:
        """Footage and gaps up to now."""
        now = self.now()
        cause = self.missing_cause()
        with self._lock:
            if cause is not None and self._stream.starts == 0:
                cause = self._gap_cause(self._stream)
        newest_us = self._holdings.newest_us(self._context.boot_id)
        is_late = newest_us is None or self._clock.monotonic_us() - newest_us > _LATE_US
        if cause is None and is_late:
            cause = "storage-error" if self._figures.storage_failing else "overload"
        return timeline(self._holdings.stretches(), self._holdings.clock, now.utc_us, cause)

    def ready_at(self, end_us: int) -> int | None:
        """When an interval's end will have been recorded; None when what there is, is all there will be."""
        now = self.now()
        if end_us > now.utc_us:
            return end_us + 2 * 1_000_000
        if self.missing_cause() is not None or self._figures.storage_failing:
            return None
        boot_id = self._context.boot_id
        newest_us = self._holdings.newest_us(boot_id)
        if newest_us is not None and self._holdings.clock.utc_us(boot_id, newest_us) >= end_us:
            return None
        return now.utc_us + _NEXT_FRAGMENT_US

    def capacity_bytes(self) -> int:
        """What the ring may take of its file system, all told.

        Raises:
            OSError: the storage does not answer.
        """
        size_bytes = self._holdings.size_bytes()
        room = self._keeper.room()
        floor_bytes = self._limits.floor_bytes(self._holdings.bytes_per_s(), room.total_bytes)
        spare_bytes = max(room.free_bytes - max(self._limits.min_free_bytes, floor_bytes), 0)
        capacity_bytes = size_bytes + spare_bytes
        return capacity_bytes if self._limits.max_bytes is None else min(capacity_bytes, self._limits.max_bytes)

    def hours_until_overwrite(self) -> float | None:
        """Until the ring is full and its oldest footage goes, at the last hours' rate; None without footage."""
        rate = self._holdings.bytes_per_s()
        if rate < _LEAST_RATE_BYTES_PER_S:
            return None
        return max(self.capacity_bytes() - self._holdings.size_bytes(), 0) / rate / 3600

    def overwrite_at(self, sequence: int) -> int | None:
        """UTC at which a segment goes if nothing pins it: by bytes or by age, whichever comes first."""
        rows = self._holdings.rows_of(sequence)
        clock = self._holdings.clock
        by_age_us = clock.utc_us(rows[0].boot_id, rows[0].start_us) + self._limits.max_age_us if rows else None
        rate = self._holdings.bytes_per_s()
        if rate < _LEAST_RATE_BYTES_PER_S:
            return by_age_us
        ahead_bytes = max(self.capacity_bytes() - self._holdings.size_bytes(), 0) + self._holdings.bytes_before(
            sequence
        )
        by_bytes_us = self.now().utc_us + round(ahead_bytes / rate * 1e6)
        return by_bytes_us if by_age_us is None else min(by_age_us, by_bytes_us)

    def figures(self, warnings: tuple[str, ...], capture: CaptureFigures | None = None) -> RecorderState:
        """Every figure.

        Raises:
            RingError: a boot without clock anchor, which cannot be.
        """
        now, now_us = self.now(), self._clock.monotonic_us()
        written = self._figures.snapshot(now_us)
        cause = self.missing_cause()
        with self._lock:
            stream = replace(self._stream)
        oldest_us, newest_us = self._ends()
        config = stream.config
        trouble = written.storage_detail or self._keeper.trouble
        since_us = self._since_us(stream, cause)
        return RecorderState(
            camera=self._camera,
            recording=cause is None,
            cause=cause,
            detail=stream.detail or written.refused,
            since_us=self._holdings.clock.utc_us(self._context.boot_id, since_us),
            last_frame_age_s=_age_s(stream.last_frame_us, now_us),
            frames_per_second=written.frames_per_second,
            bitrate_kbps=written.bitrate_kbps,
            width_px=config.width_px if config else None,
            height_px=config.height_px if config else None,
            codec=config.codec if config else None,
            warnings=warnings,
            dropped_units=self._intake.dropped_units + written.lost_units,
            stream_restarts=max(stream.starts - 1, 0),
            oldest_us=oldest_us,
            newest_us=newest_us,
            size_bytes=self._holdings.size_bytes(),
            pinned_bytes=self._holdings.pinned_bytes(),
            free_bytes=self._free_bytes(),
            write_errors=written.write_errors,
            space_errors=written.space_errors,
            sync_p50_ms=written.sync_p50_ms,
            sync_max_ms=written.sync_max_ms,
            storage_ok=not trouble,
            storage_detail=trouble,
            clock=ClockState(source=now.source, bound_us=now.bound_us, utc_us=now.utc_us),
            boot_id=self._context.boot_id,
            run_id=self._context.run_id,
            capture=capture,
        )

    def _since_us(self, stream: _Stream, cause: GapCause | None) -> int:
        fell_silent = stream.is_open and cause is not None and stream.last_frame_us is not None
        return stream.last_frame_us + YOUNG_US if fell_silent and stream.last_frame_us else stream.changed_us

    def _ends(self) -> tuple[int | None, int | None]:
        """UTC of the oldest and of the newest footage."""
        rows = self._holdings.stretches()
        clock = self._holdings.clock
        if not rows:
            return None, None
        return clock.utc_us(rows[0].boot_id, rows[0].start_us), clock.utc_us(rows[-1].boot_id, rows[-1].end_us)

    def _free_bytes(self) -> int | None:
        try:
            return self._keeper.room().free_bytes
        except OSError:
            return None


def _age_s(at_us: int | None, now_us: int) -> float | None:
    return None if at_us is None else round((now_us - at_us) / 1e6, 3)
