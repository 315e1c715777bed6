"""Uploading half an hour of footage over loopback, against curl sending the same bytes to the same ingest.

Both go through the centre's own ingest, which syncs what it stored before it answers. Ours reads the ring, hashes and
sends chunk by chunk, then signs and sends the manifest; curl sends one file in one request. The unit's HTTP session
is open beforehand, as it is in a link that runs.

A unit and its centre are two machines: the ingest has a processor of its own, and whoever sends has the others. Both
sides take turns, and turns in going first: what one leaves in the page cache and on the disk's queue meets the next.
"""

import asyncio
import json
import os
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import median
from benchmarks.month import Month, build_ring
from benchmarks.planned import opened_ring, plan_last_minutes
from benchmarks.row import Row
from benchmarks.unit import UNIT_ID
from benchmarks.workspace import Workspace, end, python, wait_for
from edge_agent.buffer.clip.reader import PartReader, read_plan
from edge_agent.clock import SystemClock
from edge_agent.contract.jws import SigningKey, TrustedKeys
from edge_agent.contract.manifest import MANIFEST_FILE_NAME, read_manifest
from edge_agent.contract.messages import Progress
from edge_agent.contract.upload import PATCH_CONTENT_TYPE, TUS_VERSION, UploadMetadata, origin_of
from edge_agent.settings import UploadSettings
from edge_agent.uplink.transfers import Transfers
from edge_agent.uplink.upload_token import UploadTokens

_MINUTES = 30
_QUICK_MINUTES = 10
_SESSION_S = 0.5
_TIMES = 9
_QUICK_TIMES = 2
_BAR = 0.9
_TIMEOUT_S = 300.0


@dataclass(frozen=True, slots=True)
class Bench:
    """What both sides share."""

    month: Month
    url: str
    key: SigningKey
    part_file: Path
    size_bytes: int


def run(workspace: Workspace) -> Iterator[Row]:
    """Megabytes a second, runs of both sides taking turns."""
    directory = workspace.directory("upload")
    minutes = _QUICK_MINUTES if workspace.quick else _MINUTES
    month = build_ring(workspace, directory, minutes + 2)
    key = SigningKey.generate()
    server, url = start_ingest(workspace, directory, key)
    with opened_ring(month) as ring:
        clips = [plan_last_minutes(ring, month, minutes) for _ in range(1 + _times(workspace))]
        part_file = directory / "part.mp4"
        size_bytes = _write_part(month, clips[0][1], part_file)
        bench = Bench(month, url, key, part_file, size_bytes)
        with _apart(server.pid):
            pairs = [_turn(bench, clip, is_first=number % 2 == 0) for number, clip in enumerate(clips)][1:]
    for clip_id, _ in clips:
        _check_arrival(directory / "centre" / "clips" / UNIT_ID / clip_id, key)
    end(server)
    ours = [size_bytes / seconds / 1e6 for seconds, _ in pairs]
    theirs = [size_bytes / seconds / 1e6 for _, seconds in pairs]
    yield Row(
        name=f"upload of {size_bytes / 1e6:.0f} MB over loopback",
        ours=median(ours),
        unit="MB/s",
        peer=median(theirs),
        peer_name="curl -X PATCH, the same bytes from one file, the same ingest",
        judge="ratio",
        bar=_BAR,
        at_least=True,
        note=f"median of {len(pairs)} turns each; ours {min(ours):.0f}…{max(ours):.0f},"
        f" curl {min(theirs):.0f}…{max(theirs):.0f}; ours includes digest, manifest and its upload; the ingest on"
        " a processor of its own",
    )


@contextmanager
def _apart(pid: int) -> Iterator[None]:
    """The ingest on one processor, this process and what it starts on the others."""
    processors = sorted(os.sched_getaffinity(0))
    if len(processors) > 1:
        for task in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(task.name), processors[:1])
        os.sched_setaffinity(0, processors[1:])
    try:
        yield
    finally:
        os.sched_setaffinity(0, processors)


def _turn(bench: Bench, clip: tuple[str, Path], *, is_first: bool) -> tuple[float, float]:
    """Seconds of ours and of curl."""
    if is_first:
        ours_s = _upload_ours(bench, *clip)
        return ours_s, _upload_with_curl(bench)
    curl_s = _upload_with_curl(bench)
    return _upload_ours(bench, *clip), curl_s


def _check_arrival(folder: Path, key: SigningKey) -> None:
    """What was measured counts only when the centre can read it.

    Raises:
        ContractError: the manifest is none.
        RuntimeError: it does not arrive.
    """
    manifest = folder / MANIFEST_FILE_NAME
    wait_for(lambda: manifest if manifest.exists() else None, f"{folder.name} at the centre")
    read_manifest(manifest.read_text(encoding="ascii"), TrustedKeys.from_jwks(key.public_jwk()))


def _times(workspace: Workspace) -> int:
    return _QUICK_TIMES if workspace.quick else _TIMES


def start_ingest(workspace: Workspace, directory: Path, key: SigningKey) -> tuple["subprocess.Popen[bytes]", str]:
    keys_file, url_file = directory / "unit.jwk", directory / "url"
    keys_file.write_text(json.dumps(key.public_jwk()), encoding="ascii")
    arguments = ("-m", "benchmarks.ingest_process", directory / "centre", keys_file, url_file)
    process = workspace.start(python(*arguments), "upload-ingest")
    wait_for(lambda: url_file if url_file.exists() else None, "the ingest")
    return process, url_file.read_text(encoding="ascii")


def _write_part(month: Month, plan_file: Path, target: Path) -> int:
    """The part as curl's file."""
    (part,) = read_plan(plan_file).parts
    with PartReader(month.unit.ring, plan_file, part) as reader, target.open("wb") as file:
        for chunk in reader.chunks():
            file.write(chunk)
    return part.length_bytes


class _Listener:
    """Hears of one clip's end; ends of earlier clips are told again, too."""

    def __init__(self, clip_id: str) -> None:
        self._clip_id = clip_id
        self.delivered: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def on_progress(self, clip_id: str, progress: Progress) -> None:
        """Progress is not measured."""

    def on_delivered(self, clip_id: str, manifest_sha256: str) -> None:
        """The ingest has all."""
        if clip_id == self._clip_id:
            self.delivered.set_result(manifest_sha256)

    def on_refused(self, clip_id: str, code: str, message: str) -> None:
        """Not expected."""
        self.delivered.set_exception(RuntimeError(f"{clip_id}: {code}: {message}"))

    def on_damaged(self, clip_id: str, message: str) -> None:
        """Not expected."""
        self.delivered.set_exception(RuntimeError(f"{clip_id}: {message}"))


def _upload_ours(bench: Bench, clip_id: str, plan_file: Path) -> float:
    return asyncio.run(_deliver(bench, clip_id, plan_file))


async def _deliver(bench: Bench, clip_id: str, plan_file: Path) -> float:
    """Seconds from the submission to the end of the delivery."""
    listener = _Listener(clip_id)
    settings = UploadSettings(url=bench.url)
    data_dir = bench.month.unit.data_dir
    transfers = Transfers(data_dir, settings, bench.key, UNIT_ID, SystemClock(), listener)
    task = asyncio.create_task(transfers.run())
    await asyncio.sleep(_SESSION_S)
    begun_s = time.perf_counter()
    await transfers.submit(clip_id, plan_file, bench.url, "normal")
    await asyncio.wait_for(listener.delivered, _TIMEOUT_S)
    elapsed_s = time.perf_counter() - begun_s
    task.cancel()
    await asyncio.wait({task})
    return elapsed_s


def _upload_with_curl(bench: Bench) -> float:
    """Seconds of creation and one PATCH."""
    metadata = UploadMetadata(clip_id=str(uuid.uuid4()), unit_id=UNIT_ID, kind="part", index=1, filename="part.mp4")
    tokens = UploadTokens(bench.key, UNIT_ID, SystemClock())
    headers = ["-H", f"Tus-Resumable: {TUS_VERSION}"]
    headers += ["-H", f"Authorization: {tokens.authorization(origin_of(bench.url))}"]
    begun_s = time.perf_counter()
    sizes = ["-H", f"Upload-Length: {bench.size_bytes}", "-H", f"Upload-Metadata: {metadata.to_header()}"]
    created = _curl("-X", "POST", *headers, *sizes, "-D", "-", "-o", "/dev/null", bench.url)
    location = next(line.split(": ", 1)[1] for line in created.splitlines() if line.startswith("Location: "))
    kind = ["-H", f"Content-Type: {PATCH_CONTENT_TYPE}", "-H", "Upload-Offset: 0"]
    origin = bench.url.partition("/files/")[0]
    _curl("-X", "PATCH", *headers, *kind, "-T", str(bench.part_file), origin + location)
    return time.perf_counter() - begun_s


def _curl(*arguments: str) -> str:
    command = ["curl", "--silent", "--show-error", "--fail", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
