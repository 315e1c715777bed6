"""History: what the unit noted while nobody heard it, kept for the supervision centre (`up/history`).

Whoever makes health or positions notes every sample here; what becomes of it is decided here alone:

    note ──► in doubt ──(the broker answered something that was sent later)──► dropped
                │ the connection ended first
                ▼
    note ──► gathered ──(every GATHER_S, at a change, at the end)──► stored, thinned ──► sealed, sent
    offline

A connection may be half-open for minutes before anybody knows. So what is noted on one is in doubt until the broker
has answered something that the unit sent after it: a ping of the keep-alive, or a publication. While the broker
answers nothing is written; offline, samples are gathered and written together.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

from edge_agent.contract.messages import HistoryKind
from edge_agent.contract.model import canonical_json
from edge_agent.contract.names import Topics
from edge_agent.errors import LedgerError
from edge_agent.uplink.boot_clocks import BootClocks
from edge_agent.uplink.database import LinkDatabase
from edge_agent.uplink.outbox import Item
from edge_agent.uplink.resolution import bucket_of
from edge_agent.uplink.stamps import Stamper
from edge_agent.uplink.stored_history import BATCHES, MAX_SAMPLE_BYTES, Sample, Sender, keep, seal
from edge_agent.uplink.stored_queue import Row, StoredQueue
from edge_agent.uplink.wire import Outgoing

logger = logging.getLogger(__name__)

GATHER_S = 300.0
"""Samples are gathered for so long before they are written; a power cut or SIGKILL takes them."""
MAX_IN_MEMORY = 256
WINDOW = 2
"""Batches that are published and not acknowledged yet: a reply waits behind them in the line."""


class History:
    """Source of the pump (`outbox.OutboxSource`), and witness of the session (`session.Witness`)."""

    def __init__(
        self,
        database: LinkDatabase,
        stamper: Stamper,
        clocks: BootClocks,
        topics: Topics,
        wake: asyncio.Event,
        step_hook: Callable[[str], None] = lambda _name: None,
    ) -> None:
        """`step_hook` is called with `history:<step>:before` and `:after` around each durable step."""
        self._database = database
        self._stamper = stamper
        self._topic = topics.up("history")
        self._wake = wake
        self._hook = step_hook
        self._sender = Sender(topics.unit_id, stamper.boot_id, clocks)
        self._queue = StoredQueue(database, BATCHES, stamper.clock, step_hook)
        self._is_connected = False
        self._in_doubt: list[Sample] = []
        self._gathered: list[Sample] = []
        self._left_out: Counter[HistoryKind] = Counter()
        self._buckets: dict[HistoryKind, int] = {}
        self._states: dict[HistoryKind, object] = {}
        self._under_way = 0
        self._may_have_more = True
        self._writing = asyncio.Lock()  # one writer at a time: what a refused write gives back keeps its place
        self._problem = ""

    # -- notes

    def note(self, kind: HistoryKind, body: dict[str, Any]) -> None:
        """Take notice of a sample that was made just now; never waits, never fails.

        Args:
            kind: `health` or `position`.
            body: of `up/health` or `up/position`, as JSON types.
        """
        sample = self._sample(kind, body)
        if sample is None:
            self._left_out[kind] += 1
        elif self._is_connected:
            self._in_doubt.append(sample)
            self._bound(self._in_doubt)
        else:
            self._gather(sample)

    def heard(self, until_us: int) -> None:
        """The broker answered something that was sent at this monotonic time, µs, on the present connection."""
        self._in_doubt = [sample for sample in self._in_doubt if sample.monotonic_us > until_us]

    def ended(self) -> None:
        """The connection is over."""
        self._is_connected = False
        in_doubt, self._in_doubt = self._in_doubt, []
        for sample in in_doubt:
            self._gather(sample)

    def reconnected(self) -> None:
        """A connection begins: what waits is sent on it."""
        self._is_connected = True
        self._buckets.clear()
        self._queue.reconnected()
        self._may_have_more = True
        self._wake.set()

    def _sample(self, kind: HistoryKind, body: dict[str, Any]) -> Sample | None:
        """None when it cannot be sent."""
        text = _text_of(kind, body)
        if text is None:
            return None
        states = _states_of(kind, body)
        # The first of a life counts as one: what the last life saw is not known.
        is_change = kind not in self._states or states != self._states[kind]
        self._states[kind] = states
        clock = self._stamper.clock
        source = self._stamper.belief.source
        return Sample(kind, self._stamper.boot_id, clock.monotonic_us(), clock.wall_us(), source, is_change, text)

    def _gather(self, sample: Sample) -> None:
        bucket = bucket_of(sample.kind, sample.monotonic_us)
        if not sample.is_change and self._buckets.get(sample.kind) == bucket:
            return
        if not sample.is_change:
            self._buckets[sample.kind] = bucket
        self._gathered.append(sample)
        self._bound(self._gathered)

    def _bound(self, samples: list[Sample]) -> None:
        """Of too many, the oldest plain one is left out; the oldest when all are changes."""
        if len(samples) > MAX_IN_MEMORY:
            leaves = next((sample for sample in samples if not sample.is_change), samples[0])
            samples.remove(leaves)
            self._left_out[leaves.kind] += 1

    # -- the storage

    async def run(self) -> None:
        """Write what was gathered now and then, delete what has arrived; what is gathered at the end is written."""
        try:
            while True:
                await self._queue.rest()
                if self._is_connected:
                    await self._queue.delete_settled()
                    if self._gathered:  # the database refused when they were to be sent
                        self._wake.set()
                elif self._is_due():
                    await self.keep()
        finally:
            await self.keep()

    def _is_due(self) -> bool:
        if not self._gathered:
            return False
        age_us = self._stamper.clock.monotonic_us() - self._gathered[0].monotonic_us
        return age_us >= GATHER_S * 1e6 or any(sample.is_change for sample in self._gathered)

    async def keep(self) -> bool:
        """Write what was gathered; False when the database refused, and it stays in memory."""
        async with self._writing:
            return not (self._gathered or self._left_out) or await self._keep()

    async def _keep(self) -> bool:
        samples, left_out = self._gathered, self._left_out
        self._gathered, self._left_out = [], Counter()
        self._hook("history:kept:before")
        present = self._stamper.boot_id, self._stamper.clock.monotonic_us()
        try:
            work = partial(keep, samples=samples, left_out=dict(left_out), present=present)
            await self._database.write(work)
        except LedgerError as error:
            self._report(str(error))
            self._give_back(samples, left_out)
            return False
        self._hook("history:kept:after")
        self._report("")
        return True

    def _give_back(self, samples: list[Sample], left_out: Counter[HistoryKind]) -> None:
        self._gathered = samples + self._gathered
        self._left_out += left_out
        while len(self._gathered) > MAX_IN_MEMORY:
            self._bound(self._gathered)

    def _report(self, problem: str) -> None:
        if bool(problem) != bool(self._problem):
            logger.warning("history: %s", f"kept in memory: {problem}" if problem else "is stored again")
        self._problem = problem

    # -- what is sent

    async def next(self) -> Item | None:
        """See `OutboxSource.next`; at most `WINDOW` batches are under way."""
        if self._under_way >= WINDOW or not (self._may_have_more or self._gathered):
            return None
        row = await self._queue.next()
        if row is None and await self._seal():
            row = await self._queue.next()
        if row is None:
            self._may_have_more = False
            return None
        self._under_way += 1
        return Item((Outgoing(self._topic, row.body.encode()),), row)

    async def sent(self, item: Item) -> None:
        """See `OutboxSource.sent`; `run` deletes it."""
        self._under_way -= 1
        if isinstance(item.token, Row):
            self._queue.sent(item.token)

    def lost(self, item: Item) -> None:
        """See `OutboxSource.lost`."""
        self._under_way -= 1
        self._may_have_more = True
        if isinstance(item.token, Row):
            self._queue.lost(item.token)

    async def _seal(self) -> bool:
        if not await self.keep():
            return False
        self._hook("history:sealed:before")
        sealed = await self._database.write(partial(seal, sender=self._sender))
        if sealed:
            self._hook("history:sealed:after")
        return sealed


def _text_of(kind: HistoryKind, body: dict[str, Any]) -> str | None:
    try:
        text = canonical_json(body)
    except ValueError as error:
        logger.error("a sample of %s is left out: %s", kind, error)  # noqa: TRY400 -- the sentence says it all
        return None
    if len(text) > MAX_SAMPLE_BYTES:
        logger.error("a sample of %s has %d bytes and is left out", kind, len(text))
        return None
    return text.decode()


def _states_of(kind: HistoryKind, body: dict[str, Any]) -> object:
    """What of a sample makes it a change: states of the probes and cameras, how the place is known."""
    if kind == "position":
        properties = body.get("properties", {})
        return properties.get("fix"), properties.get("last_known")
    states = {name: probe.get("state") for name, probe in body.items() if isinstance(probe, dict)}
    cameras = body.get("camera", {}).get("cameras", {})
    return states | {f"camera {name}": (one.get("state"), one.get("recording")) for name, one in cameras.items()}
