"""The ingest: a small, strict tus 1.0.0 server (core, creation, expiration, termination) for clips.

https://tus.io/protocols/resumable-upload is what it follows. What it adds, each for a failure seen elsewhere:

- the sender is known, and the upload is its own, before a byte of the body is read (`Expect: 100-continue` included);
- the offset is the size of the file, and what was answered with it was synced before;
- a newer request on an upload drops the older one (csu.ingest_turn);
- no name that a client sends becomes a path (names match a pattern; the folder's are UUIDs and unit ids).

A creation for a part that is already there, of the same length, answers with the upload that there is and its
`Upload-Offset`: a unit that lost the first answer goes on instead of beginning again.
"""

import asyncio
import errno
import logging
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager
from email.utils import formatdate
from pathlib import Path

from aiohttp import web

from csu.errors import ContractError, UploadRefusedError
from csu.ingest_arrival import Arrivals, ArrivalStore, OnComplete, clip_key
from csu.ingest_auth import Authoriser, KeyLookup
from csu.ingest_body import BodyWriter
from csu.ingest_quota import IngestLimits, Quota
from csu.ingest_store import UploadStore
from csu.ingest_turn import Exclusive, Gates
from csu.ingest_upload import Upload
from edge_agent.clock import Clock
from edge_agent.contract.manifest import MANIFEST_FILE_NAME, MAX_MANIFEST_BYTES
from edge_agent.contract.upload import PATCH_CONTENT_TYPE, TUS_VERSION, UploadMetadata, origin_of

PREFIX = "/files/"
EXTENSIONS = "creation,expiration,termination"

_NUMBER = re.compile(r"[0-9]{1,15}")
_DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_EXPIRY_CHECK_S = 300.0

_log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Ingest:
    """The application; `app` is what an aiohttp runner serves (csu.ingest_server does).

    Args:
        directory: the centre's; `ingest/`, `arrivals/` and `clips/` are made in it.
        keys: the enrolled units' keys.
        evidence_keys: what a unit's manifests are read with, also when it is shut out by now; `keys` unless given.
        on_complete: called for each clip that has arrived, once at least.
        clock: of the centre.
        origins: scheme, host and port under which units reach this ingest; `add_origin` adds one.
        limits: what is taken.
    """

    def __init__(
        self,
        directory: Path,
        keys: KeyLookup,
        on_complete: OnComplete,
        clock: Clock,
        *,
        evidence_keys: KeyLookup | None = None,
        origins: Collection[str] = (),
        limits: IngestLimits | None = None,
    ) -> None:
        self._origins = {origin_of(origin) for origin in origins}
        self._clock = clock
        self._limits = limits or IngestLimits()
        self._auth = Authoriser(keys, self._origins, clock)
        clips = directory / "clips"
        self._uploads = UploadStore(directory / "ingest", clips)
        store = ArrivalStore(directory / "arrivals", directory / "ingest", clips)
        self._clips = Exclusive()
        self._arrivals = Arrivals(self._uploads, store, evidence_keys or keys, on_complete, self._clips, clock)
        self._quota = Quota(self._uploads, self._arrivals, self._limits, clock)
        self._gates = Gates()
        self._requests: Counter[str] = Counter()
        self.app = self._build()

    def add_origin(self, url: str) -> None:
        """Accept tokens for the origin of this URL too.

        Raises:
            ContractError: not such a URL.
        """
        self._origins.add(origin_of(url))

    def shut_out(self, unit_id: str) -> None:
        """End a unit's open requests, whose tokens were looked at when they began; `keys` refuses further ones."""
        for upload in self._uploads.table.of_unit(unit_id):
            self._gates.drop(upload.info.upload_id)

    def _build(self) -> web.Application:
        app = web.Application(middlewares=[self._answer_errors])
        one = PREFIX + "{upload_id}"
        app.router.add_route("OPTIONS", PREFIX, self._options)
        app.router.add_route("OPTIONS", one, self._options)
        app.router.add_route("POST", PREFIX, self._create, expect_handler=_no_continue)
        for method in ("HEAD", "PATCH", "DELETE", "POST"):
            app.router.add_route(method, one, self._one, expect_handler=_no_continue)
        app.cleanup_ctx.append(self._background)
        return app

    async def _background(self, _app: web.Application) -> AsyncIterator[None]:
        await asyncio.to_thread(self._uploads.load)
        await self._arrivals.load()
        tasks = [asyncio.create_task(self._arrivals.run()), asyncio.create_task(self._expire())]
        yield
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    async def _expire(self) -> None:
        while True:
            try:
                idle = await asyncio.to_thread(self._uploads.idle_since, *self._idle_instants())
            except OSError as error:
                _log.warning("which uploads have expired cannot be seen, tried again later: %s", error)
            else:
                await self._expire_all(idle)
            await self._clock.async_sleep(_EXPIRY_CHECK_S)

    async def _expire_all(self, idle: list[Upload]) -> None:
        """Each on its own: one that the storage does not let go keeps no other."""
        problems = []
        for upload in idle:
            try:
                await self._expire_one(upload)
            except (OSError, UploadRefusedError) as error:
                problems.append(error)
        if problems:
            _log.warning("%d expired uploads are not removed, tried again later: %s", len(problems), problems[0])

    def _idle_instants(self) -> tuple[int, int]:
        """What `Upload.is_idle` takes, as of now."""
        now_us = self._clock.wall_us()
        return now_us - round(self._limits.expiry_s * 1e6), now_us - round(self._limits.empty_expiry_s * 1e6)

    async def _expire_one(self, upload: Upload) -> None:
        """Remove an upload that was found idle, unless it was taken up since."""
        upload_id = upload.info.upload_id
        async with self._removing(upload) as is_allowed:
            # Who works on it would be cut off by a turn of ours.
            if not is_allowed or self._gates.is_busy(upload_id):
                return
            async with self._gates.turn(upload_id) as turn:
                if await asyncio.to_thread(upload.is_idle, *self._idle_instants()) and not turn.dropped:
                    await asyncio.to_thread(self._uploads.remove, upload)
                    _log.info("upload %s expired", upload_id)

    @web.middleware
    async def _answer_errors(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            response = await self._handle(request, handler)
        except UploadRefusedError as error:
            response = _refusal(error.status, str(error))
        except web.HTTPException as error:
            response = _refusal(error.status, error.reason)
        except OSError as error:
            _log.exception("%s %s: storage", request.method, request.path)
            response = _refusal(507 if error.errno in _DISK_FULL else 500, f"storage: {error.strerror}")
        response.headers["Tus-Resumable"] = TUS_VERSION
        # By the clock that judges tokens: a unit whose token was refused dates the next one by it.
        response.headers["Date"] = formatdate(self._clock.wall_us() / 1e6, usegmt=True)
        return response

    async def _handle(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.method != "OPTIONS" and request.headers.get("Tus-Resumable") != TUS_VERSION:
            raise UploadRefusedError(
                412, f"this server speaks tus {TUS_VERSION}: send `Tus-Resumable: {TUS_VERSION}`"
            )
        return await handler(request)

    async def _options(self, _request: web.Request) -> web.Response:
        headers = {
            "Tus-Version": TUS_VERSION,
            "Tus-Extension": EXTENSIONS,
            "Tus-Max-Size": str(self._limits.max_part_bytes),
        }
        return web.Response(status=204, headers=headers)

    async def _create(self, request: web.Request) -> web.Response:
        unit_id = await self._auth.unit_of(request.headers.get("Authorization"))
        length_bytes = _number(request, "Upload-Length")
        metadata = self._metadata(request, unit_id)
        self._check_length(metadata, length_bytes)
        if request.content_length or request.headers.get("Transfer-Encoding"):
            raise UploadRefusedError(400, "a creation has no body here (creation-with-upload is not offered)")
        # Two creations for a clip at once must not both find nothing there.
        async with self._clips.alone(clip_key(unit_id, metadata.clip_id)):
            upload = await self._existing(metadata, length_bytes) or await self._new(metadata, length_bytes)
        return await self._created(upload)

    async def _existing(self, metadata: UploadMetadata, length_bytes: int) -> Upload | None:
        twin = self._uploads.table.twin(metadata)
        if twin is None:
            return None
        if not await asyncio.to_thread(twin.has_bytes):
            await self._replace(twin)
            return None
        if twin.info.length_bytes == length_bytes and twin.info.metadata == metadata and metadata.kind == "part":
            return twin
        if await asyncio.to_thread(twin.is_complete):
            if twin.info.length_bytes == length_bytes and twin.info.metadata == metadata:
                return twin
            raise UploadRefusedError(400, f"this {metadata.kind} is already here, with another name or length")
        await self._replace(twin)
        return None

    async def _replace(self, twin: Upload) -> None:
        async with self._gates.turn(twin.info.upload_id):
            await asyncio.to_thread(self._uploads.remove, twin)

    async def _new(self, metadata: UploadMetadata, length_bytes: int) -> Upload:
        if self._uploads.table.is_named(metadata):
            raise UploadRefusedError(400, f"another upload of this clip is named {metadata.filename}")
        await self._quota.check(metadata)
        room_bytes = await asyncio.to_thread(self._uploads.room_bytes, metadata.unit_id, self._limits.unit_share)
        if room_bytes - length_bytes < self._limits.reserve_bytes:
            raise UploadRefusedError(507, f"no room for {length_bytes} bytes at the centre")
        return await asyncio.to_thread(self._uploads.create, metadata, length_bytes, self._clock.wall_us())

    async def _created(self, upload: Upload) -> web.Response:
        try:
            offset = await asyncio.to_thread(upload.offset_bytes)
        except FileNotFoundError as error:
            raise UploadRefusedError(409, "this upload was removed meanwhile; create it once more") from error
        if offset == upload.info.length_bytes:
            self._look_at(upload)
        headers = {"Location": PREFIX + upload.info.upload_id, "Upload-Offset": str(offset)}
        return web.Response(status=201, headers=headers | await self._expires(upload, offset))

    async def _expires(self, upload: Upload, offset: int) -> dict[str, str]:
        if offset == 0:
            instant_s = upload.info.created_us / 1e6 + min(self._limits.empty_expiry_s, self._limits.expiry_s)
        else:
            instant_s = await asyncio.to_thread(upload.last_change_us) / 1e6 + self._limits.expiry_s
        return {"Upload-Expires": formatdate(instant_s, usegmt=True)}

    def _metadata(self, request: web.Request, unit_id: str) -> UploadMetadata:
        header = request.headers.get("Upload-Metadata")
        if header is None:
            raise UploadRefusedError(400, "Upload-Metadata is missing: clip_id, unit_id, kind, index, filename")
        try:
            metadata = UploadMetadata.from_header(header)
        except ContractError as error:
            raise UploadRefusedError(400, str(error)[:300]) from error
        if metadata.unit_id != unit_id:
            raise UploadRefusedError(403, f"the token is of {unit_id}, the upload of {metadata.unit_id}")
        return metadata

    def _check_length(self, metadata: UploadMetadata, length_bytes: int) -> None:
        if length_bytes == 0:
            raise UploadRefusedError(400, "Upload-Length is 0: an empty file is no part of a clip")
        if (metadata.kind == "manifest") != (metadata.filename == MANIFEST_FILE_NAME):
            raise UploadRefusedError(400, f"a manifest, and nothing else, is named {MANIFEST_FILE_NAME}")
        limit_bytes = MAX_MANIFEST_BYTES if metadata.kind == "manifest" else self._limits.max_part_bytes
        if length_bytes > limit_bytes:
            raise UploadRefusedError(413, f"{length_bytes} bytes; a {metadata.kind} has at most {limit_bytes}")

    async def _one(self, request: web.Request) -> web.StreamResponse:
        unit_id = await self._auth.unit_of(request.headers.get("Authorization"))
        upload = self._uploads.table.find(request.match_info["upload_id"])
        if upload is None:
            raise UploadRefusedError(404, "there is no such upload; it expired, was cancelled or never was")
        if upload.info.metadata.unit_id != unit_id:
            raise UploadRefusedError(403, "this upload is another unit's")
        handlers = {"HEAD": self._offset, "PATCH": self._append, "DELETE": self._terminate}
        handler = handlers.get(request.headers.get("X-HTTP-Method-Override", request.method))
        if handler is None:
            raise UploadRefusedError(405, "an upload takes HEAD, PATCH and DELETE")
        with self._at_work(unit_id):
            return await handler(request, upload)

    @contextmanager
    def _at_work(self, unit_id: str) -> Iterator[None]:
        if self._requests[unit_id] >= self._limits.max_requests_per_unit:
            raise UploadRefusedError(429, f"unit {unit_id} has too many requests in work; end some")
        self._requests[unit_id] += 1
        try:
            yield
        finally:
            self._requests[unit_id] -= 1
            if not self._requests[unit_id]:
                del self._requests[unit_id]

    async def _offset(self, _request: web.Request, upload: Upload) -> web.Response:
        async with self._gates.turn(upload.info.upload_id):
            offset = await self._offset_of(upload)
        headers = {
            "Upload-Offset": str(offset),
            "Upload-Length": str(upload.info.length_bytes),
            "Upload-Metadata": upload.info.metadata.to_header(),
            "Cache-Control": "no-store",
            "Content-Length": "0",  # else clients take the connection's end for that of the answer
        }
        return web.Response(status=200, headers=headers | await self._expires(upload, offset))

    async def _offset_of(self, upload: Upload) -> int:
        try:
            offset = await asyncio.to_thread(upload.offset_bytes)
        except FileNotFoundError as error:
            raise UploadRefusedError(404, "the bytes of this upload are gone; it has to be created anew") from error
        self._uploads.table.note(upload, offset)
        return offset

    async def _append(self, request: web.Request, upload: Upload) -> web.Response:
        if request.content_type != PATCH_CONTENT_TYPE:
            raise UploadRefusedError(415, f"a PATCH has Content-Type {PATCH_CONTENT_TYPE}")
        asked = _number(request, "Upload-Offset")
        async with self._gates.turn(upload.info.upload_id) as turn:
            offset = await self._offset_of(upload)
            if asked != offset:
                raise UploadRefusedError(409, f"the upload is at offset {offset}, not {asked}")
            rest_bytes = upload.info.length_bytes - offset
            if (request.content_length or 0) > rest_bytes:
                raise UploadRefusedError(
                    413, f"{request.content_length} bytes; the upload's length leaves {rest_bytes}"
                )
            if request.headers.get("Expect", "").lower() == "100-continue":
                await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                request.writer.output_size = 0
            if rest_bytes:
                writer = BodyWriter(upload.data_path, offset, self._clock, self._limits.reserve_bytes)
                try:
                    await writer.receive(request.content, turn, rest_bytes, self._limits.idle_s)
                finally:
                    offset = writer.offset
                    self._uploads.table.note(upload, offset)
        if offset == upload.info.length_bytes:
            self._look_at(upload)
        headers = {"Upload-Offset": str(offset)} | await self._expires(upload, offset)
        return web.Response(status=204, headers=headers)

    def _look_at(self, upload: Upload) -> None:
        self._arrivals.look_at(upload.info.metadata.unit_id, upload.info.metadata.clip_id)

    async def _terminate(self, _request: web.Request, upload: Upload) -> web.Response:
        if not await asyncio.to_thread(upload.has_arrived):
            await self._remove(upload)
        return web.Response(status=204)

    async def _remove(self, upload: Upload) -> None:
        async with self._removing(upload) as is_allowed:
            if is_allowed:
                async with self._gates.turn(upload.info.upload_id):
                    await asyncio.to_thread(self._uploads.remove, upload)

    @asynccontextmanager
    async def _removing(self, upload: Upload) -> AsyncIterator[bool]:
        """Whether an upload may be removed: not while its clip is handed over, its bytes are then the centre's."""
        metadata = upload.info.metadata
        async with self._clips.alone(clip_key(metadata.unit_id, metadata.clip_id)):
            yield not self._arrivals.is_noted(metadata.unit_id, metadata.clip_id)


async def _no_continue(request: web.Request) -> None:
    """Answer `Expect` later, in the handler: a body that nobody may send is not invited."""
    if request.headers.get("Expect", "").lower() != "100-continue":
        raise web.HTTPExpectationFailed


def _number(request: web.Request, name: str) -> int:
    text = request.headers.get(name, "")
    if not _NUMBER.fullmatch(text):
        raise UploadRefusedError(400, f"{name}: expected a number of bytes, got {text!r:.40}")
    return int(text)


def _refusal(status: int, message: str) -> web.Response:
    headers = {"Cache-Control": "no-store"}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if status == 412:
        headers["Tus-Version"] = TUS_VERSION
    return web.Response(status=status, text=message + "\n", headers=headers)
