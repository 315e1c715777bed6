"""Both ends of an upload for tests: a clip in a ring, a listener that remembers, an ingest in this process."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from csu.ingest import Ingest
from csu.ingest_quota import IngestLimits
from csu.ingest_server import IngestServer
from edge_agent.buffer.clip.store import write_plan
from edge_agent.clock import SystemClock
from edge_agent.contract.clip import Part
from edge_agent.contract.jws import SigningKey, TrustedKeys
from edge_agent.contract.messages import Progress
from edge_agent.settings import UploadSettings
from edge_agent.uplink.transfers import Transfers
from edge_agent.uplink.tus import Timeouts
from tests.support.clips import CLIP_ID, make_part, make_plan

UNIT_ID = "nomad-07"
CHUNK_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Clip:
    """A planned clip and what has to arrive of it."""

    clip_id: str
    plan_file: Path
    files: dict[str, bytes]

    @property
    def sha256s(self) -> dict[str, str]:
        return {name: hashlib.sha256(content).hexdigest() for name, content in self.files.items()}


def make_clip(data_dir: Path, sizes: list[int], clip_id: str = CLIP_ID) -> Clip:
    """A clip of one random part a size, in the ring of camera `main`."""
    ring = data_dir / "ring" / "main"
    (ring / "segments").mkdir(parents=True, exist_ok=True)
    parts: list[Part] = []
    headers: list[bytes] = []
    files: dict[str, bytes] = {}
    for index, size_bytes in enumerate(sizes, start=1):
        name = f"segments/{clip_id[-4:]}-{index}.mp4"
        header, content = os.urandom(64), os.urandom(size_bytes)
        (ring / name).write_bytes(b"before" + content + b"behind")
        part = make_part(header, [(name, 6, size_bytes)], index, header_offset=sum(map(len, headers)))
        parts.append(part)
        headers.append(header)
        files[part.file_name] = header + content
    plan_file = write_plan(ring / "plans", make_plan(tuple(parts), clip_id), headers)
    return Clip(clip_id, plan_file, files)


@dataclass(slots=True)
class Heard:
    """A transfer listener that remembers."""

    progress: list[Progress] = field(default_factory=list)
    ends: list[tuple[str, ...]] = field(default_factory=list)

    def on_progress(self, clip_id: str, progress: Progress) -> None:
        self.progress.append(progress)

    def on_delivered(self, clip_id: str, manifest_sha256: str) -> None:
        self.ends.append(("delivered", clip_id, manifest_sha256))

    def on_refused(self, clip_id: str, code: str, message: str) -> None:
        self.ends.append(("refused", clip_id, code, message))

    def on_damaged(self, clip_id: str, message: str) -> None:
        self.ends.append(("damaged", clip_id, message))


@dataclass(slots=True)
class Centre:
    """An ingest of this process that trusts some units, and what has arrived at it."""

    directory: Path
    url: str
    ingest: Ingest
    keys: dict[str, TrustedKeys]
    arrived: list[tuple[str, str, Path]]
    """What the centre was told of, in order, even when it failed to take it."""
    fail: bool = False
    """Fail when a clip is handed over."""


def troubles(transfers: Transfers) -> dict[str, str]:
    """Clips whose upload does not go on at the moment, and why."""
    return {clip_id: transfer.trouble for clip_id, (transfer, _) in transfers._running.items() if transfer.trouble}


def trusted(key: SigningKey) -> TrustedKeys:
    return TrustedKeys.from_jwks(key.public_jwk())


def refusing_beyond(max_body_bytes: int) -> Middleware:
    """What answers 413 to a request with a larger body."""

    @web.middleware
    async def refuse(request: web.Request, handler: Handler) -> web.StreamResponse:
        if (request.content_length or 0) > max_body_bytes:
            return web.Response(status=413, text="too large", headers={"Connection": "close"})
        return await handler(request)

    return refuse


@asynccontextmanager
async def running_ingest(
    directory: Path,
    keys: dict[str, TrustedKeys],
    limits: IngestLimits | None = None,
    port: int = 0,
    kept_keys: dict[str, TrustedKeys] | None = None,
    max_body_bytes: int | None = None,
    middleware: Middleware | None = None,
) -> AsyncIterator[Centre]:
    """An ingest on a port of its own; `kept_keys` verify manifests, `keys` too unless given.

    With `max_body_bytes` it refuses larger requests before it reads their body, as proxies do; `middleware` stands
    before it, as a line or a proxy does.
    """
    arrived: list[tuple[str, str, Path]] = []

    async def look_up(unit_id: str) -> TrustedKeys | None:
        return keys.get(unit_id)

    async def look_up_kept(unit_id: str) -> TrustedKeys | None:
        return (keys if kept_keys is None else kept_keys).get(unit_id)

    async def on_complete(*, unit_id: str, clip_id: str, folder: Path) -> None:
        arrived.append((unit_id, clip_id, folder))
        if centre.fail:
            raise OSError("the verdict cannot be stored: so the test wants it")

    limits = limits or IngestLimits(reserve_bytes=0)
    ingest = Ingest(directory, look_up, on_complete, SystemClock(), evidence_keys=look_up_kept, limits=limits)
    centre = Centre(directory, "", ingest, keys, arrived)
    if max_body_bytes is not None:
        ingest.app.middlewares.append(refusing_beyond(max_body_bytes))
    if middleware is not None:
        ingest.app.middlewares.insert(0, middleware)
    server = IngestServer(ingest, port=port)
    centre.url = await server.start()
    try:
        yield centre
    finally:
        await server.stop()


def upload_settings(url: str, **more: object) -> UploadSettings:
    return UploadSettings.model_validate({"url": url, "chunk_bytes": CHUNK_BYTES} | more)


class HurriedClock(SystemClock):
    """The clock of this machine; waits before retries are a fiftieth of what they are in the street."""

    async def async_sleep(self, seconds: float) -> None:
        await super().async_sleep(seconds / 50)


@asynccontextmanager
async def uploading(
    data_dir: Path, key: SigningKey, clip: Clip, url: str, stall_s: float = 30.0, **settings: object
) -> AsyncIterator[Heard]:
    """A unit that sends a clip for as long as the block takes; what it hears of it; `settings` are of `[upload]`."""
    heard = Heard()
    timeouts = Timeouts(connect_s=5.0, answer_s=stall_s, stall_s=stall_s)
    transfers = Transfers(data_dir, upload_settings(url, **settings), key, UNIT_ID, HurriedClock(), heard, timeouts)
    task = asyncio.create_task(transfers.run())
    try:
        await transfers.submit(clip.clip_id, clip.plan_file, url, "normal")
        yield heard
    finally:
        task.cancel()
        await asyncio.wait({task})
