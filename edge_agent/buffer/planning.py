"""Answering a clip request: check, pin, plan, make durable, answer.

Procedure of a plan, and what a power cut after each step leaves:

1. choose segments and pin them, under the ring's lock     – nothing (pins without a plan's file are not kept)
2. read their tables, compute the parts                    – nothing
3. write the plan's files (`clip.store`, synced)           – the plan, which pins its segments at the next start
4. mirror it in the index, answer                          – the same

Repeating a request gives the plan that is there. A request whose end is not recorded yet is reserved: what is there
is pinned, what comes is pinned as it comes, and the request is made again.
"""

import logging
import threading
from collections.abc import Sequence
from pathlib import Path

from edge_agent.buffer.catalogue import MAX_SHORT_GAP_US
from edge_agent.buffer.clip.plan import PlannedClip, plan_parts
from edge_agent.buffer.clip.store import list_plans, plan_path, read_plan, remove_plan, sweep_unfinished, write_plan
from edge_agent.buffer.coverage import Span, clipped, gaps
from edge_agent.buffer.holdings import Holdings
from edge_agent.buffer.index import Index
from edge_agent.buffer.layout import plan_file_name
from edge_agent.buffer.live_state import LiveState
from edge_agent.buffer.mending import Mender
from edge_agent.buffer.pins import MAX_PINNED_SHARE, Pin
from edge_agent.buffer.segment import SegmentInfo
from edge_agent.contract.access_unit import TIMESCALE_HZ
from edge_agent.contract.clip import ClipPlan, Interval
from edge_agent.contract.codes import ErrorCode
from edge_agent.contract.commands import MAX_CLIP_S, MAX_FUTURE_S
from edge_agent.contract.manifest import MAX_MANIFEST_BYTES, manifest_bound_bytes
from edge_agent.contract.ring_protocol import PlanRequest, PlanResult
from edge_agent.contract.times import format_utc
from edge_agent.contract.upload import MAX_PARTS
from edge_agent.errors import ContractError, FormatError, RingRequestError, RingStorageError

logger = logging.getLogger(__name__)

READY_AFTER_US = 2_000_000
"""The last fragment of an interval is closed and synced so long after its end, as a rule."""

_SUMMARY_BYTES = 16_000
_HOPELESS = frozenset(
    {
        ErrorCode.INTERVAL_EMPTY,
        ErrorCode.INTERVAL_INVALID,
        ErrorCode.INTERVAL_OVERWRITTEN,
        ErrorCode.FOOTAGE_DAMAGED,
    }
)
"""Refusals that asking again does not mend: a reservation has nothing to wait for any more."""

MAX_REACH_S = 15 * 60
"""How far before an interval the key frame of its first picture is looked for, in seconds of media.

Cameras with a smart codec stretch a group of pictures over a still street to minutes.
"""


class Planner:
    """Plans and releases clips of one ring; any thread may call, one request is worked off at a time."""

    def __init__(
        self,
        holdings: Holdings,
        index: Index,
        live: LiveState,
        plans_directory: Path,
        unit_id: str,
        camera: str,
        *,
        max_pinned_share: float | None = MAX_PINNED_SHARE,
    ) -> None:
        """`max_pinned_share` is that of the ring that clips may hold; None where nothing is overwritten."""
        self._holdings = holdings
        self._index = index
        self._mender = Mender(holdings, index)
        self._live = live
        self._plans_directory = plans_directory
        self._unit_id = unit_id
        self._camera = camera
        self._max_pinned_share = max_pinned_share
        self._lock = threading.Lock()  # one request at a time

    def load(self) -> int:
        """Take the plans that are on disk into the pins; the highest segment number that they name.

        Raises:
            RingStorageError: the storage refused.
        """
        try:
            sweep_unfinished(self._plans_directory)
            clip_ids = list_plans(self._plans_directory)
        except OSError as error:
            raise RingStorageError(f"cannot read {self._plans_directory}: {error.strerror}") from error
        mirrored = self._index.plans()
        for clip_id in mirrored.keys() - set(clip_ids):
            self._index.drop_plan(clip_id)
        highest = 0
        for clip_id in clip_ids:
            pin = self._pin_of(clip_id, mirrored.get(clip_id))
            if pin is not None:
                with self._holdings.lock:
                    self._holdings.pins.put(clip_id, pin)
                highest = max(highest, *pin.sequences, 0)
        return highest

    def _pin_of(self, clip_id: str, mirrored: tuple[bytes, list[int]] | None) -> Pin | None:
        if mirrored is not None:
            try:
                result = PlanResult.from_json(mirrored[0], _SUMMARY_BYTES)
            except ContractError:
                logger.warning("the index's copy of plan %s is unreadable: the plan itself is read", clip_id)
            else:
                if result.state == "planned":
                    return Pin(frozenset(mirrored[1]), None, result)
        try:
            plan = read_plan(plan_path(self._plans_directory, clip_id))
        except FormatError as error:
            logger.warning("plan %s pins nothing: %s", clip_id, error)
            return None
        sequences = frozenset(piece.sequence for part in plan.parts for piece in part.ranges)
        reserved = plan.asked if plan.state == "reserved" else None
        if reserved is not None:
            sequences = frozenset(self._holdings.overlapping(reserved))
        return Pin(sequences, reserved, _result_of(plan, plan_file_name(self._camera, clip_id)))

    def plans(self) -> list[str]:
        """Clips with a plan."""
        with self._holdings.lock:
            return self._holdings.pins.clip_ids()

    def release(self, clip_id: str) -> bool:
        """Remove a plan and its pins; False when there was none.

        Raises:
            RingStorageError: the storage refused; the plan stays.
        """
        with self._lock:
            return self._drop(clip_id)

    def _drop(self, clip_id: str) -> bool:
        try:
            existed = remove_plan(self._plans_directory, clip_id)
        except OSError as error:
            raise RingStorageError(f"cannot remove plan {clip_id}: {error.strerror}") from error
        with self._holdings.lock:
            self._holdings.pins.drop(clip_id)
        self._mirror_dropped(clip_id)
        return existed

    def plan(self, request: PlanRequest) -> PlanResult:
        """Plan a clip and pin its segments.

        Raises:
            RingRequestError: the request is rejected; `code` says why.
            RingStorageError: the storage refused.
        """
        with self._lock:
            pin = self._holdings.pins.get(request.clip_id)
            if pin is not None and pin.reserved is None and pin.result is not None:
                return pin.result
            _check_interval(request.interval)
            now_us = self._live.now().utc_us
            if request.interval.end_us > now_us + MAX_FUTURE_S * 1_000_000:
                raise RingRequestError(
                    ErrorCode.INTERVAL_IN_FUTURE,
                    f"the interval ends at {format_utc(request.interval.end_us)}, now is {format_utc(now_us)};"
                    f" the unit waits for at most {MAX_FUTURE_S} s",
                )
            ready_at_us = self._live.ready_at(request.interval.end_us)
            try:
                if ready_at_us is not None:
                    return self._reserve(request, now_us, ready_at_us)
                return self._plan(request, now_us)
            except RingRequestError as refusal:
                self._restore(request.clip_id, pin)
                if pin is not None and refusal.code in _HOPELESS:
                    self._drop(request.clip_id)
                raise
            except BaseException:
                self._restore(request.clip_id, pin)
                raise

    def _check_all_is_known(self, interval: Interval, reach_us: int = 0) -> None:
        """Refuse, for now, what would be a clip with holes where the footage lies in files that nobody read yet."""
        begin_us = max(interval.start_us - reach_us, 0)
        if self._live.may_find_more(Interval(start_us=begin_us, end_us=interval.end_us)):
            raise self._not_known_yet(interval)

    def _not_known_yet(self, interval: Interval) -> RingRequestError:
        trouble = self._live.rebuild_trouble()
        hindered = f" and does not get on ({trouble})" if trouble else ""
        return RingRequestError(
            ErrorCode.STORAGE_ERROR,
            f"the index is being rebuilt{hindered}, not all footage from {format_utc(interval.start_us)} to"
            f" {format_utc(interval.end_us)} is known yet: ask again",
        )

    def _restore(self, clip_id: str, pin: Pin | None) -> None:
        """A request that failed leaves the pins as they were."""
        with self._holdings.lock:
            self._holdings.pins.drop(clip_id)
            if pin is not None:
                self._holdings.pins.put(clip_id, pin)

    def _reserve(self, request: PlanRequest, now_us: int, ready_at_us: int) -> PlanResult:
        sequences = self._pin(request, self._live.capacity_bytes(), reserved=True)
        result = PlanResult(
            state="reserved",
            plan_file=plan_file_name(self._camera, request.clip_id),
            length_bytes=0,
            parts=0,
            ready_at_us=ready_at_us,
        )
        plan = self._plan_of(request, now_us, PlannedClip((), (), (), None))
        self._store(plan, (), Pin(sequences, request.interval, result))
        return result

    def _plan(self, request: PlanRequest, now_us: int) -> PlanResult:
        self._check_all_is_known(request.interval)
        self._pin(request, self._live.capacity_bytes(), reserved=False)
        segments = self._segments(request)
        spans = self._live.timeline()
        try:
            clip = plan_parts(segments, self._holdings.clock, request.interval, gaps(spans, request.interval))
        except FormatError as error:
            raise RingRequestError(ErrorCode.FOOTAGE_DAMAGED, str(error)) from error
        if not clip.parts:
            raise self._nothing(request.interval, spans)
        _check_size(clip)
        plan = self._plan_of(request, now_us, clip)
        used = frozenset(piece.sequence for part in clip.parts for piece in part.ranges)
        self._claim(request.clip_id, used)
        result = _result_of(plan, plan_file_name(self._camera, request.clip_id))
        result = result.model_copy(update={"overwrite_at_us": self._live.overwrite_at(min(used))})
        self._store(plan, clip.headers, Pin(used, None, result))
        return result

    def _pin(self, request: PlanRequest, capacity_bytes: int, *, reserved: bool) -> frozenset[int]:
        """Pin what overlaps the interval, before anything else is done with it."""
        holdings = self._holdings
        with holdings.lock:
            sequences = frozenset(self._wanted(request.interval))
            info = holdings.open_info()
            claimed = sequences | {info.sequence} if info is not None else sequences
            self._check_share(sequences, capacity_bytes)
            holdings.pins.put(request.clip_id, Pin(claimed, request.interval if reserved else None))
        return claimed

    def _claim(self, clip_id: str, used: frozenset[int]) -> None:
        """Pin exactly what the plan names; all of it must still be there (age spares nothing, the clock may move)."""
        with self._holdings.lock:
            self._holdings.pins.put(clip_id, Pin(used))
            missing = self._holdings.missing(used)
        if missing:
            raise RingRequestError(
                ErrorCode.STORAGE_ERROR, f"{len(missing)} segments were removed while the clip was planned: ask again"
            )

    def _check_share(self, sequences: frozenset[int], capacity_bytes: int) -> None:
        """Refuse what would let clips hold more than their share of the ring."""
        if self._max_pinned_share is None:
            return
        holdings = self._holdings
        new_bytes = holdings.sizes(number for number in sequences if number not in holdings.pins)
        pinned_bytes = holdings.pinned_bytes()
        allowed_bytes = round(capacity_bytes * self._max_pinned_share)
        if new_bytes and pinned_bytes + new_bytes > allowed_bytes:
            raise RingRequestError(
                ErrorCode.STORAGE_ERROR,
                f"clips that wait hold {pinned_bytes} bytes; with {new_bytes} more they would exceed"
                f" {allowed_bytes}, half of what the ring may take: fetch or cancel some first",
            )

    def _wanted(self, interval: Interval) -> list[int]:
        """Closed segments that overlap; the one before, where the entry point may lie; the one after a gap."""
        holdings = self._holdings
        found = holdings.overlapping(interval)
        info = holdings.open_info()
        if not found:
            return [] if info is None else self._before(info.sequence, info.header.run_id)
        first, last = holdings.rows_of(found[0])[0], holdings.rows_of(found[-1])[-1]
        found[:0] = self._before(first.sequence, first.run_id)
        if holdings.clock.utc_us(last.boot_id, last.end_us) < interval.end_us:
            after = holdings.neighbours(found[-1])[1]
            found += [] if after is None else [after]
        return found

    def _before(self, sequence: int, run_id: str) -> list[int]:
        """The segment before, if of the same run: a segment that was cut hard does not begin with a key frame."""
        before = self._holdings.neighbours(sequence)[0]
        if before is None or self._holdings.rows_of(before)[-1].run_id != run_id:
            return []
        return [before]

    def _segments(self, request: PlanRequest) -> list[SegmentInfo]:
        # The open segment first: if it is closed meanwhile, it is found among the closed ones.
        info = self._holdings.open_info()
        segments = self._read(self._wanted(request.interval))
        if info is not None and all(segment.sequence != info.sequence for segment in segments):
            segments.append(info)
        return [*self._leading_to(segments[0], request), *segments] if segments else []

    def _leading_to(self, first: SegmentInfo, request: PlanRequest) -> list[SegmentInfo]:
        """The segments before, back to the key frame that the interval's first picture is decoded from; pinned.

        Raises:
            RingRequestError: they would exceed the share of the ring that clips may hold, or lie in files that nobody
                read yet.
        """
        capacity_bytes = self._live.capacity_bytes()
        found: list[SegmentInfo] = []
        farthest_90k = _begin_90k(first) - MAX_REACH_S * TIMESCALE_HZ
        while _begin_90k(first) > farthest_90k and not self._can_begin(first, request.interval.start_us):
            before = self._read(self._pin_before(first, request.clip_id, capacity_bytes))
            if not before:
                self._check_all_is_known(request.interval, MAX_REACH_S * 1_000_000)
                break
            first = before[0]
            found[:0] = before
        return found

    def _can_begin(self, segment: SegmentInfo, start_us: int) -> bool:
        """Whether decoding can begin in a segment for what is shown from an instant on.

        A gradually refreshed key picture counts only when the keys that it needs lie in the segment too.
        """
        boot_id, clock, fragments = segment.header.boot_id, self._holdings.clock, segment.fragments
        keys = filter(fragments.is_key, range(len(fragments)))
        return any(
            fragments.keys_back(place) <= keys_before
            and (fragments.numbers[place] == 1 or clock.utc_us(boot_id, fragments.monotonic_us[place]) <= start_us)
            for keys_before, place in enumerate(keys)
        )

    def _pin_before(self, first: SegmentInfo, clip_id: str, capacity_bytes: int) -> list[int]:
        """The segment before, pinned, if its footage leads to this one's without a gap."""
        holdings = self._holdings
        with holdings.lock:
            found = self._before(first.sequence, first.header.run_id)
            if found:
                begin_us = first.fragments.monotonic_us[0]
                if begin_us - holdings.rows_of(found[0])[-1].end_us > MAX_SHORT_GAP_US:
                    return []
                self._check_share(frozenset(found), capacity_bytes)
                holdings.pins.extend(clip_id, found[0])
        return found

    def _read(self, sequences: Sequence[int]) -> list[SegmentInfo]:
        """Tables of closed segments as their files are now."""
        return self._holdings.read(self._mender.sound(sequences))

    def _nothing(self, interval: Interval, spans: Sequence[Span]) -> RingRequestError:
        if self._live.is_rebuilding():
            return self._not_known_yet(interval)  # never final: what is read next may move what is dated by it
        asked = f"{format_utc(interval.start_us)} to {format_utc(interval.end_us)}"
        if not spans:
            return RingRequestError(ErrorCode.INTERVAL_EMPTY, "the ring holds no footage yet")
        if interval.end_us <= spans[0].start_us:
            oldest = format_utc(spans[0].start_us)
            return RingRequestError(
                ErrorCode.INTERVAL_OVERWRITTEN, f"the oldest footage is of {oldest}; asked: {asked}"
            )
        if any(span.held for span in clipped(spans, interval.start_us, interval.end_us)):
            return RingRequestError(
                ErrorCode.INTERVAL_EMPTY,
                f"no picture was taken from {asked}, or the key frame that it needs is not held in the"
                f" {MAX_REACH_S // 60} minutes of footage before it",
            )
        causes = ", ".join(dict.fromkeys(gap.cause for gap in gaps(spans, interval))) or "unknown"
        return RingRequestError(ErrorCode.INTERVAL_EMPTY, f"nothing was recorded from {asked}: {causes}")

    def _plan_of(self, request: PlanRequest, now_us: int, clip: PlannedClip) -> ClipPlan:
        return ClipPlan(
            clip_id=request.clip_id,
            unit_id=self._unit_id,
            camera=self._camera,
            state="planned" if clip.parts else "reserved",
            asked=request.interval,
            delivered=clip.delivered,
            gaps=clip.gaps,
            parts=clip.parts,
            created_us=now_us,
            requester=request.requester,
            software_version=self._live.software_version,
        )

    def _store(self, plan: ClipPlan, headers: Sequence[bytes], pin: Pin) -> None:
        try:
            write_plan(self._plans_directory, plan, headers)
        except OSError as error:
            raise RingRequestError(
                ErrorCode.STORAGE_ERROR, f"the plan of clip {plan.clip_id} cannot be stored: {error.strerror}"
            ) from error
        with self._holdings.lock:
            self._holdings.pins.put(plan.clip_id, pin)
        if pin.result is not None:
            self._mirror(plan.clip_id, pin.result, pin.sequences)

    def _mirror(self, clip_id: str, result: PlanResult, sequences: frozenset[int]) -> None:
        try:
            self._index.set_plan(clip_id, result.to_json(), sorted(sequences))
        except RingStorageError as error:
            logger.warning("plan %s is not mirrored in the index; its file holds: %s", clip_id, error)

    def _mirror_dropped(self, clip_id: str) -> None:
        try:
            self._index.drop_plan(clip_id)
        except RingStorageError as error:
            logger.warning("the index still names plan %s, which is gone: %s", clip_id, error)


def _begin_90k(segment: SegmentInfo) -> int:
    return segment.samples.dts_90k[0]


def _check_interval(interval: Interval) -> None:
    if interval.end_us <= interval.start_us:
        raise RingRequestError(ErrorCode.INTERVAL_INVALID, "the interval's end is not after its beginning")
    if interval.end_us - interval.start_us > MAX_CLIP_S * 1_000_000:
        raise RingRequestError(
            ErrorCode.INTERVAL_INVALID, f"the interval is longer than {MAX_CLIP_S} s: ask for it in pieces"
        )


def _check_size(clip: PlannedClip) -> None:
    """Refuse what could be sent and then not be taken: a camera of key frames alone closes a fragment a picture."""
    fragments = sum(len(part.fragments) for part in clip.parts)
    if len(clip.parts) > MAX_PARTS or (
        manifest_bound_bytes(fragments, len(clip.parts), len(clip.gaps)) > MAX_MANIFEST_BYTES
    ):
        raise RingRequestError(
            ErrorCode.INTERVAL_INVALID,
            f"{fragments} fragments in {len(clip.parts)} parts are more than one clip can list: ask for it in pieces",
        )


def _result_of(plan: ClipPlan, plan_file: str) -> PlanResult:
    return PlanResult(
        state=plan.state,
        plan_file=plan_file,
        length_bytes=plan.length_bytes,
        parts=len(plan.parts),
        delivered=plan.delivered,
    )
