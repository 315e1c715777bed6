"""Uploads to the official Node tus server: a foreign ingest, of which the unit needs core and creation alone."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import pytest

from edge_agent.contract.jws import SigningKey, TrustedKeys
from edge_agent.contract.manifest import read_manifest
from edge_agent.contract.upload import TUS_VERSION
from tests.faults.proxy import Proxy
from tests.support.node import FOLDER, node_program
from tests.support.polling import until, wait_until
from tests.support.processes import Processes
from tests.support.uploads import CHUNK_BYTES, UNIT_ID, Clip, make_clip, uploading

pytestmark = pytest.mark.real

ROOT = Path(__file__).parents[2]
KEY = SigningKey.generate()
SIZES = [1_500_000, 700_000]
HEADER_BYTES_A_REQUEST = 2_000


class NodeServer:
    """The server on a port that it keeps, and its store."""

    def __init__(self, directory: Path, processes: Processes) -> None:
        self.directory = directory
        self._processes = processes
        self._process: subprocess.Popen[bytes] | None = None
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/files"

    def start(self, *options: str) -> None:
        script = str(FOLDER / "tus-server.mjs")
        command = [node_program(), script, str(self.directory), str(self.port), *options]
        self._process = self._processes.start(command, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        assert self._process.stdout.readline(), "the server did not start"

    def kill(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(10)

    def uploads(self) -> dict[str, Path]:
        """Files of the store by the name that the unit gave them; the newest where there are several."""
        found: dict[str, Path] = {}
        for info_file in sorted(self.directory.glob("*.json"), key=lambda path: path.stat().st_mtime):
            info = json.loads(info_file.read_text() or "{}")
            if "metadata" in info:
                found[info["metadata"]["filename"]] = info_file.with_suffix("")
        return found

    def received_bytes(self) -> int:
        return sum(path.stat().st_size for path in self.directory.iterdir() if path.suffix != ".json")

    def check(self, clip: Clip) -> None:
        uploads = self.uploads()
        assert {name: uploads[name].read_bytes() for name in clip.files} == clip.files
        keys = TrustedKeys.from_jwks(KEY.public_jwk())
        manifest = read_manifest(uploads["manifest.jws"].read_text(), keys)
        assert [part.sha256 for part in manifest.parts] == list(clip.sha256s.values())


@pytest.fixture
def node(tmp_path: Path, processes: Processes) -> NodeServer:
    server = NodeServer(tmp_path / "store", processes)
    server.start()
    return server


@pytest.fixture
def clip(tmp_path: Path) -> Clip:
    return make_clip(tmp_path / "unit", SIZES)


@contextmanager
def in_front_of(node: NodeServer, throttle_bytes_per_s: int = 0) -> Iterator[tuple[Proxy, str]]:
    with Proxy("127.0.0.1", node.port) as proxy:
        proxy.throttle_bytes_per_s = throttle_bytes_per_s
        yield proxy, f"http://127.0.0.1:{proxy.port}/files"


async def test_a_clip_arrives_bit_for_bit(tmp_path: Path, node: NodeServer, clip: Clip) -> None:
    async with uploading(tmp_path / "unit", KEY, clip, node.url) as heard:
        await until(lambda: heard.ends, what="end", timeout_s=60)
    assert heard.ends[0][0] == "delivered"
    node.check(clip)


async def test_metadata_without_content_is_refused_here_and_never_sent(
    tmp_path: Path, node: NodeServer, clip: Clip
) -> None:
    async with aiohttp.ClientSession() as session:
        headers = {"Tus-Resumable": TUS_VERSION, "Upload-Length": "1", "Upload-Metadata": ""}
        assert (await session.post(node.url, headers=headers)).status == 400
    async with uploading(tmp_path / "unit", KEY, clip, node.url) as heard:
        await until(lambda: heard.ends, what="end", timeout_s=60)
    told = [json.loads(path.read_text())["metadata"] for path in node.directory.glob("*.json")]
    assert len(told) == len(SIZES) + 1
    assert all(metadata["unit_id"] == UNIT_ID and all(metadata.values()) for metadata in told)


async def test_ten_cuts_lose_less_than_a_chunk_each(tmp_path: Path, node: NodeServer, clip: Clip) -> None:
    with in_front_of(node) as (proxy, url):
        async with uploading(tmp_path / "unit", KEY, clip, url) as heard:
            for number in range(1, 11):
                proxy.cut_after_bytes = 100_000 + 10_000 * number
                await until(lambda: proxy.cuts == number, what=f"cut {number}", timeout_s=60)  # noqa: B023 -- at once
            await until(lambda: heard.ends, what="end", timeout_s=120)
    node.check(clip)
    overhead_bytes = HEADER_BYTES_A_REQUEST * (sum(SIZES) // CHUNK_BYTES + 60)
    assert proxy.to_server_bytes < sum(SIZES) + 10 * CHUNK_BYTES + overhead_bytes


async def test_a_server_that_is_killed_goes_on_where_it_was(tmp_path: Path, node: NodeServer, clip: Clip) -> None:
    with in_front_of(node, throttle_bytes_per_s=800_000) as (proxy, url):
        async with uploading(tmp_path / "unit", KEY, clip, url) as heard:
            await until(lambda: node.received_bytes() > 500_000, what="upload under way")
            await asyncio.to_thread(node.kill)
            before_bytes, held_bytes = proxy.to_server_bytes, node.received_bytes()
            await asyncio.to_thread(node.start)
            proxy.throttle_bytes_per_s = 0
            await until(lambda: heard.ends, what="end", timeout_s=120)
    node.check(clip)
    again_bytes = proxy.to_server_bytes - before_bytes - (sum(map(len, clip.files.values())) - held_bytes)
    assert again_bytes < CHUNK_BYTES + 60 * HEADER_BYTES_A_REQUEST


async def test_an_upload_that_the_server_lost_is_created_anew(tmp_path: Path, node: NodeServer, clip: Clip) -> None:
    with in_front_of(node, throttle_bytes_per_s=800_000) as (proxy, url):
        async with uploading(tmp_path / "unit", KEY, clip, url) as heard:
            await until(lambda: node.received_bytes() > 300_000, what="upload under way")
            await asyncio.to_thread(node.kill)
            for path in node.uploads().values():
                path.unlink()
            await asyncio.to_thread(node.start)
            proxy.throttle_bytes_per_s = 0
            await until(lambda: heard.ends, what="end", timeout_s=120)
    node.check(clip)


async def test_a_part_that_is_too_large_for_the_server_is_refused_in_its_words(
    tmp_path: Path, node: NodeServer, clip: Clip
) -> None:
    await asyncio.to_thread(node.kill)
    await asyncio.to_thread(node.start, "1000000")
    async with uploading(tmp_path / "unit", KEY, clip, node.url) as heard:
        await until(lambda: heard.ends, what="end", timeout_s=60)
    kind, _, code, message = heard.ends[0]
    assert (kind, code) == ("refused", "upload-refused")
    assert "Maximum size exceeded" in message


def test_a_sender_that_is_killed_goes_on_where_it_was(
    tmp_path: Path, node: NodeServer, clip: Clip, processes: Processes
) -> None:
    key_file = tmp_path / "key.jwk"
    key_file.write_text(KEY.to_json(), encoding="utf-8")
    program: list[str | Path] = [sys.executable, "-m", "tests.faults.upload_process", tmp_path / "unit"]
    with in_front_of(node, throttle_bytes_per_s=800_000) as (proxy, url):
        command = [*program, url, key_file, clip.clip_id, clip.plan_file]
        unit = processes.start(command, cwd=ROOT)
        wait_until(lambda: node.received_bytes() > 500_000, what="upload under way")
        unit.kill()
        unit.wait(10)
        before_bytes = proxy.to_server_bytes
        proxy.throttle_bytes_per_s = 0
        processes.start(command, cwd=ROOT)
        wait_until(lambda: "manifest.jws" in node.uploads(), what="manifest", timeout_s=60)
        wait_until(lambda: node.uploads()["manifest.jws"].stat().st_size, what="content of the manifest")
        sent_bytes = proxy.to_server_bytes
    node.check(clip)
    assert sent_bytes < sum(SIZES) + before_bytes
