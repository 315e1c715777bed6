"""The uploads of a unit: submitted by clip id, durable from then on, reported until they are let go of."""

import asyncio
import logging
from pathlib import Path
from typing import Protocol

import aiohttp

from edge_agent.buffer.clip.reader import read_plan
from edge_agent.clock import Clock
from edge_agent.contract.codes import ErrorCode
from edge_agent.contract.commands import Priority
from edge_agent.contract.jws import SigningKey
from edge_agent.contract.messages import Progress
from edge_agent.contract.upload import origin_of
from edge_agent.errors import ContractError, FormatError, RingStorageError, TransferInterruptedError, UplinkError
from edge_agent.settings import UploadSettings
from edge_agent.uplink.clip_sender import TransferTools
from edge_agent.uplink.http_session import open_session
from edge_agent.uplink.paced_sending import Ways
from edge_agent.uplink.slots import Slots
from edge_agent.uplink.transfer import ClipTransfer
from edge_agent.uplink.transfer_state import ItemState, Outcome, TransferState, TransferStore
from edge_agent.uplink.tus import Timeouts

_ABANDON_S = 5.0

_log = logging.getLogger(__name__)


class TransferListener(Protocol):
    """What hears of transfers; ends are reported again after a restart until the clip is cancelled."""

    def on_progress(self, clip_id: str, progress: Progress) -> None:
        """The ingest acknowledged more."""
        ...

    def on_delivered(self, clip_id: str, manifest_sha256: str) -> None:
        """The ingest has every part and the manifest."""
        ...

    def on_refused(self, clip_id: str, code: str, message: str) -> None:
        """The ingest said no for good; the message holds its words."""
        ...

    def on_damaged(self, clip_id: str, message: str) -> None:
        """Bytes that the plan names can no longer be read."""
        ...


class Transfers:
    """All transfers of a unit.

    Args:
        data_dir: of the unit; states lie in `link/transfers/` under it.
        settings: `[upload]`.
        key: the unit's, for tokens and manifests.
        unit_id: of the unit.
        clock: injected.
        listener: hears of ends and progress; set later with `listen` where it needs these transfers first.
        timeouts: of requests.
    """

    def __init__(
        self,
        data_dir: Path,
        settings: UploadSettings,
        key: SigningKey,
        unit_id: str,
        clock: Clock,
        listener: TransferListener | None = None,
        timeouts: Timeouts | None = None,
    ) -> None:
        store = TransferStore(data_dir / "link" / "transfers")
        slots = Slots(settings.concurrent)
        ways = Ways(clock, settings.max_kbps * 125.0 if settings.max_kbps else None)
        self._tools = TransferTools(
            data_dir, settings, key, unit_id, clock, store, slots, timeouts or Timeouts(), ways
        )
        self._listener = listener
        self._session: aiohttp.ClientSession | None = None
        self._running: dict[str, tuple[ClipTransfer, asyncio.Task[None]]] = {}
        self._lock = asyncio.Lock()  # protects each clip's state file and its entry in `_running` from one another

    def listen(self, listener: TransferListener) -> None:
        """Set who hears of transfers; before `run`."""
        self._listener = listener

    async def run(self) -> None:
        """Take up every transfer that is on disk, and those that are submitted, until cancelled.

        Raises:
            SettingsError: TLS files of the settings cannot be used.
            OSError: the data directory cannot be used.
        """
        async with await open_session(self._tools.settings) as session:
            try:
                await self._take_up(session)
                await asyncio.Event().wait()
            finally:
                self._session = None
                await self._stop()

    async def submit(self, clip_id: str, plan_file: Path, url: str, priority: Priority) -> None:
        """Begin an upload, durable on return; a known one is left alone, an ended one is reported again.

        One whose state was damaged begins anew from its plan; the ingest knows what it has of it.

        Raises:
            TransferInterruptedError: the state cannot be stored; to be submitted again.
        """
        async with self._lock:
            if clip_id in self._running and not self._running[clip_id][1].done():
                return
            try:
                state = await asyncio.to_thread(self._load_or_make, clip_id, plan_file, url, priority)
            except (OSError, RingStorageError) as error:
                raise TransferInterruptedError(f"the upload's state cannot be stored: {error}") from error
            self._start(state)

    async def cancel(self, clip_id: str) -> None:
        """End an upload, whatever its state, and forget it; safe to repeat.

        What the ingest has of it is removed there, if it listens, unless everything was delivered.

        Raises:
            TransferInterruptedError: the state cannot be removed; to be cancelled again.
        """
        async with self._lock:
            transfer = await self._end(clip_id)
            try:
                await asyncio.to_thread(self._tools.store.remove, clip_id)
            except OSError as error:
                raise TransferInterruptedError(f"the upload's state cannot be removed: {error}") from error
        if transfer is not None:
            await self._abandon(transfer)

    async def known(self) -> list[str]:
        """Clips whose upload has a state on disk, ended ones included."""
        return await asyncio.to_thread(self._tools.store.list)

    def kick(self) -> None:
        """The network is back: what waits tries now."""
        for transfer, _ in self._running.values():
            transfer.kick()

    async def _take_up(self, session: aiohttp.ClientSession) -> None:
        async with self._lock:
            await asyncio.to_thread(self._tools.store.open)
            self._session = session
            for clip_id in await asyncio.to_thread(self._tools.store.list):
                await self._take_up_one(clip_id)

    async def _take_up_one(self, clip_id: str) -> None:
        """What cannot be read now is submitted again by whoever waits for it."""
        try:
            state = await asyncio.to_thread(self._load, clip_id)
        except OSError as error:
            _log.warning("clip %s: the upload's state cannot be read: %s", clip_id, error)
            return
        if state is not None:
            self._start(state)

    def _load(self, clip_id: str) -> TransferState | None:
        """The state on disk; a damaged one is set aside, as if there were none.

        One that would go to an origin that the settings no longer allow has ended.
        """
        store = self._tools.store
        try:
            state = store.load(clip_id)
        except FormatError as error:
            aside = store.set_aside(clip_id, self._tools.clock.wall_us())
            _log.error("clip %s: the upload's state is damaged and set aside as %s: %s", clip_id, aside.name, error)
            return None
        if state is None or state.outcome is not None:
            return state
        problems = map(self._why_not, (state.url, *state.locations()))
        outcome = next((problem for problem in problems if problem is not None), None)
        return state if outcome is None else state.with_outcome(outcome)

    def _load_or_make(self, clip_id: str, plan_file: Path, url: str, priority: Priority) -> TransferState:
        self._tools.store.open()
        state = self._load(clip_id)
        if state is None:
            state = self._make(clip_id, plan_file, url, priority)
            self._tools.store.save(state)
        return state

    def _make(self, clip_id: str, plan_file: Path, url: str, priority: Priority) -> TransferState:
        outcome = self._why_not(url)
        data_dir = self._tools.data_dir
        parts: tuple[ItemState, ...] = ()
        try:
            parts = tuple(ItemState() for _ in read_plan(data_dir / plan_file).parts)
        except FormatError as error:
            outcome = Outcome(kind="damaged", code=ErrorCode.FOOTAGE_DAMAGED, message=str(error))
        return TransferState(
            clip_id=clip_id,
            plan_file=str(plan_file.relative_to(data_dir) if plan_file.is_relative_to(data_dir) else plan_file),
            url=url,
            priority=priority,
            submitted_us=self._tools.clock.wall_us(),
            parts=parts,
            outcome=outcome,
        )

    def _why_not(self, url: str) -> Outcome | None:
        """An upload goes only to origins that the unit was given, whatever a command says."""
        allowed = {origin_of(known) for known in (self._tools.settings.url, *self._tools.settings.allowed_origins)}
        try:
            if origin_of(url) in allowed:
                return None
            message = f"{url!r:.200} is on none of the origins that this unit may upload to"
        except ContractError as error:
            message = str(error)
        return Outcome(kind="refused", code=ErrorCode.ORIGIN_NOT_ALLOWED, message=message)

    def _start(self, state: TransferState) -> None:
        if self._session is None:
            return

        def report(progress: Progress) -> None:
            if self._listener is not None:
                self._listener.on_progress(state.clip_id, progress)

        transfer = ClipTransfer(state, self._tools, self._session, report)
        task = asyncio.create_task(self._drive(transfer), name=f"upload {state.clip_id}")
        self._running[state.clip_id] = transfer, task

    async def _drive(self, transfer: ClipTransfer) -> None:
        try:
            outcome = await transfer.run()
        except Exception as error:  # noqa: BLE001 -- a defect ends one clip, with a message, and no other
            _log.exception("clip %s: upload ended by a defect", transfer.state.clip_id)
            outcome = Outcome(kind="refused", code=ErrorCode.INTERNAL, message=f"{type(error).__name__}: {error}")
        self._report_end(transfer.state.clip_id, outcome, transfer.state.manifest.sha256 or "")

    def _report_end(self, clip_id: str, outcome: Outcome, manifest_sha256: str) -> None:
        if self._listener is None:
            return
        if outcome.kind == "delivered":
            self._listener.on_delivered(clip_id, manifest_sha256)
        elif outcome.kind == "refused":
            self._listener.on_refused(clip_id, outcome.code, outcome.message)
        else:
            self._listener.on_damaged(clip_id, outcome.message)

    async def _end(self, clip_id: str) -> ClipTransfer | None:
        """Stop a transfer's task and wait until it writes nothing more."""
        if clip_id not in self._running:
            return None
        transfer, task = self._running.pop(clip_id)
        task.cancel()
        await asyncio.wait({task})
        await transfer.settle()
        return transfer

    async def _abandon(self, transfer: ClipTransfer) -> None:
        try:
            async with asyncio.timeout(_ABANDON_S):
                await transfer.abandon()
        except (UplinkError, TimeoutError) as error:
            _log.info("clip %s: the ingest was not told of the end: %s", transfer.state.clip_id, error)

    async def _stop(self) -> None:
        async with self._lock:
            for clip_id in list(self._running):
                await self._end(clip_id)
