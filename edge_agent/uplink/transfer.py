"""One clip's transfer: attempts until one succeeds, for however long it takes.

An interruption never ends it. Waits double, are jittered and capped, and become short again only when the ingest held
more than ever before (net progress) or the network is known to be back (`kick`): an ingest that loses what it was
given is asked ever more rarely.

A refusal ends it when it stands: one alone may be the answer to a request that the line corrupted, or that of a proxy
whose ingest is just being started. Each attempt begins by asking what the ingest holds.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import aiohttp

from edge_agent.contract.codes import ErrorCode
from edge_agent.contract.messages import Progress
from edge_agent.contract.upload import origin_of
from edge_agent.errors import FormatError, TransferInterruptedError, TransferRefusedError
from edge_agent.retry import backoff_s, jittered
from edge_agent.uplink.clip_sender import ClipSender, TransferTools
from edge_agent.uplink.paced_sending import PacedSending
from edge_agent.uplink.transfer_state import Outcome, TransferState
from edge_agent.uplink.tus import TusClient
from edge_agent.uplink.upload_token import UploadTokens

_BACKOFF = jittered(1.0, 60.0)
REFUSALS = 4
"""So many refused attempts without a byte more at the ingest, some seconds in all, are a refusal for good."""

_log = logging.getLogger(__name__)


class ClipTransfer:
    """Sends one clip; how it ended is durable when `run` returns."""

    def __init__(
        self,
        state: TransferState,
        tools: TransferTools,
        session: aiohttp.ClientSession,
        report: Callable[[Progress], None],
    ) -> None:
        self._tools = tools
        tokens = UploadTokens(tools.key, tools.unit_id, tools.clock)
        pacing = PacedSending(tools.ways, origin_of(state.url))
        self._tus = TusClient(session, tokens, tools.clock, tools.timeouts, pacing)
        self._sender = ClipSender(state, tools, self._tus, report)
        self._kicked = asyncio.Event()
        self._refusals = 0
        self.trouble: str | None = None
        """Why it does not go on at the moment."""

    @property
    def state(self) -> TransferState:
        """What is durable."""
        return self._sender.state

    def kick(self) -> None:
        """The network is back: try now."""
        self._kicked.set()

    async def run(self) -> Outcome:
        """Send the clip."""
        if self.state.outcome is not None:
            return self.state.outcome
        outcome = await self._persist(self._send)
        return await self._persist(lambda: self._keep(outcome))

    async def settle(self) -> None:
        """After `run` was cancelled: wait until nothing more is written."""
        await self._sender.settle()

    async def abandon(self) -> None:
        """After `run` was cancelled: have the ingest forget what it has, if it listens and the unit may speak to it.

        Raises:
            UplinkError: it does not; what it has will expire there.
        """
        outcome = self.state.outcome
        if outcome is not None and (outcome.kind == "delivered" or outcome.code == ErrorCode.ORIGIN_NOT_ALLOWED):
            return
        for location in self.state.locations():
            await self._tus.terminate(location)

    async def _send(self) -> Outcome:
        before_bytes = self._sender.most_held_bytes
        try:
            async with self._tools.slots.turn(self.state.priority) as turn:
                await self._sender.attempt(turn)
        except FormatError as error:
            return Outcome(kind="damaged", code=ErrorCode.FOOTAGE_DAMAGED, message=str(error))
        except TransferRefusedError as error:
            self._refusals = 1 if self._sender.most_held_bytes > before_bytes else self._refusals + 1
            if self._refusals < REFUSALS:
                raise TransferInterruptedError(str(error)) from error
            return Outcome(kind="refused", code=ErrorCode.UPLOAD_REFUSED, message=str(error))
        return Outcome(kind="delivered")

    async def _keep(self, outcome: Outcome) -> Outcome:
        await self._sender.save(self.state.with_outcome(outcome))
        await self._sender.settle()
        return outcome

    async def _persist(self, step: Callable[[], Awaitable[Outcome]]) -> Outcome:
        """Take a step again until it is not interrupted."""
        fruitless = 0
        while True:
            before_bytes = self._sender.most_held_bytes
            try:
                outcome = await step()
            except TransferInterruptedError as error:
                self._note_trouble(str(error))
                fruitless = 1 if self._sender.most_held_bytes > before_bytes else fruitless + 1
                if await self._rest(fruitless, error.retry_after_s or 0.0):
                    fruitless = 0
            else:
                self._note_trouble(None)
                return outcome

    async def _rest(self, fruitless: int, at_least_s: float) -> bool:
        """Wait before the next attempt; True when the wait was cut short because the network is back."""
        await self._tools.clock.async_sleep(at_least_s)
        self._kicked.clear()
        sleeping = asyncio.ensure_future(self._tools.clock.async_sleep(backoff_s(_BACKOFF, fruitless)))
        kicked = asyncio.ensure_future(self._kicked.wait())
        try:
            await asyncio.wait({sleeping, kicked}, return_when=asyncio.FIRST_COMPLETED)
            return kicked.done()
        finally:
            sleeping.cancel()
            kicked.cancel()

    def _note_trouble(self, trouble: str | None) -> None:
        if trouble is not None and self.trouble is None:
            _log.warning("clip %s: upload interrupted, will go on: %s", self.state.clip_id, trouble)
        if trouble is None and self.trouble is not None:
            _log.info("clip %s: upload went on", self.state.clip_id)
        self.trouble = trouble
