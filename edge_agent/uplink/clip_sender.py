"""What of a clip has to go where: its parts one after another, then its signed manifest.

Every step is safe to repeat after a kill: an upload is created before its URL is written (the ingest answers a second
creation with the same upload), a part is noted as done after the ingest has all of it and written with the next
upload's URL, the manifest is signed once and written before its upload is created.

Over plain HTTP nobody vouches for what was created: the ingest is asked for its length and name before it is filled.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar

from edge_agent.buffer.clip.reader import PartReader, read_plan
from edge_agent.clock import Clock
from edge_agent.contract.clip import ClipPlan, Part
from edge_agent.contract.jws import SigningKey
from edge_agent.contract.manifest import MANIFEST_FILE_NAME, build_manifest, sign_manifest
from edge_agent.contract.messages import Progress
from edge_agent.contract.upload import UploadKind, UploadMetadata
from edge_agent.errors import (
    ContractError,
    FormatError,
    RingStorageError,
    TransferInterruptedError,
    TransferLostError,
    TransferRefusedError,
    TransferTooLargeError,
)
from edge_agent.settings import UploadSettings
from edge_agent.uplink.blocks import ByteSource, ChunkBody, RunningDigest, TextSource
from edge_agent.uplink.chunk_size import ChunkSize
from edge_agent.uplink.paced_sending import Ways
from edge_agent.uplink.progress import ProgressMeter
from edge_agent.uplink.slots import Slots, Turn
from edge_agent.uplink.transfer_state import ItemState, TransferState, TransferStore
from edge_agent.uplink.tus import Timeouts, TusClient

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TransferTools:
    """What all transfers of a unit share."""

    data_dir: Path
    settings: UploadSettings
    key: SigningKey
    unit_id: str
    clock: Clock
    store: TransferStore
    slots: Slots
    timeouts: Timeouts
    ways: Ways


@dataclass(frozen=True, slots=True)
class _Item:
    """One upload: its bytes, what it is called, and how its state is put back into the transfer's."""

    source: ByteSource
    digest: RunningDigest
    metadata: UploadMetadata
    state: ItemState
    put_back: Callable[[ItemState], TransferState]


class ClipSender:
    """Sends what the ingest does not have yet; one attempt a call of `attempt`."""

    def __init__(
        self, state: TransferState, tools: TransferTools, tus: TusClient, report: Callable[[Progress], None]
    ) -> None:
        self.state = state
        self.most_held_bytes = 0
        """The most that the ingest ever held: net progress is when this grows."""
        self._tools = tools
        self._tus = tus
        self._report = report
        self._plan: ClipPlan | None = None
        self._meter = ProgressMeter(0, tools.clock)
        self._sources: dict[int, tuple[PartReader, RunningDigest]] = {}
        self._chunk_size = ChunkSize(tools.settings.chunk_bytes, tools.clock)
        self._done_bytes = 0
        self._saving: asyncio.Future[None] | None = None

    async def attempt(self, turn: Turn) -> None:
        """Send until everything is there.

        Raises:
            TransferInterruptedError, TransferRefusedError: see `tus`; storage errors of the state are interruptions.
            FormatError: bytes that the plan names, or the plan itself, cannot be read any more.
        """
        plan = await self._read_plan()
        self._done_bytes = 0
        for position, part in enumerate(plan.parts):
            await self._send(self._part_item(plan, position, part), turn)
            await asyncio.to_thread(self._sources.pop(position)[0].close)
        await self._send(await self._manifest_item(plan), turn)

    async def save(self, state: TransferState) -> None:
        """Make a state durable and current.

        Raises:
            TransferInterruptedError: the storage refused.
        """
        self._saving = asyncio.ensure_future(asyncio.to_thread(self._tools.store.save, state))
        try:
            # Shielded: a write that goes on in its thread after a cancellation must be waited for (`settle`).
            await asyncio.shield(self._saving)
        except OSError as error:
            raise TransferInterruptedError(f"the state of the upload cannot be stored: {error}") from error
        self.state = state

    async def settle(self) -> None:
        """Wait for a write that a cancellation left behind, and let go of files."""
        if self._saving is not None:
            await asyncio.wait({self._saving})
        for source, _ in self._sources.values():
            await asyncio.to_thread(source.close)

    async def _read_plan(self) -> ClipPlan:
        if self._plan is None:
            plan = await self._reading(read_plan, self._tools.data_dir / self.state.plan_file)
            if len(plan.parts) != len(self.state.parts):
                raise FormatError(f"{self.state.plan_file}: not the plan whose upload began")
            self._plan = plan
            self._meter = ProgressMeter(plan.length_bytes, self._tools.clock)
        return self._plan

    def _part_item(self, plan: ClipPlan, position: int, part: Part) -> _Item:
        if position not in self._sources:
            plan_file = self._tools.data_dir / self.state.plan_file
            source = PartReader(self._tools.data_dir / "ring" / plan.camera, plan_file, part)
            self._sources[position] = source, RunningDigest(source)
        source, digest = self._sources[position]
        metadata = self._metadata("part", part.index, part.file_name)
        return _Item(
            source, digest, metadata, self.state.parts[position], lambda item: self.state.with_part(position, item)
        )

    async def _manifest_item(self, plan: ClipPlan) -> _Item:
        source = TextSource(await self._signed_manifest(plan))
        metadata = self._metadata("manifest", 0, MANIFEST_FILE_NAME)
        return _Item(source, RunningDigest(source), metadata, self.state.manifest, self.state.with_manifest)

    def _metadata(self, kind: UploadKind, index: int, filename: str) -> UploadMetadata:
        try:
            return UploadMetadata(
                clip_id=self.state.clip_id, unit_id=self._tools.unit_id, kind=kind, index=index, filename=filename
            )
        except ValueError as error:
            raise FormatError(f"{self.state.plan_file}: part {index} cannot be named {filename!r:.80}") from error

    async def _signed_manifest(self, plan: ClipPlan) -> bytes:
        """The manifest's text, signed once in a clip's life."""
        digests = [item.sha256 for item in self.state.parts if item.sha256 is not None]
        try:
            return await asyncio.to_thread(self._load_or_sign, plan, digests)
        except OSError as error:
            raise TransferInterruptedError(f"the manifest cannot be stored: {error}") from error
        except ContractError as error:
            raise FormatError(str(error)) from error

    def _load_or_sign(self, plan: ClipPlan, digests: list[str]) -> bytes:
        kept = self._tools.store.load_manifest(plan.clip_id)
        if kept is not None:
            return kept
        token = sign_manifest(build_manifest(plan, digests), self._tools.key)
        self._tools.store.save_manifest(plan.clip_id, token)
        return token.encode("ascii")

    async def _send(self, item: _Item, turn: Turn) -> None:
        if not item.state.done:
            location, offset = await self._begin(item)
            await self._reading(item.digest.catch_up, offset)
            self._begin_measuring(offset)
            while offset < item.source.length_bytes:
                await turn.step_aside()
                offset = await self._send_chunk(item, location, offset)
                self._reached(offset, item)
            sha256 = await self._reading(item.digest.finish)
            # Durable with the next event, the creation of the next upload or the end: a kill in between costs a HEAD
            # and reading the part once more for its digest.
            self.state = item.put_back(ItemState(location=location, sha256=sha256, done=True))
        self._done_bytes += item.source.length_bytes

    async def _reading(self, step: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        try:
            return await asyncio.to_thread(step, *arguments, **named)
        except RingStorageError as error:
            raise TransferInterruptedError(str(error)) from error

    async def _send_chunk(self, item: _Item, location: str, offset: int) -> int:
        size_bytes = min(self._chunk_size.begin(), item.source.length_bytes - offset)
        body = ChunkBody(item.source, item.digest, offset, size_bytes)
        try:
            reached = await self._tus.append(location, offset, body)
        except TransferInterruptedError:
            self._chunk_size.interrupted()
            raise
        except TransferTooLargeError as error:
            if not self._chunk_size.too_large():
                raise
            raise TransferInterruptedError(f"{error}; going on with smaller requests") from error
        self._chunk_size.end(reached - offset)
        return reached

    async def _begin(self, item: _Item) -> tuple[str, int]:
        """Where the upload is and how far; created when it is not there."""
        location, offset = item.state.location, -1
        if location is None:
            location, offset = await self._tus.create(self.state.url, item.source.length_bytes, item.metadata)
            await self.save(item.put_back(ItemState(location=location)))
        if offset < 0 or not location.startswith("https:"):  # see the module
            offset = await self._offset(item, location)
        if offset > item.source.length_bytes:
            raise TransferRefusedError(f"the ingest holds {offset} bytes of a {item.source.length_bytes}-byte file")
        self.most_held_bytes = max(self.most_held_bytes, self._done_bytes + offset)
        return location, offset

    async def _offset(self, item: _Item, location: str) -> int:
        try:
            return await self._tus.offset(location, item.source.length_bytes, item.metadata)
        except TransferLostError:
            await self.save(item.put_back(ItemState()))
            raise

    def _begin_measuring(self, offset: int) -> None:
        self._meter.begin(self._done_bytes + offset)

    def _reached(self, offset: int, item: _Item) -> None:
        held_bytes = self._done_bytes + offset
        self.most_held_bytes = max(self.most_held_bytes, held_bytes)
        if item.metadata.kind == "part":
            self._report(self._meter.reached(held_bytes))
