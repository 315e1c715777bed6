"""Gives each delivered clip its verdict and signs the receipt; each is verified in a process of its own.

Every clip has a few minutes at first, one after another; units take turns. A clip that needs more is begun anew in a
lane of its unit's own, where it may take its hours beside the others, at a lower priority. Two such lanes work at
once: what one unit sends, however long it takes, must not become the others' wait.

A receipt is signed for what was found, and only for that. A verification that did not end by itself (it crashed,
stood still, took too long, the centre's storage or memory failed) is tried again some times; then the clip is
`failed` here, with the reason, and the unit, which waits on, is told nothing that its footage may not deserve.

Procedure, safe to repeat from any step: the clip is stored as `pending`; verified; verdict and signed receipt are
stored together; the commander sends the receipt.
"""

import asyncio
import errno
import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from csu import stored_clips, stored_commands, stored_said
from csu.backoff import delay_s
from csu.clip_answer import digest_of, mismatch, misplaced, sign_receipt, unasked
from csu.commander import Commander
from csu.errors import CsuError, RegistryError, RequestRefusedError
from csu.feed import Feed
from csu.keys import KeyStore
from csu.records import ClipRecord, CommandRecord
from csu.registry import Registry
from csu.stored_alarms import AlarmChanges
from csu.verify_deadline import SLICE_S, limit_s
from csu.verify_process import (
    MAX_REASON_CHARACTERS,
    JobFailedError,
    Outcome,
    StalledError,
    TooSlowError,
    UnreadableError,
    run_job,
)
from csu.verify_queue import ATTEMPTS, Key, Kind, Lane, Tries, key_of
from edge_agent.clock import Clock
from edge_agent.contract.manifest import MANIFEST_FILE_NAME

_log = logging.getLogger(__name__)

_UNREADABLE = {errno.EIO, errno.EBADMSG, errno.EUCLEAN}
"""What a file system says of a file that it has lost; EBADMSG and EUCLEAN: its checksums do not fit."""
_LONG_AT_ONCE = 2
"""A day's clip takes 0.8 GB of memory."""


class _MovedError(CsuError):
    """A clip has had its first few minutes and goes on in the other lane."""


class Verifier:
    """`on_complete` is told of deliveries; `run` verifies them."""

    def __init__(
        self,
        registry: Registry,
        commander: Commander,
        keys: KeyStore,
        feed: Feed,
        clock: Clock,
        on_alarm: Callable[[AlarmChanges], None] = lambda _changes: None,
    ) -> None:
        self._registry = registry
        self._commander = commander
        self._keys = keys
        self._feed = feed
        self._clock = clock
        self._on_alarm = on_alarm
        self._lane = Lane(long_of=None)
        self._long_lanes: dict[str, Lane] = {}
        self._lanes: asyncio.TaskGroup | None = None
        self._places = asyncio.Semaphore(_LONG_AT_ONCE)
        self._long: dict[Key, float] = {}
        """Pending clips that need more than a few minutes, and how many seconds they had there."""
        self._tries = Tries()

    async def on_complete(self, *, unit_id: str, clip_id: str, folder: Path) -> None:
        """A clip's files are all there; safe to be told again.

        Raises:
            RegistryError: it could not be remembered, tell again.
        """
        now_us = self._clock.wall_us()
        if await self._registry.run(stored_clips.add_clip, unit_id, clip_id, str(folder), now_us):
            self._lane.wake.set()

    async def run(self) -> None:
        """Verify what is pending until cancelled."""
        async with asyncio.TaskGroup() as self._lanes:
            self._lanes.create_task(self._run_lane(self._lane))

    def _move_to_long(self, clip: ClipRecord) -> None:
        self._long[key_of(clip)] = 0.0
        if clip.unit_id in self._long_lanes:
            self._long_lanes[clip.unit_id].wake.set()
            return
        lane = self._long_lanes[clip.unit_id] = Lane(long_of=clip.unit_id)
        if self._lanes is not None:
            self._lanes.create_task(self._run_lane(lane))

    async def _run_lane(self, lane: Lane) -> None:
        failures = 0
        while True:
            lane.wake.clear()
            try:
                await self._verify_due(lane)
                failures, pause_s = 0, lane.pause_s(self._clock.monotonic_us())
            except RegistryError as error:
                failures += 1
                pause_s = delay_s(failures, 1.0, 60.0)
                _log.warning("verification: %s; trying again", error)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await lane.wake.wait()

    async def _verify_due(self, lane: Lane) -> None:
        """Verify what is due in a lane; what could not be keeps no other clip waiting.

        Raises:
            RegistryError: nothing can be stored or loaded now.
        """
        while (clip := await self._next(lane)) is not None:
            error = await self._try(clip)
            if error is not None:
                _log.warning("clip %s of %s: %s; it is tried again", clip.clip_id, clip.unit_id, error)
                key = key_of(clip)
                lane.postpone(key, self._tries.count(key), self._clock.monotonic_us())

    async def _next(self, lane: Lane) -> ClipRecord | None:
        pending = await self._registry.run(stored_clips.pending_clips)
        mine = [clip for clip in pending if self._lane_of(clip) is lane]
        return lane.choose(mine, self._clock.monotonic_us())

    def _lane_of(self, clip: ClipRecord) -> Lane:
        return self._long_lanes[clip.unit_id] if key_of(clip) in self._long else self._lane

    async def _try(self, clip: ClipRecord) -> Exception | None:
        """Verify one clip; what kept it from its end.

        Raises:
            RegistryError: nothing can be stored now.
        """
        try:
            await self._verify(clip)
        except _MovedError as moved:
            _log.info("clip %s of %s: %s; begun anew beside the others", clip.clip_id, clip.unit_id, moved)
        except TooSlowError as error:
            await self._end_unverified(clip, str(error))
        except RegistryError:
            raise
        except Exception as error:  # noqa: BLE001 -- one odd clip must not end the verification of all others
            return await self._count(clip, error)
        return None

    async def _count(self, clip: ClipRecord, error: Exception) -> Exception | None:
        """The error when another try is left; else the clip ends here."""
        kind = _kind_of(error)
        if kind == "odd":
            _log.exception("clip %s of %s: verification", clip.clip_id, clip.unit_id)
        if not self._tries.is_last(key_of(clip), kind):
            return error
        await self._end_unverified(clip, f"{_words_of(error)}, {ATTEMPTS[kind]} times")
        return None

    async def _verify(self, clip: ClipRecord) -> None:
        folder = Path(clip.folder)
        digest = await asyncio.to_thread(digest_of, folder / MANIFEST_FILE_NAME)
        reason, report = await self._judge(clip, folder)
        command = await self._command_of(clip)
        reason = reason or misplaced(clip, report) or unasked(clip, command) or mismatch(command, report)
        receipt = sign_receipt(self._keys.signing_key, clip, digest, reason, self._clock.wall_us())
        await self._save(clip, reason, report, receipt)

    async def _end_unverified(self, clip: ClipRecord, problem: str) -> None:
        """End the clip here, without a receipt: nothing was found wrong with its bytes."""
        reason = f"not verified: {problem}; try csu verify {clip.folder}, or ask for it anew"
        await self._save(clip, reason[:MAX_REASON_CHARACTERS], {}, None)

    async def _save(self, clip: ClipRecord, reason: str | None, report: dict[str, Any], receipt: str | None) -> None:
        now_us = self._clock.wall_us()
        record, alarm = await self._registry.run(
            stored_said.keep_verdict, *key_of(clip), reason, report, receipt, now_us
        )
        if alarm is not None:
            self._on_alarm(alarm)
        self._long.pop(key_of(clip), None)
        self._tries.forget(key_of(clip))
        _log.info("clip %s of %s: %s", clip.clip_id, clip.unit_id, record.verdict)
        self._feed.publish({"kind": "clip"} | record.to_object())
        self._commander.wake()

    async def _command_of(self, clip: ClipRecord) -> CommandRecord | None:
        try:
            return await self._registry.run(stored_commands.load_command, clip.clip_id)
        except RequestRefusedError:
            return None  # another centre's, or of a registry that was lost

    async def _judge(self, clip: ClipRecord, folder: Path) -> Outcome:
        """Why the clip fails, None when it does not; and the whole report.

        Raises:
            JobFailedError, _MovedError: there is no verdict yet.
            OSError: the folder cannot be read, or no process can be started.
        """
        # What is here was let in while the unit was trusted; that it is shut out since takes nothing from it.
        jwks = self._keys.evidence_jwks(clip.unit_id, clip.completed_us)
        if jwks is None:
            return f"no key of unit {clip.unit_id} is trusted for what came when this did", {}
        whole_s = await asyncio.to_thread(limit_s, folder)
        if key_of(clip) in self._long:
            return await self._run_long(clip, folder, jwks, whole_s)
        try:
            return await run_job(folder, jwks, min(whole_s, SLICE_S))
        except TooSlowError as error:
            self._move_to_long(clip)
            raise _MovedError(str(error)) from error

    async def _run_long(self, clip: ClipRecord, folder: Path, jwks: object, whole_s: float) -> Outcome:
        """Let it have its time; however often it is begun anew, no more than twice that in all."""
        async with self._places:
            began_us = self._clock.monotonic_us()
            allowed_s = min(whole_s, 2 * whole_s - self._long[key_of(clip)])
            if allowed_s <= 0:
                raise TooSlowError(f"it had {self._long[key_of(clip)]:.0f} s in several tries")
            try:
                return await run_job(folder, jwks, allowed_s, is_long=True)
            finally:
                self._long[key_of(clip)] += (self._clock.monotonic_us() - began_us) / 1e6


def _kind_of(error: Exception) -> Kind:
    """What its tries are counted as."""
    match error:
        case StalledError():
            return "stalled"
        case UnreadableError():
            return "unreadable"
        case JobFailedError():
            return "crashed"
        case FileNotFoundError() | NotADirectoryError():
            return "missing"
        case OSError():
            return "unreadable" if error.errno in _UNREADABLE else "passing"
        case _:
            return "odd"


def _words_of(error: Exception) -> str:
    match error:
        case UnreadableError():
            return f"the centre's storage does not give it ({error})"
        case JobFailedError():
            return str(error)
        case OSError():
            return f"{error.strerror}: {error.filename}"
        case _:
            return type(error).__name__
