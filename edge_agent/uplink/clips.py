"""`clip.request`, step by step: each state of the table (`states`) has one function that leads out of it.

A step asks a neighbour first (every such call is safe to repeat by the clip's id) and commits afterwards; a commit
that finds the command in another state (cancelled meanwhile) does nothing. What waits, waits for a wake or for time.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edge_agent.clock import Clock
from edge_agent.contract.clip import Interval, Requester
from edge_agent.contract.codes import RETRIABLE, ErrorCode
from edge_agent.contract.commands import ClipRequest
from edge_agent.contract.event_names import EventName
from edge_agent.contract.messages import Progress
from edge_agent.contract.ring_protocol import PlanRequest, PlanResult
from edge_agent.contract.times import format_utc
from edge_agent.errors import LedgerError, RingError, RingRequestError, TransferInterruptedError
from edge_agent.retry import backoff_s, jittered
from edge_agent.settings import UploadSettings
from edge_agent.uplink.events import Events
from edge_agent.uplink.ledger import ClipFacts, Entry, Ledger, Step, fail
from edge_agent.uplink.old_plans import release_old_plans
from edge_agent.uplink.pace import ProgressPace
from edge_agent.uplink.ports import RingPort, TransferPort
from edge_agent.uplink.replies import Replies
from edge_agent.uplink.states import State

logger = logging.getLogger(__name__)

_BACKOFF = jittered(1.0, 60.0)
_RECHECK_S = 60.0
_TRY_AGAIN = RETRIABLE | {ErrorCode.NOT_YET}


@dataclass(slots=True)
class Signals:
    """What a transfer reported of one clip, and the wake of whoever drives it."""

    wake: asyncio.Event = field(default_factory=asyncio.Event)
    outcome: Step | None = None
    manifest_sha256: str | None = None


class ClipDriver:
    """Drives clip requests to their end; the listener of the transfers."""

    def __init__(
        self,
        ledger: Ledger,
        rings: Mapping[str, RingPort],
        transfers: TransferPort,
        upload: UploadSettings,
        data_dir: Path,
        replies: Replies,
        events: Events,
        clock: Clock,
    ) -> None:
        self._ledger = ledger
        self._rings = rings
        self._transfers = transfers
        self._upload = upload
        self._data_dir = data_dir
        self._replies = replies
        self._events = events
        self._clock = clock
        self._pace = ProgressPace(clock)
        self._signals: dict[str, Signals] = {}
        self._steps: dict[State, Callable[[Entry], Awaitable[Entry | None]]] = {
            State.STORED: self._plan,
            State.RESERVED: self._plan_when_ready,
            State.PLANNED: self._submit,
            State.RUNNING: self._follow,
            State.DELIVERED: self._await_receipt,
        }

    # -- what others tell

    def wake(self, clip_id: str) -> None:
        """Something about this clip changed in the ledger: a cancellation, a receipt."""
        if clip_id in self._signals:
            self._signals[clip_id].wake.set()

    def on_progress(self, clip_id: str, progress: Progress) -> None:
        """The transfer went on."""
        if clip_id in self._signals and self._pace.is_due(clip_id, progress):
            self._replies.set_progress(clip_id, progress)

    def on_delivered(self, clip_id: str, manifest_sha256: str) -> None:
        """The ingest has every part and the manifest."""
        signals = self._signals_of(clip_id)
        signals.manifest_sha256 = manifest_sha256
        signals.wake.set()

    def on_refused(self, clip_id: str, code: str, message: str) -> None:
        """The ingest said no for good."""
        self._end(clip_id, fail(code, message))

    def on_damaged(self, clip_id: str, message: str) -> None:
        """Bytes that the plan names can no longer be read."""
        self._end(clip_id, fail(ErrorCode.FOOTAGE_DAMAGED, message))

    def _end(self, clip_id: str, step: Step) -> None:
        signals = self._signals_of(clip_id)
        signals.outcome = step
        signals.wake.set()

    def _signals_of(self, clip_id: str) -> Signals:
        return self._signals.setdefault(clip_id, Signals())

    # -- driving

    async def drive(self, entry: Entry) -> None:
        """Lead a clip request from where it is to its end, and clean up after it."""
        current = entry
        self._signals_of(entry.command_id)
        if current.state == State.RUNNING:
            await self._hand_over(current)  # a transfer that goes on is left alone, a lost one is made anew
        while not current.is_final:
            advanced = await self._steps[current.state](current)
            current = advanced or await self._ledger.find(current.command_id) or current
            if advanced is not None:
                self._replies.queue(current.command_id)
        await self.clean_up(current)

    async def forget_orphans(self) -> None:
        """End uploads that no command stands behind: the ledger that knew them was damaged and set aside.

        Raises:
            LedgerError: the ledger cannot be read.
        """
        for clip_id in await self._transfers.known():
            if await self._ledger.find(clip_id) is not None:
                continue
            logger.warning("clip %s: an upload that no command stands behind is ended", clip_id)
            try:
                await self._transfers.cancel(clip_id)
                for ring in self._rings.values():
                    await ring.release(clip_id)
            except (RingError, TransferInterruptedError) as error:
                logger.warning("clip %s cannot be released: %s", clip_id, error)

    async def forget_old_plans(self) -> None:
        """Release what nobody stands behind any more; see `old_plans`."""
        await release_old_plans(self._rings, self._ledger, self._clock)

    async def clean_up(self, entry: Entry) -> None:
        """End the transfer and release the pin of a finished clip; tried until both are certain."""
        clip_id = entry.command_id
        self._replies.forget_progress(clip_id)
        self._signals.pop(clip_id, None)
        self._pace.forget(clip_id)
        attempt = 0
        while entry.cleanup_owed:
            try:
                await self._transfers.cancel(clip_id)
                await self._release(entry)
                await self._ledger.settle(entry)
            except (RingError, LedgerError, TransferInterruptedError) as error:
                attempt += 1
                logger.debug("clip %s cannot be released yet: %s", clip_id, error)
                await self._clock.async_sleep(backoff_s(_BACKOFF, attempt))
            else:
                return

    async def _release(self, entry: Entry) -> None:
        ring = self._rings.get(request_camera(entry) or "")
        if ring is None:
            return
        try:
            await ring.release(entry.command_id)
        except RingRequestError as error:
            if error.code != ErrorCode.UNKNOWN_CLIP:
                raise

    # -- the steps

    async def _plan(self, entry: Entry) -> Entry | None:
        """Stored or reserved: have the ring plan, for as long as the command lives."""
        request = ClipRequest.from_object(entry.claims.params)
        ring = self._rings.get(request.camera)
        if ring is None:  # the settings had it when the command was stored
            message = f"the unit has no camera {request.camera!r} any more"
            return await self._ledger.advance(entry, self._failure(entry, ErrorCode.UNKNOWN_CAMERA, message))
        for attempt in range(1, 1_000_000):
            try:
                result = await ring.plan(_plan_request(entry, request))
                return await self._planned(entry, request, result)
            except RingRequestError as error:
                if error.code not in _TRY_AGAIN:
                    return await self._ledger.advance(entry, self._failure(entry, error.code, str(error)))
                problem, code = str(error), error.code
            except RingError as error:
                problem, code = str(error), ErrorCode.RECORDER_UNAVAILABLE.value
            if self._is_over(entry):
                return await self._ledger.advance(entry, self._failure(entry, code, f"until exp: {problem}"))
            if attempt == 1:
                await self._say_waiting(entry, code, problem)
            await self._pause(entry, backoff_s(_BACKOFF, attempt))
            if await self._moved_on(entry):
                return None
        return None

    async def _planned(self, entry: Entry, request: ClipRequest, result: PlanResult) -> Entry | None:
        facts = ClipFacts(
            camera=request.camera,
            asked=Interval(start_us=request.from_us, end_us=request.to_us),
            delivered=result.delivered,
            plan_file=result.plan_file,
            length_bytes=result.length_bytes,
            parts=result.parts,
            ready_at_us=result.ready_at_us,
            overwrite_at_us=result.overwrite_at_us,
        )
        state = State.RESERVED if result.state == "reserved" else State.PLANNED
        return await self._ledger.advance(entry, Step(state, facts=facts, result=self._accepted(facts)))

    def _accepted(self, facts: ClipFacts) -> dict[str, object]:
        """The result that goes with `accepted`: what will be delivered, and whether before its overwriting."""
        said: dict[str, object] = {"clip": facts.to_object()}
        expected_end_us = None
        if facts.length_bytes:
            expected_end_us = self._pace.expected_end_us(facts.length_bytes)
        if expected_end_us is not None:
            said["expected_end"] = format_utc(expected_end_us)
        if facts.overwrite_at_us is None:
            said["before_overwrite"] = True
        elif expected_end_us is not None:
            said["before_overwrite"] = expected_end_us < facts.overwrite_at_us
        return said

    async def _plan_when_ready(self, entry: Entry) -> Entry | None:
        """Reserved: wait for the interval's end to be recorded."""
        ready_at_us = entry.facts.ready_at_us or 0
        while (left_s := (ready_at_us - self._clock.wall_us()) / 1e6) > 0:
            await self._pause(entry, min(left_s, _RECHECK_S))
            if await self._moved_on(entry):
                return None
        planned = await self._plan(entry)
        if planned is not None and planned.state == State.RESERVED:
            await self._pause(planned, 1.0)
        return planned

    async def _submit(self, entry: Entry) -> Entry | None:
        """Planned: hand the plan to the transfers."""
        await self._hand_over(entry)
        return await self._ledger.advance(entry, Step(State.RUNNING))

    async def _hand_over(self, entry: Entry) -> None:
        request = ClipRequest.from_object(entry.claims.params)
        plan_file = self._data_dir / (entry.facts.plan_file or "")
        await self._transfers.submit(
            entry.command_id, plan_file, request.upload or self._upload.url, request.priority
        )

    async def _follow(self, entry: Entry) -> Entry | None:
        """Running: wait for what the transfer reports."""
        signals = self._signals_of(entry.command_id)
        while True:
            if signals.outcome is not None:
                return await self._ledger.advance(entry, signals.outcome)
            if signals.manifest_sha256 is not None:
                facts = entry.facts.model_copy(update={"manifest_sha256": signals.manifest_sha256})
                return await self._ledger.advance(entry, Step(State.DELIVERED, facts=facts))
            await self._wait(entry)
            if await self._moved_on(entry):
                return None

    async def _await_receipt(self, entry: Entry) -> Entry | None:
        """Delivered: wait for the centre's verdict on this very manifest."""
        while True:
            receipt = await self._ledger.receipt_of(entry.command_id)
            if receipt is not None and receipt[0] == entry.facts.manifest_sha256:
                return await self._ledger.advance(entry, _verdict(entry, receipt[1], receipt[2]))
            await self._wait(entry)
            if await self._moved_on(entry):
                return None

    # -- helpers

    def _failure(self, entry: Entry, code: str, message: str) -> Step:
        to = State.REJECTED if entry.state == State.STORED else State.FAILED
        return fail(code, message, to)

    def _is_over(self, entry: Entry) -> bool:
        return self._clock.wall_us() >= entry.claims.exp * 1_000_000

    async def _say_waiting(self, entry: Entry, code: str, problem: str) -> None:
        logger.warning("clip %s waits: %s", entry.command_id, problem)
        details = {"command_id": entry.command_id, "code": code, "message": problem[:300]}
        await self._events.occurred(EventName.COMMAND_WAITING, details, request_camera(entry))

    async def _moved_on(self, entry: Entry) -> bool:
        current = await self._ledger.find(entry.command_id)
        return current is None or current.state != entry.state

    async def _wait(self, entry: Entry) -> None:
        signals = self._signals_of(entry.command_id)
        await signals.wake.wait()
        signals.wake.clear()

    async def _pause(self, entry: Entry, seconds: float) -> None:
        """Let time pass, or a wake come."""
        waiting = asyncio.ensure_future(self._wait(entry))
        sleeping = asyncio.ensure_future(self._clock.async_sleep(seconds))
        try:
            await asyncio.wait({waiting, sleeping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (waiting, sleeping):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task


def request_camera(entry: Entry) -> str | None:
    """The camera that a command is about."""
    camera = entry.claims.params.get("camera")
    return camera if isinstance(camera, str) else None


def _plan_request(entry: Entry, request: ClipRequest) -> PlanRequest:
    claims = entry.claims
    return PlanRequest(
        clip_id=entry.command_id,
        interval=Interval(start_us=request.from_us, end_us=request.to_us),
        requester=Requester(
            operator=claims.sub, role=claims.role, reference=claims.reference or "", purpose=claims.purpose or ""
        ),
    )


def _verdict(entry: Entry, verdict: str, reason: str | None) -> Step:
    if verdict == "verified":
        result = (entry.result or {}) | {"manifest_sha256": entry.facts.manifest_sha256}
        return Step(State.DONE, result=result, cleanup_owed=True)
    return fail(ErrorCode.VERIFICATION_FAILED, reason or "the supervision centre gave no reason")
