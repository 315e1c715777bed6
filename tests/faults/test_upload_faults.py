"""Uploads over bad links, to ingests that fail: what arrives is bit for bit what was planned."""

import asyncio
import hashlib
import json
import random
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from csu.ingest import PREFIX
from edge_agent.contract.jws import SigningKey
from edge_agent.contract.upload import origin_of
from tests.faults.proxy import Proxy
from tests.support.polling import until, wait_until
from tests.support.processes import Processes
from tests.support.uploads import (
    CHUNK_BYTES,
    UNIT_ID,
    Centre,
    Clip,
    Heard,
    make_clip,
    running_ingest,
    trusted,
    uploading,
)

pytestmark = pytest.mark.faults

ROOT = Path(__file__).parents[2]
KEY = SigningKey.generate()
SIZES = [1_500_000, 700_000]
HEADER_BYTES_A_REQUEST = 2_000


@pytest.fixture
def clip(tmp_path: Path) -> Clip:
    return make_clip(tmp_path / "unit", SIZES)


@pytest.fixture
async def centre(tmp_path: Path) -> AsyncIterator[Centre]:
    async with running_ingest(tmp_path / "csu", {UNIT_ID: trusted(KEY)}) as running:
        yield running


@pytest.fixture
def proxy(centre: Centre) -> Iterator[Proxy]:
    with Proxy("127.0.0.1", port_of(centre.url)) as running:
        centre.ingest.add_origin(f"http://127.0.0.1:{running.port}")
        yield running


def port_of(url: str) -> int:
    return int(origin_of(url).rsplit(":", 1)[1])


def through(proxy: Proxy) -> str:
    return f"http://127.0.0.1:{proxy.port}{PREFIX}"


def arrived_sha256s(folder: Path) -> dict[str, str]:
    files = [path for path in folder.iterdir() if path.name != "manifest.jws"]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def received_bytes(csu: Path) -> int:
    return sum(path.stat().st_size for path in (csu / "ingest").glob("*/data"))


async def check_arrival(centre: Centre, clip: Clip, heard: Heard) -> None:
    await until(lambda: heard.ends and centre.arrived, what="arrival", timeout_s=120)
    assert heard.ends[0][0] == "delivered"
    assert await asyncio.to_thread(arrived_sha256s, centre.arrived[0][2]) == clip.sha256s


async def test_ten_cuts_lose_less_than_a_chunk_each(tmp_path: Path, centre: Centre, proxy: Proxy, clip: Clip) -> None:
    async with uploading(tmp_path / "unit", KEY, clip, through(proxy)) as heard:
        for number in range(1, 11):
            proxy.cut_after_bytes = random.randint(80_000, 200_000)
            await until(lambda: proxy.cuts == number, what=f"cut {number}", timeout_s=60)  # noqa: B023 -- used at once
        await check_arrival(centre, clip, heard)
    overhead_bytes = HEADER_BYTES_A_REQUEST * (sum(SIZES) // CHUNK_BYTES + 60)
    assert proxy.to_server_bytes < sum(SIZES) + 10 * CHUNK_BYTES + overhead_bytes


async def test_a_half_open_patch_does_not_keep_the_upload(
    tmp_path: Path, centre: Centre, proxy: Proxy, clip: Clip
) -> None:
    proxy.throttle_bytes_per_s = 500_000
    async with uploading(tmp_path / "unit", KEY, clip, through(proxy), stall_s=1.0) as heard:
        await until(lambda: proxy.to_server_bytes > 300_000, what="upload under way")
        proxy.freeze()
        before = proxy.connections
        await until(lambda: proxy.connections > before, what="a new connection")
        proxy.throttle_bytes_per_s = 0
        await check_arrival(centre, clip, heard)


async def test_a_slow_link_is_no_dead_link(tmp_path: Path, centre: Centre, proxy: Proxy) -> None:
    clip = await asyncio.to_thread(make_clip, tmp_path / "unit", [800_000])
    proxy.throttle_bytes_per_s = 100_000
    async with uploading(tmp_path / "unit", KEY, clip, through(proxy), stall_s=5.0) as heard:
        await check_arrival(centre, clip, heard)
    assert proxy.connections == 1


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", id="500"),
        pytest.param(b"HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nConnection: close\r\n\r\nlater", id="503"),
        pytest.param(b"HTTP/1.1 423 Locked\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", id="locked"),
        pytest.param(b"HTTP/1.1 204 OK\r\nUpload-Offset: minus one\r\nConnection: close\r\n\r\n", id="odd-offset"),
        pytest.param(b"\x16\x03\x01 this is not HTTP\r\n\r\n", id="garbage"),
        pytest.param(b"", id="empty"),
        pytest.param("hang", id="hang"),
        pytest.param("close", id="closes-early"),
    ],
)
async def test_a_failing_ingest_is_asked_again(
    tmp_path: Path, centre: Centre, proxy: Proxy, clip: Clip, fault: bytes
) -> None:
    proxy.canned.extend([fault] * 3)
    async with uploading(tmp_path / "unit", KEY, clip, through(proxy), stall_s=1.0) as heard:
        await until(lambda: proxy.to_server_bytes > 400_000, what="upload under way")
        proxy.canned.extend([fault] * 3)
        proxy.cut()
        await check_arrival(centre, clip, heard)


class Actors:
    """An ingest and a unit as processes, and the proxy between them."""

    def __init__(self, tmp_path: Path, processes: Processes) -> None:
        self._tmp_path = tmp_path
        self._processes = processes
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.csu = tmp_path / "csu"
        self.key_file = tmp_path / "key.jwk"
        self.key_file.write_text(KEY.to_json(), encoding="utf-8")
        self.public_file = tmp_path / "public.jwk"
        self.public_file.write_text(json.dumps(KEY.public_jwk()), encoding="utf-8")

    def start_ingest(self, origin: str) -> subprocess.Popen[bytes]:
        program = [sys.executable, "-m", "tests.faults.ingest_process"]
        arguments: list[str | Path] = [self.csu, str(self.port), UNIT_ID, self.public_file, origin]
        process = self._processes.start([*program, *arguments], cwd=ROOT, stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stdout.readline(), "the ingest did not start"
        return process

    def start_unit(self, url: str, clip: Clip) -> subprocess.Popen[bytes]:
        program = [sys.executable, "-m", "tests.faults.upload_process"]
        arguments: list[str | Path] = [self._tmp_path / "unit", url, self.key_file, clip.clip_id, clip.plan_file]
        return self._processes.start([*program, *arguments], cwd=ROOT)

    def check(self, clip: Clip) -> None:
        told = self.csu / "told" / clip.clip_id
        wait_until(told.exists, what="arrival", timeout_s=120)
        assert arrived_sha256s(self.csu / "clips" / UNIT_ID / clip.clip_id) == clip.sha256s


@pytest.fixture
def actors(tmp_path: Path, processes: Processes) -> Actors:
    return Actors(tmp_path, processes)


def kill(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait(10)


@pytest.mark.parametrize("after_bytes", [100_000, 1_000_000, 1_700_000])
def test_an_ingest_that_is_killed_goes_on_where_it_was(actors: Actors, clip: Clip, after_bytes: int) -> None:
    with Proxy("127.0.0.1", actors.port) as proxy:
        proxy.throttle_bytes_per_s = 600_000
        ingest = actors.start_ingest(f"http://127.0.0.1:{proxy.port}")
        actors.start_unit(through(proxy), clip)
        wait_until(lambda: received_bytes(actors.csu) > after_bytes, what="upload under way")
        kill(ingest)
        held_bytes = received_bytes(actors.csu)
        sent_bytes = proxy.to_server_bytes
        proxy.throttle_bytes_per_s = 0
        actors.start_ingest(f"http://127.0.0.1:{proxy.port}")
        actors.check(clip)
        again_bytes = proxy.to_server_bytes - sent_bytes - (sum(map(len, clip.files.values())) - held_bytes)
        assert again_bytes < CHUNK_BYTES + 60 * HEADER_BYTES_A_REQUEST


@pytest.mark.parametrize("after_bytes", [100_000, 1_000_000, 1_700_000])
def test_a_unit_that_is_killed_goes_on_where_it_was(actors: Actors, clip: Clip, after_bytes: int) -> None:
    with Proxy("127.0.0.1", actors.port) as proxy:
        proxy.throttle_bytes_per_s = 600_000
        actors.start_ingest(f"http://127.0.0.1:{proxy.port}")
        unit = actors.start_unit(through(proxy), clip)
        wait_until(lambda: received_bytes(actors.csu) > after_bytes, what="upload under way")
        kill(unit)
        proxy.throttle_bytes_per_s = 0
        actors.start_unit(through(proxy), clip)
        actors.check(clip)
        overhead_bytes = HEADER_BYTES_A_REQUEST * (sum(SIZES) // CHUNK_BYTES + 60)
        assert proxy.to_server_bytes < sum(SIZES) + CHUNK_BYTES + overhead_bytes
