"""Ephemeral commands: carried out at once, a few at a time, never stored, each id once."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

from edge_agent.contract.codes import ErrorCode
from edge_agent.contract.messages import ReplyError
from edge_agent.errors import EdgeAgentError
from edge_agent.uplink.replies import LooseReply, Replies

logger = logging.getLogger(__name__)

_MAX_RUNNING = 4
_REMEMBERED = 256

Answer = Callable[[], Awaitable[dict[str, Any]]]
"""Computes the result of a command."""


class Ephemeral:
    """Runs the answers within the task group of `run`."""

    def __init__(self, answers: Mapping[str, Answer], replies: Replies) -> None:
        """`answers` by the command's name."""
        self._answers = answers
        self._replies = replies
        self._seen: deque[str] = deque(maxlen=_REMEMBERED)
        self._running = 0
        self._group: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Serve until cancelled; commands that come before are answered `restarting`."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                await asyncio.Event().wait()
            finally:
                self._group = None

    def begin(self, reply: LooseReply) -> None:
        """Carry a command out; `reply` is its answer but for the result."""
        if reply.command_id in self._seen:
            return
        self._seen.append(reply.command_id)
        if self._group is None:
            self._reject(reply, ErrorCode.RESTARTING, "the unit is starting or stopping")
        elif self._running >= _MAX_RUNNING:
            self._reject(reply, ErrorCode.TOO_MANY, f"{_MAX_RUNNING} such commands run already")
        else:
            self._running += 1
            self._group.create_task(self._answer(reply), name=f"command {reply.command_id}")

    def _reject(self, reply: LooseReply, code: ErrorCode, message: str) -> None:
        error = ReplyError(code=code, message=message)
        self._replies.queue_loose(replace(reply, state="rejected", error=error))

    async def _answer(self, reply: LooseReply) -> None:
        try:
            result = await self._answers[reply.command]()
        except EdgeAgentError as error:
            said = ReplyError(code=ErrorCode.INTERNAL, message=str(error)[:500])
            self._replies.queue_loose(replace(reply, state="failed", error=said))
        else:
            self._replies.queue_loose(replace(reply, result=result))
        finally:
            self._running -= 1
