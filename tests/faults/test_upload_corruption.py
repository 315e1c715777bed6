"""Bits that change on the way: what is verified at the centre is what was recorded, or it is not verified."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from csu.ingest import PREFIX, Ingest
from csu.ingest_quota import IngestLimits
from csu.ingest_server import IngestServer
from csu.verify import verify_clip
from edge_agent.buffer.clip.reader import PartReader, read_plan
from edge_agent.clock import SystemClock
from edge_agent.contract.jws import SigningKey, TrustedKeys
from edge_agent.contract.upload import origin_of
from edge_agent.paths import ring_directory
from tests.faults.proxy import Proxy
from tests.support.authority import make_authority
from tests.support.clips import CLIP_ID
from tests.support.numbered import numbered_units
from tests.support.polling import until
from tests.support.recording import rotated
from tests.support.saved_clips import asked_s, planned_clip
from tests.support.uploads import Centre, Clip, make_clip, running_ingest, trusted, uploading

pytestmark = [pytest.mark.faults, pytest.mark.alone]

KEY = SigningKey.generate()
KEYS = trusted(KEY)
PATTERN_BYTES = 4_000_000
"""More than a test sends: a pattern is laid on once."""


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Clip]:
    """A data directory with a real clip of about 11 kB in it."""
    data_dir = tmp_path_factory.mktemp("recorded")
    ring = ring_directory(data_dir, "main")
    ring.mkdir(parents=True)
    _, plan_file = planned_clip(ring, rotated(ring, numbered_units(14), 85), asked_s(4.3, 9.7))
    files = {}
    for part in read_plan(plan_file).parts:
        with PartReader(ring, plan_file, part) as reader:
            files[part.file_name] = b"".join(reader.chunks())
    return data_dir, Clip(CLIP_ID, plan_file, files)


@pytest.fixture
async def centre(tmp_path: Path) -> AsyncIterator[Centre]:
    async with running_ingest(tmp_path / "csu", {"nomad-07": KEYS}) as running:
        yield running


@asynccontextmanager
async def through_proxy(centre: Centre) -> AsyncIterator[tuple[Proxy, str]]:
    with Proxy("127.0.0.1", int(origin_of(centre.url).rsplit(":", 1)[1])) as proxy:
        centre.ingest.add_origin(f"http://127.0.0.1:{proxy.port}")
        yield proxy, f"http://127.0.0.1:{proxy.port}{PREFIX}"


def one_bit_at(position: int) -> bytes:
    return bytes(position) + b"\x04" + bytes(PATTERN_BYTES)


async def upload(
    centre: Centre, recorded: tuple[Path, Clip], *, up: int | None = None, down: int | None = None
) -> str:
    """Send with one bit changed; `verified`, `failed` (what arrived does not verify, or never did) or `refused`."""
    data_dir, clip = recorded
    async with through_proxy(centre) as (proxy, url):
        proxy.corrupt_to_server = b"" if up is None else one_bit_at(up)
        proxy.corrupt_to_client = b"" if down is None else one_bit_at(down)
        async with uploading(data_dir, KEY, clip, url, stall_s=1.0) as heard:
            await until(lambda: heard.ends, what="end", timeout_s=60)
    if heard.ends[0][0] == "delivered":
        await arrival(centre)
    await asyncio.to_thread((data_dir / "link" / "transfers" / f"{clip.clip_id}.json").unlink)
    await asyncio.to_thread((data_dir / "link" / "transfers" / f"{clip.clip_id}.jws").unlink, missing_ok=True)
    if heard.ends[0][0] == "refused":
        return "refused"
    return await asyncio.to_thread(verdict, centre, clip)


async def arrival(centre: Centre) -> None:
    """The last byte is answered before the clip is put together; one whose names were changed never is."""
    with suppress(AssertionError):
        await until(lambda: centre.arrived, what="arrival", timeout_s=10)


def verdict(centre: Centre, clip: Clip) -> str:
    """What the centre's verification says of what lies there; whatever it verifies has to be what was recorded."""
    folder = centre.directory / "clips" / "nomad-07" / clip.clip_id
    if not folder.exists() or verify_clip(folder, KEYS).findings:
        return "failed"
    assert {name: (folder / name).read_bytes() for name in clip.files} == clip.files
    return "verified"


async def test_a_sound_line_delivers(centre: Centre, recorded: tuple[Path, Clip]) -> None:
    assert await upload(centre, recorded) == "verified"


@pytest.mark.parametrize("position", [3_000, 6_000, 9_000, 12_000])
async def test_a_bit_of_the_footage_fails_the_verification(
    centre: Centre, recorded: tuple[Path, Clip], position: int
) -> None:
    assert await upload(centre, recorded, up=position) == "failed"
    assert centre.arrived


@pytest.mark.parametrize("position", [4, 60, 200, 400, 700, 900, 1_100, 1_300, 14_000, 15_000])
async def test_a_bit_of_a_request_neither_verifies_what_is_wrong_nor_ends_the_transfer(
    centre: Centre, recorded: tuple[Path, Clip], position: int
) -> None:
    assert await upload(centre, recorded, up=position) in {"verified", "failed"}


@pytest.mark.parametrize("position", [10, 60, 120, 180, 240, 300, 400, 500, 600])
async def test_a_bit_of_an_answer_neither_verifies_what_is_wrong_nor_ends_the_transfer(
    centre: Centre, recorded: tuple[Path, Clip], position: int
) -> None:
    assert await upload(centre, recorded, down=position) in {"verified", "failed"}


async def test_over_tls_a_changed_bit_costs_a_resend_and_no_more(tmp_path: Path) -> None:
    """A record that fails its authentication ends the connection (RFC 8446 §5.2)."""
    clip = await asyncio.to_thread(make_clip, tmp_path / "unit", [1_500_000])
    authority = await asyncio.to_thread(make_authority, tmp_path / "ca")
    arrived: list[Path] = []

    async def look_up(_: str) -> TrustedKeys | None:
        return KEYS

    async def on_complete(*, unit_id: str, clip_id: str, folder: Path) -> None:
        arrived.append(folder)

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    await asyncio.to_thread(context.load_cert_chain, *authority.issue("ingest"))
    ingest = Ingest(tmp_path / "csu", look_up, on_complete, SystemClock(), limits=IngestLimits(reserve_bytes=0))
    server = IngestServer(ingest, ssl_context=context)
    port = int(origin_of(await server.start()).rsplit(":", 1)[1])
    with Proxy("127.0.0.1", port) as proxy:
        url = f"https://127.0.0.1:{proxy.port}{PREFIX}"
        ingest.add_origin(url)
        proxy.corrupt_to_server = bytes(400_000) + b"\x01"
        async with uploading(tmp_path / "unit", KEY, clip, url, ca_file=authority.file) as heard:
            await until(lambda: proxy.connections > 2, what="two changed bits")
            proxy.corrupt_to_server = b""
            await until(lambda: heard.ends and arrived, what="arrival", timeout_s=60)
    await server.stop()
    assert {name: (arrived[0] / name).read_bytes() for name in clip.files} == clip.files
