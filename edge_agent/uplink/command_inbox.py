"""`down/command`: every body is judged, stored or answered before it is acknowledged."""

import logging

from edge_agent.contract.codes import ErrorCode
from edge_agent.contract.event_names import EventName
from edge_agent.contract.messages import ReplyError
from edge_agent.errors import CommandRejectedError, LedgerError
from edge_agent.limiter import RateLimiter
from edge_agent.uplink.admission import Admission, Admitted, Refused, Repeated
from edge_agent.uplink.ephemeral import Ephemeral
from edge_agent.uplink.events import Events
from edge_agent.uplink.executor import Executor
from edge_agent.uplink.ledger import Ledger, NewCommand, fail
from edge_agent.uplink.replies import LooseReply, Replies
from edge_agent.uplink.states import State
from edge_agent.uplink.wire import Inbound

logger = logging.getLogger(__name__)


class CommandInbox:
    """Handles commands (`receiver.MessageHandler`)."""

    def __init__(
        self,
        admission: Admission,
        ledger: Ledger,
        executor: Executor,
        ephemeral: Ephemeral,
        replies: Replies,
        events: Events,
        limiter: RateLimiter,
    ) -> None:
        """`limiter` bounds what is said of bodies that nobody signed."""
        self._admission = admission
        self._ledger = ledger
        self._executor = executor
        self._ephemeral = ephemeral
        self._replies = replies
        self._events = events
        self._limiter = limiter

    async def handle(self, message: Inbound) -> None:
        """See `MessageHandler.handle`."""
        verdict = await self._admission.judge(message.payload)
        if isinstance(verdict, Repeated):
            await self._repeat(verdict)
        elif isinstance(verdict, Refused):
            await self._refuse(message, verdict)
        elif verdict.durable:
            await self._store(message, verdict)
        else:
            self._ephemeral.begin(self._loose(message, verdict))

    async def _repeat(self, repeated: Repeated) -> None:
        """The present reply once more; and the command goes on, should a defect have left it lying."""
        await self._ledger.send_again(repeated.entry.command_id)
        self._replies.queue(repeated.entry.command_id)
        if not repeated.entry.is_final:
            self._executor.begin(repeated.entry)

    async def _store(self, message: Inbound, admitted: Admitted) -> None:
        topic = self._replies.response_topic_of(message)
        try:
            entry = await self._ledger.store(
                NewCommand(admitted.claims, admitted.body_sha256, topic, message.correlation)
            )
        except CommandRejectedError as error:
            await self._refuse(message, _refused(admitted, error.code, str(error)))
        except LedgerError as error:
            logger.warning("command %s cannot be stored: %s", admitted.claims.jti, error)
            await self._refuse(message, _refused(admitted, ErrorCode.STORAGE_ERROR, str(error)))
        else:
            self._executor.begin(entry)

    async def _refuse(self, message: Inbound, refused: Refused) -> None:
        if refused.claims is not None and refused.body_sha256 is not None:
            await self._store_refused(message, refused)
        elif refused.is_signed or await self._may_answer(refused):
            logger.info("command %s refused: %s: %s", refused.command_id, refused.code, refused.message)
            self._replies.queue_loose(self._loose_refusal(message, refused))

    async def _store_refused(self, message: Inbound, refused: Refused) -> None:
        if refused.claims is None or refused.body_sha256 is None:
            return
        logger.info("command %s rejected: %s: %s", refused.command_id, refused.code, refused.message)
        topic = self._replies.response_topic_of(message)
        command = NewCommand(refused.claims, refused.body_sha256, topic, message.correlation)
        step = fail(refused.code, refused.message, State.REJECTED, cleanup_owed=False)
        try:
            await self._ledger.store(command, step)
        except LedgerError as error:
            logger.warning("the rejection of %s is not stored: %s", refused.command_id, error)
            self._replies.queue_loose(self._loose_refusal(message, refused))
        else:
            self._replies.queue(refused.command_id)

    async def _may_answer(self, refused: Refused) -> bool:
        """Whether a body that nobody signed is answered, and reported, or only counted."""
        left_out = self._limiter.take()
        if left_out is None:
            return False
        details = {"code": refused.code, "command_id": refused.command_id, "left_out": left_out}
        await self._events.occurred(EventName.COMMAND_REFUSED, details)
        return True

    def _loose(self, message: Inbound, admitted: Admitted) -> LooseReply:
        return LooseReply(
            command_id=admitted.claims.jti,
            command=admitted.claims.cmd,
            state="done",
            response_topic=self._replies.response_topic_of(message),
            correlation=message.correlation,
        )

    def _loose_refusal(self, message: Inbound, refused: Refused) -> LooseReply:
        return LooseReply(
            command_id=refused.command_id,
            command=refused.command,
            state="rejected",
            error=ReplyError(code=refused.code, message=refused.message),
            response_topic=self._replies.response_topic_of(message) if refused.is_signed else None,
            correlation=message.correlation if refused.is_signed else None,
        )


def _refused(admitted: Admitted, code: str, message: str) -> Refused:
    return Refused(admitted.claims.jti, admitted.claims.cmd, code, message, admitted.claims)
