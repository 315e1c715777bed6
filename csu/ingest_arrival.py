"""A clip arrives: its uploads become the folder `clips/<unit_id>/<clip_id>/`, and the centre is told, once at least.

Procedure, and what a cut after each step leaves:

1. the manifest's upload is complete, and so is an upload for every part it names; other uploads are no part of it
2. `arrivals/<unit_id>_<clip_id>.json` is written durably       – before: the clip is looked at again at start
3. each file is moved into the clip's folder, the manifest last – some moved: the rest follows at start
4. `on_complete` is called and returns                          – called again at start
5. the record is removed                                        – called once more at start, otherwise nothing

Steps 1 and 2 exclude removals of the clip's uploads; from step 2 on its files are the centre's and are not removed.
Step 3 replaces no file: what was handed over once, and perhaps verified, stays as it was.
"""

import asyncio
import errno
import hashlib
import logging
from collections import Counter
from pathlib import Path
from typing import Literal, Protocol

from pydantic import Field

from csu.backoff import delay_s
from csu.errors import ContractError
from csu.ingest_auth import KeyLookup
from csu.ingest_store import UploadStore
from csu.ingest_turn import Exclusive
from csu.ingest_upload import Upload
from edge_agent.clock import Clock
from edge_agent.contract.manifest import read_manifest
from edge_agent.contract.model import ContractModel
from edge_agent.contract.names import HexId, UnitId, Uuid
from edge_agent.contract.upload import FileName
from edge_agent.durable import fsync_directory, make_directory, move_file, remove_file, write_file

_MAX_RECORD_BYTES = 8_000_000
_DAMAGED = ".damaged"
_RETRY_FIRST_S = 1.0
_RETRY_CAP_S = 300.0

_log = logging.getLogger(__name__)


class OnComplete(Protocol):
    """What is called for a clip that has arrived; may be called again for the same clip."""

    async def __call__(self, *, unit_id: str, clip_id: str, folder: Path) -> None:
        """Verify, store, send the receipt; when it raises, it is called again later."""
        ...


class Move(ContractModel):
    """One file of an arriving clip."""

    upload_id: HexId
    filename: FileName


class Arrival(ContractModel):
    """`arrivals/<unit_id>_<clip_id>.json`; moves in order, the manifest last."""

    schema_: Literal["ingest-arrival/1"] = Field("ingest-arrival/1", alias="schema")
    unit_id: UnitId
    clip_id: Uuid
    moves: tuple[Move, ...]


class ArrivalStore:
    """The records and the folders; everything here blocks."""

    def __init__(self, records: Path, ingest: Path, clips: Path) -> None:
        self._records = records
        self._ingest = ingest
        self._clips = clips

    def load(self) -> list[Arrival]:
        """Arrivals that were not handed over yet; a damaged record, which no cut leaves, becomes `….json.damaged`.

        Raises:
            OSError: the directory cannot be made or read.
        """
        make_directory(self._records)
        arrivals = []
        for path in sorted(self._records.glob("*.json")):
            try:
                arrivals.append(Arrival.from_json(path.read_bytes(), _MAX_RECORD_BYTES))
            except (ContractError, OSError) as error:
                _log.error("%s is damaged and set aside; its clip is looked at again: %s", path, error)
                path.rename(path.with_name(path.name + _DAMAGED))
        return arrivals

    def damaged(self) -> list[tuple[str, str]]:
        """Unit and clip of each damaged record, by its name: the clip can be found again from its uploads."""
        names = [path.name.removesuffix(".json" + _DAMAGED) for path in self._records.glob("*.json" + _DAMAGED)]
        clips = [name.rpartition("_") for name in sorted(names)]
        return [(unit_id, clip_id) for unit_id, _, clip_id in clips]

    def _path(self, arrival: Arrival) -> Path:
        return self._records / f"{arrival.unit_id}_{arrival.clip_id}.json"

    def note(self, arrival: Arrival) -> None:
        """Step 2.

        Raises:
            OSError: the storage refused.
        """
        write_file(self._path(arrival), arrival.to_json())

    def put_together(self, arrival: Arrival) -> Path:
        """Step 3, safe to repeat; the clip's folder.

        Raises:
            FileExistsError: other bytes lie there under the name of one of its files; they are left as they are.
            OSError: the storage refused.
        """
        folder = self._clips / arrival.unit_id / arrival.clip_id
        make_directory(folder)
        for move in arrival.moves:
            source = self._ingest / move.upload_id / "data"
            if source.exists():
                _move_in(source, folder / move.filename)
        return folder

    def forget(self, arrival: Arrival) -> None:
        """Step 5.

        Raises:
            OSError: the storage refused.
        """
        self._path(arrival).unlink(missing_ok=True)
        fsync_directory(self._records)


def _move_in(source: Path, target: Path) -> None:
    if target.exists() and not target.stat().st_size:
        target.unlink()  # no upload is empty: a cut left a name that was only claimed (durable.move_file)
    try:
        move_file(source, target)
    except FileExistsError as error:
        if not _is_same(source, target):
            raise FileExistsError(errno.EEXIST, "other bytes lie there already", str(target)) from error
        remove_file(source)


def _is_same(one: Path, other: Path) -> bool:
    if one.samefile(other):
        return True
    return one.stat().st_size == other.stat().st_size and _digest(one) == _digest(other)


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def clip_key(unit_id: str, clip_id: str) -> str:
    """What excludes work on the same clip."""
    return f"{unit_id}/{clip_id}"


class Arrivals:
    """Finds complete clips, puts them together and hands them over, one after another, in a task of its own."""

    def __init__(
        self,
        uploads: UploadStore,
        store: ArrivalStore,
        evidence_keys: KeyLookup,
        on_complete: OnComplete,
        clips: Exclusive,
        clock: Clock,
    ) -> None:
        self._uploads = uploads
        self._store = store
        self._evidence_keys = evidence_keys
        self._on_complete = on_complete
        self._clips = clips
        self._clock = clock
        self._waiting: dict[tuple[str, str], None] = {}  # a set that keeps its order; one entry a clip at most
        self._noted: dict[tuple[str, str], Arrival] = {}
        self._handed_over: Counter[str] = Counter()
        self._wake = asyncio.Event()

    def look_at(self, unit_id: str, clip_id: str) -> None:
        """An upload of this clip is complete: see whether the clip is."""
        self._waiting[unit_id, clip_id] = None
        self._wake.set()

    def is_noted(self, unit_id: str, clip_id: str) -> bool:
        """Whether the clip is being put together and handed over: its files are no longer the unit's to remove."""
        return (unit_id, clip_id) in self._noted

    def handed_over_of(self, unit_id: str) -> int:
        """How many clips of a unit were handed over since the start."""
        return self._handed_over[unit_id]

    async def run(self) -> None:
        """Hand over what arrives, for ever; what could not be handed over is tried again."""
        failures = 0
        while True:
            await self._wake.wait()
            self._wake.clear()
            failed = await self._hand_over_all()
            failures = failures + 1 if failed else 0
            if failed:
                await self._pause(delay_s(failures, _RETRY_FIRST_S, _RETRY_CAP_S))
                for clip in failed:
                    self.look_at(*clip)

    async def load(self) -> None:
        """Take up, before `run`, what arrived and was not handed over.

        Raises:
            OSError: the directory cannot be made or read.
        """
        for arrival in await asyncio.to_thread(self._store.load):
            self._noted[arrival.unit_id, arrival.clip_id] = arrival
            self.look_at(arrival.unit_id, arrival.clip_id)
        for clip in await asyncio.to_thread(self._store.damaged):
            self.look_at(*clip)
        for manifest in await asyncio.to_thread(self._uploads.waiting_manifests):
            self.look_at(manifest.info.metadata.unit_id, manifest.info.metadata.clip_id)

    async def _pause(self, seconds: float) -> None:
        """Wait before what failed is tried again, or until something new arrives."""
        sleeping = asyncio.ensure_future(self._clock.async_sleep(seconds))
        waking = asyncio.ensure_future(self._wake.wait())
        try:
            await asyncio.wait({sleeping, waking}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()
            waking.cancel()

    async def _hand_over_all(self) -> list[tuple[str, str]]:
        failed = []
        while self._waiting:
            clip = next(iter(self._waiting))
            del self._waiting[clip]
            try:
                await self._hand_over(*clip)
            except Exception:  # noqa: BLE001 -- whatever `on_complete` raised, other clips have to be handed over
                _log.exception("clip %s of %s: could not be handed over, will be tried again", clip[1], clip[0])
                failed.append(clip)
        return failed

    async def _hand_over(self, unit_id: str, clip_id: str) -> None:
        async with self._clips.alone(clip_key(unit_id, clip_id)):
            arrival = self._noted.get((unit_id, clip_id)) or await self._find(unit_id, clip_id)
            if arrival is None:
                return
            await asyncio.to_thread(self._store.note, arrival)
            self._noted[unit_id, clip_id] = arrival
        folder = await asyncio.to_thread(self._store.put_together, arrival)
        await self._on_complete(unit_id=unit_id, clip_id=clip_id, folder=folder)
        await asyncio.to_thread(self._store.forget, arrival)
        del self._noted[unit_id, clip_id]
        self._handed_over[unit_id] += 1

    async def _find(self, unit_id: str, clip_id: str) -> Arrival | None:
        uploads = self._uploads.table.of_clip(unit_id, clip_id)
        manifest = next((one for one in uploads if one.info.metadata.kind == "manifest"), None)
        # The manifest comes last; without it a clip's parts, thousands perhaps, are not looked at after each one.
        if manifest is None or not await asyncio.to_thread(manifest.is_complete):
            return None
        complete = await asyncio.to_thread(lambda: [upload for upload in uploads if upload.is_complete()])
        parts = [one for one in complete if one.info.metadata.kind == "part"]
        named = await self._named_parts(unit_id, manifest)
        if named is not None:
            parts = [part for part in parts if part.info.metadata.index in named]
            if len(parts) < len(named):
                return None
        moves = [
            Move(upload_id=one.info.upload_id, filename=one.info.metadata.filename) for one in [*parts, manifest]
        ]
        return Arrival(unit_id=unit_id, clip_id=clip_id, moves=tuple(moves))

    async def _named_parts(self, unit_id: str, manifest: Upload) -> set[int] | None:
        """Indices of the parts that the manifest names.

        None when it cannot be read: the clip is then handed over with what there is, so that whoever verifies it
        says what is wrong instead of nobody.
        """
        keys = await self._evidence_keys(unit_id)
        if keys is None:
            return None
        try:
            token = (await asyncio.to_thread(manifest.content)).decode("ascii")
            document = await asyncio.to_thread(read_manifest, token, keys)
        except (ContractError, UnicodeDecodeError) as error:
            _log.warning("clip %s of %s: manifest: %s", manifest.info.metadata.clip_id, unit_id, error)
            return None
        return {part.index for part in document.parts}
