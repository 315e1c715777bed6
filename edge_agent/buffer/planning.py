"""Answering a clip request: check, pin, plan, make durable, answer.

Procedure of a plan, and what a power cut after each step leaves:

1. choose segments and pin them, under the ring's lock     – nothing (pins without a plan's file are not kept)
2. read their tables, compute the parts                    – nothing
3. write the plan's files (`clip.store`, synced)           – the plan, which pins its segments at the next start
4. mirror it in the index, answer                          – the same

Repeating a request gives the plan that is there. A request whose end is not recorded yet is reserved: what is there
is pinned, what comes is pinned as it comes, and the request is made again.
"""

import threading
from collections.abc import Sequence
from pathlib import Path

from edge_agent.buffer.choosing import MAX_REACH_S, Chooser, check_all_is_known, not_known_yet
from edge_agent.buffer.clip.plan import PlannedClip, plan_parts
from edge_agent.buffer.coverage import Span, clipped, gaps
from edge_agent.buffer.holdings import Holdings
from edge_agent.buffer.index import Index
from edge_agent.buffer.layout import plan_file_name
from edge_agent.buffer.live_state import LiveState
from edge_agent.buffer.mending import Mender
from edge_agent.buffer.pins import MAX_PINNED_SHARE, Pin
from edge_agent.buffer.plan_shelf import PlanShelf, result_of
from edge_agent.contract.clip import ClipPlan, Interval
from edge_agent.contract.codes import ErrorCode
from edge_agent.contract.commands import MAX_CLIP_S, MAX_FUTURE_S
from edge_agent.contract.manifest import MAX_MANIFEST_BYTES, manifest_bound_bytes
from edge_agent.contract.ring_protocol import PlanRequest, PlanResult
from edge_agent.contract.times import format_utc
from edge_agent.contract.upload import MAX_PARTS
from edge_agent.errors import FormatError, RingRequestError

_HOPELESS = frozenset(
    {
        ErrorCode.INTERVAL_EMPTY,
        ErrorCode.INTERVAL_INVALID,
        ErrorCode.INTERVAL_OVERWRITTEN,
        ErrorCode.FOOTAGE_DAMAGED,
    }
)
"""Refusals that asking again does not mend: a reservation has nothing to wait for any more."""


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
        self._live = live
        self._shelf = PlanShelf(holdings, index, plans_directory, camera)
        self._chooser = Chooser(holdings, Mender(holdings, index), live, max_pinned_share)
        self._unit_id = unit_id
        self._camera = camera
        self._lock = threading.Lock()  # one request at a time

    def load(self) -> int:
        """Take the plans that are on disk into the pins; the highest segment number that they name.

        Raises:
            RingStorageError: the storage refused.
        """
        return self._shelf.load()

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
            return self._shelf.drop(clip_id)

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
                    self._shelf.drop(request.clip_id)
                raise
            except BaseException:
                self._restore(request.clip_id, pin)
                raise

    def _restore(self, clip_id: str, pin: Pin | None) -> None:
        """A request that failed leaves the pins as they were."""
        with self._holdings.lock:
            self._holdings.pins.drop(clip_id)
            if pin is not None:
                self._holdings.pins.put(clip_id, pin)

    def _reserve(self, request: PlanRequest, now_us: int, ready_at_us: int) -> PlanResult:
        sequences = self._chooser.pin(request, reserved=True)
        result = PlanResult(
            state="reserved",
            plan_file=plan_file_name(self._camera, request.clip_id),
            length_bytes=0,
            parts=0,
            ready_at_us=ready_at_us,
        )
        plan = self._plan_of(request, now_us, PlannedClip((), (), (), None))
        self._shelf.put(plan, (), Pin(sequences, request.interval, result))
        return result

    def _plan(self, request: PlanRequest, now_us: int) -> PlanResult:
        check_all_is_known(self._live, request.interval)
        self._chooser.pin(request, reserved=False)
        segments = self._chooser.segments(request)
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
        self._chooser.claim(request.clip_id, used)
        result = result_of(plan, plan_file_name(self._camera, request.clip_id))
        result = result.model_copy(update={"overwrite_at_us": self._live.overwrite_at(min(used))})
        self._shelf.put(plan, clip.headers, Pin(used, None, result))
        return result

    def _nothing(self, interval: Interval, spans: Sequence[Span]) -> RingRequestError:
        if self._live.is_rebuilding():
            return not_known_yet(self._live, interval)  # never final: what is read next may move what is dated by it
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
    positions = sum(len(part.positions) for part in clip.parts)
    if len(clip.parts) > MAX_PARTS or (
        manifest_bound_bytes(fragments, len(clip.parts), len(clip.gaps), positions) > MAX_MANIFEST_BYTES
    ):
        raise RingRequestError(
            ErrorCode.INTERVAL_INVALID,
            f"{fragments} fragments in {len(clip.parts)} parts are more than one clip can list: ask for it in pieces",
        )
