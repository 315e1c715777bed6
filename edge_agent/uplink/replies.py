"""Replies: the present one of each command, sent until the broker has it.

A reply is composed when it is sent, from the ledger's row: what arrives is always what stands, and never goes back.
Progress of a transfer is kept in memory only and belongs to the state `running`. Replies to what the ledger does not
keep (ephemeral commands, refusals that are not stored) wait in a bounded queue of their own.
"""

import asyncio
import logging
from collections import deque
from dataclasses import dataclass
from typing import Any

from edge_agent.contract.messages import Progress, Reply, ReplyError, ReplyState
from edge_agent.contract.model import MAX_MESSAGE_BYTES
from edge_agent.contract.names import Topics
from edge_agent.uplink.ledger import Entry, Ledger
from edge_agent.uplink.outbox import Item
from edge_agent.uplink.stamps import Stamper
from edge_agent.uplink.wire import Inbound, Outgoing

logger = logging.getLogger(__name__)

_MAX_LOOSE = 64
_MAX_TOPIC_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class LooseReply:
    """A reply that the ledger does not keep."""

    command_id: str
    command: str
    state: ReplyState
    result: dict[str, Any] | None = None
    error: ReplyError | None = None
    response_topic: str | None = None
    correlation: bytes | None = None


class Replies:
    """Source of the pump (`outbox.OutboxSource`)."""

    def __init__(self, ledger: Ledger, stamper: Stamper, topics: Topics, wake: asyncio.Event) -> None:
        self._ledger = ledger
        self._stamper = stamper
        self._topics = topics
        self._wake = wake
        self._waiting: dict[str, None] = {}
        self._loose: deque[LooseReply] = deque(maxlen=_MAX_LOOSE)
        self._progress: dict[str, Progress] = {}

    async def load(self) -> None:
        """Queue every reply that the broker has not acknowledged.

        Raises:
            LedgerError: the ledger cannot be read.
        """
        self._waiting.update(dict.fromkeys(await self._ledger.unsent_ids()))
        self._wake.set()

    def response_topic_of(self, message: Inbound) -> str | None:
        """The Response Topic of a request, if it is one that the unit may write."""
        topic = message.response_topic
        if topic is None or len(topic) > _MAX_TOPIC_CHARACTERS or not topic.startswith(self._topics.up("")):
            return None
        return None if set(topic) & {"+", "#", "\0"} else topic

    def queue(self, command_id: str) -> None:
        """The reply of a command changed."""
        self._waiting[command_id] = None
        self._wake.set()

    def queue_loose(self, reply: LooseReply) -> None:
        """Send a reply that is not in the ledger; of too many, the oldest are left out."""
        if len(self._loose) == _MAX_LOOSE:
            logger.warning("too many replies wait for the broker; one to %s is left out", self._loose[0].command_id)
        self._loose.append(reply)
        self._wake.set()

    def set_progress(self, command_id: str, progress: Progress) -> None:
        """A transfer went on."""
        self._progress[command_id] = progress
        self.queue(command_id)

    def forget_progress(self, command_id: str) -> None:
        """The transfer is over."""
        self._progress.pop(command_id, None)

    async def next(self) -> Item | None:
        """See `OutboxSource.next`."""
        if self._loose:
            reply = self._loose.popleft()
            return Item(self._messages(self._loose_body(reply), reply.response_topic, reply.correlation), reply)
        while self._waiting:
            command_id = next(iter(self._waiting))
            entry = await self._ledger.find(command_id)
            self._waiting.pop(command_id, None)
            if entry is not None and entry.reply_state is not None:
                return Item(self._messages(self._body(entry), entry.response_topic, entry.correlation), entry)
        return None

    async def sent(self, item: Item) -> None:
        """See `OutboxSource.sent`."""
        if isinstance(item.token, Entry) and item.token.reply_version > item.token.sent_version:
            await self._ledger.mark_sent(item.token)

    def lost(self, item: Item) -> None:
        """See `OutboxSource.lost`."""
        if isinstance(item.token, Entry):
            self.queue(item.token.command_id)
        elif isinstance(item.token, LooseReply):
            self.queue_loose(item.token)

    def _messages(self, body: bytes, response_topic: str | None, correlation: bytes | None) -> tuple[Outgoing, ...]:
        first = Outgoing(self._topics.up("reply"), body, correlation=correlation)
        if response_topic is None or response_topic == first.topic:
            return (first,)
        return first, Outgoing(response_topic, body, correlation=correlation)

    def _loose_body(self, reply: LooseReply) -> bytes:
        return _bounded(
            Reply(
                command_id=reply.command_id,
                command=reply.command,
                state=reply.state,
                result=reply.result,
                error=reply.error,
                **self._stamper.fields(),
            )
        )

    def _body(self, entry: Entry) -> bytes:
        state = entry.reply_state or "accepted"
        return _bounded(
            Reply(
                command_id=entry.command_id,
                command=entry.claims.cmd,
                state=state,
                progress=self._progress.get(entry.command_id) if state == "running" else None,
                result=entry.result,
                error=entry.error,
                **self._stamper.fields(),
            )
        )


def _bounded(reply: Reply) -> bytes:
    """The body; a result too large for a message is left out, and said to be."""
    body = reply.to_json()
    if len(body) <= MAX_MESSAGE_BYTES:
        return body
    logger.error("the result of %s has %d bytes and is left out", reply.command, len(body))
    return reply.model_copy(update={"result": {"left_out_bytes": len(body)}}).to_json()
