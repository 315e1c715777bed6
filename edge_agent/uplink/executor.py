"""Carries durable commands out: one task an open command, begun when it is stored or when the link starts."""

import asyncio
import logging

from edge_agent.clock import Clock
from edge_agent.contract.codes import RETRIABLE, ErrorCode
from edge_agent.errors import CommandRejectedError, EdgeAgentError, LedgerError, RingError, TransferInterruptedError
from edge_agent.retry import backoff_s, jittered
from edge_agent.uplink.clips import ClipDriver
from edge_agent.uplink.ledger import Entry, Ledger, Step, fail
from edge_agent.uplink.queries import Queries
from edge_agent.uplink.replies import Replies
from edge_agent.uplink.states import State

logger = logging.getLogger(__name__)

_BACKOFF = jittered(1.0, 60.0)
_PRUNE_INTERVAL_S = 3600.0


class Executor:
    """Runs until it is cancelled; begun commands go on at the next start."""

    def __init__(self, ledger: Ledger, clips: ClipDriver, queries: Queries, replies: Replies, clock: Clock) -> None:
        self._ledger = ledger
        self._clips = clips
        self._queries = queries
        self._replies = replies
        self._clock = clock
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Take up what was left open, accept new commands by `begin`, tidy the ledger now and then.

        Raises:
            LedgerError: the ledger cannot be read at the start.
        """
        async with asyncio.TaskGroup() as group:
            self._group = group
            for entry in [*await self._ledger.open_entries(), *await self._ledger.owed_entries()]:
                self.begin(entry)
            await self._clips.forget_orphans()
            while True:
                await self._prune()
                await self._clips.forget_old_plans()
                await self._clock.async_sleep(_PRUNE_INTERVAL_S)

    def begin(self, entry: Entry) -> None:
        """Carry a stored command out; before `run` it is left to `run`, which finds it in the ledger."""
        if self._group is None or entry.command_id in self._tasks:
            return
        task = self._group.create_task(self._carry_out(entry), name=f"command {entry.command_id}")
        self._tasks[entry.command_id] = task
        task.add_done_callback(lambda _task: self._tasks.pop(entry.command_id, None))

    async def _prune(self) -> None:
        try:
            await self._ledger.prune()
        except LedgerError as error:
            logger.warning("the ledger cannot be tidied: %s", error)

    async def _carry_out(self, entry: Entry) -> None:
        """Until the end, whatever the storage does meanwhile; a defect ends the command and nothing else."""
        current, attempt = entry, 0
        while True:
            try:
                await self._attempt(current)
            except (LedgerError, RingError, TransferInterruptedError) as error:
                attempt += 1
                logger.warning("command %s waits: %s", current.command_id, error)
                await self._clock.async_sleep(backoff_s(_BACKOFF, attempt))
                current = await self._reread(current)
            except Exception as error:
                logger.exception("command %s met a defect", current.command_id)
                await self._give_up(current, error)
                return
            else:
                return

    async def _attempt(self, entry: Entry) -> None:
        if entry.claims.cmd == "clip.request":
            await self._clips.drive(entry)
        elif not entry.is_final:
            await self._answer(entry)

    async def _answer(self, entry: Entry) -> None:
        try:
            if entry.claims.cmd == "clip.cancel":
                await self._queries.cancel(entry)
                self._replies.queue(entry.claims.params["clip_id"])
            else:
                result = await self._queries.answers[entry.claims.cmd](entry)
                await self._ledger.advance(entry, Step(State.DONE, result=result))
        except CommandRejectedError as error:
            await self._reject(entry, error.code, str(error))
        except RingError as error:
            if self._clock.wall_us() < entry.claims.exp * 1_000_000:
                raise
            await self._reject(entry, ErrorCode.RECORDER_UNAVAILABLE, str(error))
        self._replies.queue(entry.command_id)

    async def _reject(self, entry: Entry, code: str, message: str) -> None:
        if code in RETRIABLE and self._clock.wall_us() < entry.claims.exp * 1_000_000:
            raise RingError(message)
        await self._ledger.advance(entry, fail(code, message, State.REJECTED, cleanup_owed=False))

    async def _reread(self, entry: Entry) -> Entry:
        try:
            return await self._ledger.find(entry.command_id) or entry
        except LedgerError:
            return entry

    async def _give_up(self, entry: Entry, error: Exception) -> None:
        """End a command that met a defect, and let go of what it holds."""
        current = await self._reread(entry)
        if not current.is_final:
            await self._end(current, error)
            current = await self._reread(entry)
        if not current.is_final or not current.cleanup_owed:
            return
        try:
            await self._clips.clean_up(current)
        except Exception:  # a second defect: raised, it would end the task group and every other command with it
            logger.exception("clip %s is not released before the link starts again", current.command_id)

    async def _end(self, current: Entry, error: Exception) -> None:
        to = State.REJECTED if current.state == State.STORED else State.FAILED
        try:
            owed = current.claims.cmd == "clip.request"
            await self._ledger.advance(
                current, fail(ErrorCode.INTERNAL, f"{type(error).__name__}: {error}", to, owed)
            )
        except EdgeAgentError:
            logger.exception("the end of command %s cannot be stored", current.command_id)
            return
        self._replies.queue(current.command_id)
