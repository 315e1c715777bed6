"""A unit and its centre on two sides of a narrow road, as real processes: what `benchmarks.narrow` measures."""

import json
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.command import Asker
from benchmarks.month import Month, build_ring
from benchmarks.ping import Pinger
from benchmarks.unit import CAMERA, UNIT_ID, prepare_link, write_unit
from benchmarks.workspace import Workspace, python, wait_for
from csu.broker import Broker
from csu.ingest import PREFIX
from edge_agent.clock import SystemClock
from edge_agent.contract.manifest import MANIFEST_FILE_NAME
from edge_agent.contract.names import DEFAULT_PREFIX, Topics
from edge_agent.contract.times import format_utc
from edge_agent.contract.upload import PATCH_CONTENT_TYPE, TUS_VERSION, UploadMetadata, origin_of
from edge_agent.evidence.keys import load_or_create_unit_key
from edge_agent.uplink.upload_token import UploadTokens
from tests.faults.proxy import Proxy
from tests.support.road import CENTRE_ADDRESS, Road, open_road

KBIT_S = 2_000
INGEST_PORT = 8081  # the name space is the benchmark's own
PROXY_PORT = 8080
CURL_RETRY_S = 1.0
"""What curl's own --retry waits first (curl(1)); it cannot resume a PATCH, so the loop around it does."""

_TOPICS = Topics(DEFAULT_PREFIX, UNIT_ID)
_TIMEOUT_S = 300.0


@dataclass(frozen=True, slots=True)
class NarrowRig:
    """Everything around the road.

    Attributes:
        road: where processes run.
        month: the unit and its footage.
        proxy: in front of the ingest, on the centre's side; it cuts.
        asker: commands from the centre.
        clips: where clips arrive.
    """

    road: Road
    month: Month
    proxy: Proxy
    asker: Asker
    clips: Path

    @property
    def url(self) -> str:
        """Where uploads are created."""
        return f"http://{CENTRE_ADDRESS}:{PROXY_PORT}{PREFIX}"

    def ask_clip(self, seconds: float) -> str:
        """Ask for the newest footage of the prepared ring; the clip's id."""
        end_us = self.month.end_us - 5_000_000
        interval = {"from": format_utc(end_us - round(seconds * 1e6)), "to": format_utc(end_us)}
        return self.asker.ask_ms("clip.request", {"camera": CAMERA, **interval}, "accepted")[0]

    def wait_arrival(self, clip_id: str) -> Path:
        """Wait until the centre has all of a clip; its folder."""
        folder = self.clips / UNIT_ID / clip_id
        manifest = folder / MANIFEST_FILE_NAME
        wait_for(lambda: folder if manifest.exists() else None, f"clip {clip_id} at the centre", _TIMEOUT_S)
        return folder

    def curl(self, file: Path) -> float:
        """Upload a file with curl, begun again where the ingest is after each cut; seconds."""
        key = load_or_create_unit_key(self.month.unit.data_dir)
        authorization = UploadTokens(key, UNIT_ID, SystemClock()).authorization(origin_of(self.url))
        headers = ["-H", f"Tus-Resumable: {TUS_VERSION}", "-H", f"Authorization: {authorization}"]
        metadata = UploadMetadata(clip_id=str(uuid.uuid4()), unit_id=UNIT_ID, kind="part", index=1, filename="p.mp4")
        begun_s = time.perf_counter()
        size_bytes = file.stat().st_size
        sizes = ["-H", f"Upload-Length: {size_bytes}", "-H", f"Upload-Metadata: {metadata.to_header()}"]
        location = _header(self._curl("-X", "POST", *headers, *sizes, "-D", "-", self.url), "location") or ""
        upload_url = origin_of(self.url) + location
        offset = 0
        while offset < size_bytes:
            more = ["-H", f"Content-Type: {PATCH_CONTENT_TYPE}", "-H", f"Upload-Offset: {offset}"]
            body = ["-C", str(offset), "-H", "Content-Range:", "-T", str(file), "-D", "-"]
            answer = _header(self._curl("-X", "PATCH", *headers, *more, *body, upload_url), "upload-offset")
            if answer is None:
                time.sleep(CURL_RETRY_S)
                answer = _header(self._curl("-I", *headers, "-D", "-", upload_url), "upload-offset")
            offset = int(answer or offset)
            if time.perf_counter() - begun_s > _TIMEOUT_S:
                raise RuntimeError(f"curl's upload: not within {_TIMEOUT_S:g} s")
        return time.perf_counter() - begun_s

    def _curl(self, *arguments: str) -> str:
        """Its answer's headers; empty when it was cut off."""
        command = self.road.unit.command("curl", "--silent", "-o", "/dev/null", *arguments)
        return subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False).stdout


def _header(answer: str, name: str) -> str | None:
    values = (line.split(": ", 1)[1] for line in answer.splitlines() if line.lower().startswith(f"{name}: "))
    return next(values, None)


@contextmanager
def open_rig(workspace: Workspace, minutes: int) -> Iterator[NarrowRig]:
    """A unit with so many minutes of footage, its recorder and its link, and a centre; all running."""
    directory, unit_side = workspace.directory("narrow"), workspace.directory("narrow/unit")
    month = build_ring(workspace, unit_side, minutes)
    key = load_or_create_unit_key(month.unit.data_dir)
    with open_road(workspace.processes, KBIT_S) as road, road.centre.entered():
        keys_file = directory / "unit.jwk"
        keys_file.write_text(json.dumps(key.public_jwk()), encoding="ascii")
        origin = f"http://{CENTRE_ADDRESS}:{PROXY_PORT}"
        ingest = ("-m", "tests.faults.ingest_process", directory / "centre", str(INGEST_PORT), UNIT_ID, keys_file)
        workspace.start(python(*ingest, origin), "narrow-ingest")
        listen = (CENTRE_ADDRESS, PROXY_PORT)
        with (
            Broker(directory / "broker", host=CENTRE_ADDRESS) as broker,
            Proxy("127.0.0.1", INGEST_PORT, listen) as proxy,
        ):
            side = prepare_link(unit_side, broker, f"{origin}{PREFIX}")
            source = "file:" + str(workspace.shared["minute.mp4"])
            unit = write_unit(unit_side, source, link=side.tables)
            unit.record(workspace, "narrow-recorder")
            link = python("-m", "edge_agent", "link", "--config", unit.config)
            topics = [_TOPICS.up("reply"), _TOPICS.up("status")]
            with Pinger(broker.host, broker.port, "csu", broker.password_of("csu"), topics) as pinger:
                workspace.start(road.unit.command(*link), "narrow-link")
                pinger.wait_until(lambda body: json.loads(body).get("state") == "online")
                yield NarrowRig(road, month, proxy, Asker(pinger, side, (0, 0)), directory / "centre" / "clips")
