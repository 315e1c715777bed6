"""Gives each delivered clip its verdict and signs the receipt; each is verified in a process of its own.

Every clip has a few minutes at first, one after another; units take turns. A clip that needs more is begun anew in a
lane of its unit's own, where it may take its hours beside the others, at a lower priority. A few such lanes work at
once: what one unit sends, however long it takes, must not become the others' wait.

Procedure, safe to repeat from any step: the clip is stored as `pending`; verified; verdict and signed receipt are
stored together; the commander sends the receipt.
"""

import asyncio
import errno
import hashlib
import logging
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from csu import stored_clips, stored_commands
from csu.backoff import delay_s
from csu.commander import Commander
from csu.errors import CsuError, RegistryError, RequestRefusedError
from csu.feed import Feed
from csu.keys import KeyStore
from csu.records import ClipRecord, CommandRecord
from csu.registry import Registry
from csu.verify_deadline import SLICE_S, limit_s
from csu.verify_process import (
    MAX_REASON_CHARACTERS,
    JobFailedError,
    Outcome,
    StalledError,
    TooSlowError,
    run_job,
)
from edge_agent.clock import Clock
from edge_agent.contract.jws import SigningKey
from edge_agent.contract.manifest import MANIFEST_FILE_NAME
from edge_agent.contract.messages import Receipt

_log = logging.getLogger(__name__)

_ATTEMPTS = 3
_ODD_ATTEMPTS = 5
_STALLED_ATTEMPTS = 3
_UNREADABLE_ATTEMPTS = 10
_UNREADABLE = {errno.EIO, errno.EBADMSG, errno.EUCLEAN}
"""What a file system says of a file that it has lost; EBADMSG and EUCLEAN: its checksums do not fit."""
_LONG_AT_ONCE = 4
_AGAIN_US = 60_000_000
"""A clip that could not be verified is looked at again so much later, however many others keep coming."""


Key = tuple[str, str]
"""Unit and clip."""


def key_of(clip: ClipRecord) -> Key:
    """What a clip is known by."""
    return clip.unit_id, clip.clip_id


class _MovedError(CsuError):
    """A clip has had its first few minutes and goes on in the other lane."""


@dataclass(slots=True)
class _Lane:
    """Clips that are verified one after another."""

    long_of: str | None
    """The unit whose long clips these are; None for the first few minutes of everyone's."""
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    served: dict[str, int] = field(default_factory=dict)
    """When each unit's turn last came; a number that rises with every turn."""


class Verifier:
    """`on_complete` is told of deliveries; `run` verifies them."""

    def __init__(self, registry: Registry, commander: Commander, keys: KeyStore, feed: Feed, clock: Clock) -> None:
        self._registry = registry
        self._commander = commander
        self._keys = keys
        self._feed = feed
        self._clock = clock
        self._lane = _Lane(long_of=None)
        self._long_lanes: dict[str, _Lane] = {}
        self._lanes: asyncio.TaskGroup | None = None
        self._places = asyncio.Semaphore(_LONG_AT_ONCE)
        self._long: dict[Key, float] = {}
        """Pending clips that need more than a few minutes, and how many seconds they had there."""
        self._tries: dict[Key, int] = {}
        """How often a pending clip could not be verified for what no further try is expected to mend."""

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
        lane = self._long_lanes[clip.unit_id] = _Lane(long_of=clip.unit_id)
        if self._lanes is not None:
            self._lanes.create_task(self._run_lane(lane))

    async def _run_lane(self, lane: _Lane) -> None:
        failures = 0
        while True:
            lane.wake.clear()
            failures = 0 if await self._verify_pending(lane) else failures + 1
            with suppress(TimeoutError):
                async with asyncio.timeout(delay_s(failures, 1.0, 60.0) if failures else None):
                    await lane.wake.wait()

    async def _verify_pending(self, lane: _Lane) -> bool:
        """Verify what waits in a lane; False when something could not be, which keeps no other clip waiting."""
        problem: Exception | None = None
        failed_us: dict[Key, int] = {}
        try:
            while (clip := await self._next(lane, failed_us)) is not None:
                error = await self._try(clip)
                if error is not None:
                    failed_us[key_of(clip)] = self._clock.monotonic_us()
                    problem = error
        except RegistryError as error:
            problem = error
        if problem is not None:
            _log.warning("verification: %s; trying again", problem)
        return problem is None

    async def _next(self, lane: _Lane, failed_us: dict[Key, int]) -> ClipRecord | None:
        """The lane's oldest clip of the unit that was served longest ago, so that none keeps the others waiting.

        What failed, at an instant of the monotonic clock, waits for a while.
        """
        pending = await self._registry.run(stored_clips.pending_clips)
        since_us = self._clock.monotonic_us() - _AGAIN_US
        mine = [clip for clip in pending if self._lane_of(clip) is lane]
        waiting = [clip for clip in mine if failed_us.get(key_of(clip), since_us) <= since_us]
        if not waiting:
            return None
        chosen = min(waiting, key=lambda clip: lane.served.get(clip.unit_id, 0))
        lane.served[chosen.unit_id] = max(lane.served.values(), default=0) + 1
        return chosen

    def _lane_of(self, clip: ClipRecord) -> _Lane:
        return self._long_lanes[clip.unit_id] if key_of(clip) in self._long else self._lane

    async def _try(self, clip: ClipRecord) -> Exception | None:
        """Verify one clip; what kept it from its verdict.

        Raises:
            RegistryError: nothing can be stored now.
        """
        try:
            return await self._verify_or_count(clip)
        except OSError as error:
            if error.errno not in _UNREADABLE or not self._is_last_try(clip, _UNREADABLE_ATTEMPTS):
                return error
            await self._end_unverified(clip, f"the centre's storage cannot read it: {error}")
            return None

    async def _verify_or_count(self, clip: ClipRecord) -> Exception | None:
        """As `_try`; raises OSError too."""
        try:
            await self._verify(clip)
        except _MovedError as moved:
            _log.info("clip %s of %s: %s; begun anew beside the others", clip.clip_id, clip.unit_id, moved)
        except StalledError as error:
            return await self._count_stalled(clip, error)
        except TooSlowError as error:
            await self._end_unverified(clip, str(error))
        except (OSError, RegistryError):
            raise
        except Exception as error:  # noqa: BLE001 -- one odd clip must not end the verification of all others
            _log.exception("clip %s of %s: verification", clip.clip_id, clip.unit_id)
            return await self._count_odd(clip, error)
        return None

    async def _verify(self, clip: ClipRecord) -> None:
        folder = Path(clip.folder)
        try:
            digest = await asyncio.to_thread(_digest, folder / MANIFEST_FILE_NAME)
        except (FileNotFoundError, NotADirectoryError):
            await self._count_missing(clip)
            return
        reason, report = await self._judge(clip, folder)
        command = await self._command_of(clip)
        reason = reason or misplaced(clip, report) or unasked(clip, command) or mismatch(command, report)
        receipt = sign_receipt(self._keys.signing_key, clip, digest, reason, self._clock.wall_us())
        await self._save(clip, reason, report, receipt)

    async def _count_missing(self, clip: ClipRecord) -> None:
        """Try again a few times, then end the clip here; raises the OSError of the try that is not the last."""
        reason = f"{MANIFEST_FILE_NAME} is missing in {clip.folder}: no receipt can be signed; ask for the clip anew"
        if not self._is_last_try(clip):
            raise FileNotFoundError(reason)
        await self._save(clip, reason[:MAX_REASON_CHARACTERS], {}, None)

    async def _count_stalled(self, clip: ClipRecord, error: StalledError) -> Exception | None:
        """The error when another try is left; else the clip ends here."""
        if not self._is_last_try(clip, _STALLED_ATTEMPTS):
            return error
        await self._end_unverified(clip, f"{error}, {_STALLED_ATTEMPTS} times")
        return None

    async def _end_unverified(self, clip: ClipRecord, problem: str) -> None:
        """End the clip here, without a receipt: nothing was found wrong with its bytes."""
        reason = f"not verified: {problem}; try csu verify {clip.folder}, or ask for less"
        await self._save(clip, reason[:MAX_REASON_CHARACTERS], {}, None)

    async def _count_odd(self, clip: ClipRecord, error: Exception) -> Exception | None:
        """The error when another try is left; else the clip has failed, and the unit is told."""
        if not self._is_last_try(clip):
            return error
        reason = f"it could not be verified: {type(error).__name__}"
        digest = await asyncio.to_thread(_digest, Path(clip.folder) / MANIFEST_FILE_NAME)
        receipt = sign_receipt(self._keys.signing_key, clip, digest, reason, self._clock.wall_us())
        await self._save(clip, reason, {}, receipt)
        return None

    def _is_last_try(self, clip: ClipRecord, attempts: int = _ODD_ATTEMPTS) -> bool:
        tries = self._tries.pop(key_of(clip), 0) + 1
        if tries < attempts:
            self._tries[key_of(clip)] = tries
        return tries >= attempts

    async def _save(self, clip: ClipRecord, reason: str | None, report: dict[str, Any], receipt: str | None) -> None:
        now_us = self._clock.wall_us()
        record = await self._registry.run(stored_clips.save_verdict, *key_of(clip), reason, report, receipt, now_us)
        self._long.pop(key_of(clip), None)
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
            StalledError, TooSlowError, _MovedError: there is no verdict yet.
        """
        problem = ""
        for _ in range(_ATTEMPTS):
            try:
                return await self._run_job(clip, folder)
            except (StalledError, TooSlowError):
                raise
            except JobFailedError as error:
                problem = str(error)
                _log.warning("clip %s: %s", clip.clip_id, error)
        return f"the verification did not end by itself: {problem}"[:MAX_REASON_CHARACTERS], {}

    async def _run_job(self, clip: ClipRecord, folder: Path) -> Outcome:
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
            try:
                return await run_job(folder, jwks, allowed_s, is_long=True)
            finally:
                self._long[key_of(clip)] += (self._clock.monotonic_us() - began_us) / 1e6


def misplaced(clip: ClipRecord, report: dict[str, Any]) -> str | None:
    """Whether a sound clip is another one than it was delivered as; None when it is not."""
    pairs = {"clip_id": (clip.clip_id, report.get("clip_id")), "unit_id": (clip.unit_id, report.get("unit_id"))}
    differing = [f"{name}: delivered as {was}, manifest {is_!r}" for name, (was, is_) in pairs.items() if was != is_]
    return f"not the clip that it was delivered as: {'; '.join(differing)}" if differing else None


def unasked(clip: ClipRecord, command: CommandRecord | None) -> str | None:
    """Whether this id is that of something else that was asked for; None when it is not."""
    if command is None or (command.unit_id, command.cmd) == (clip.unit_id, "clip.request"):
        return None
    return f"this id is of a {command.cmd} to {'this' if command.unit_id == clip.unit_id else 'another'} unit"


def mismatch(command: CommandRecord | None, report: dict[str, Any]) -> str | None:
    """How a sound clip differs from what was asked for; None when it does not, or was not asked for from here.

    Args:
        command: the `clip.request`.
        report: the verification's; its `summary` says what the manifest says.
    """
    if command is None:
        return None
    summary = report.get("summary", {})
    asked, requester = summary.get("asked", {}), summary.get("requester", {})
    pairs = {
        "camera": (command.params.get("camera"), summary.get("camera")),
        "from": (command.params.get("from"), asked.get("start_us")),
        "to": (command.params.get("to"), asked.get("end_us")),
        "operator": (command.operator, requester.get("operator")),
        "reference": (command.reference, requester.get("reference")),
        "purpose": (command.purpose, requester.get("purpose")),
    }
    differing = [f"{name}: asked {was!r}, manifest {is_!r}" for name, (was, is_) in pairs.items() if was != is_]
    return f"not what was asked for: {'; '.join(differing)}"[:MAX_REASON_CHARACTERS] if differing else None


def sign_receipt(key: SigningKey, clip: ClipRecord, sha256: str, reason: str | None, now_us: int) -> str:
    """The centre's signed word on a clip (`contract.messages.Receipt`)."""
    receipt = Receipt(
        aud=clip.unit_id,
        clip_id=clip.clip_id,
        sha256=sha256,
        verdict="verified" if reason is None else "failed",
        reason=reason,
        iat=now_us // 1_000_000,
    )
    return key.sign("receipt", receipt.to_object())


def _digest(manifest: Path) -> str:
    """SHA-256 of the manifest's text as it was uploaded."""
    with manifest.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
