"""Transfers against a real ingest on the loopback."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from edge_agent.clock import SystemClock
from edge_agent.contract.jws import SigningKey
from edge_agent.contract.manifest import read_manifest
from edge_agent.settings import UploadSettings
from edge_agent.uplink.transfers import Transfers
from tests.support.polling import until
from tests.support.uploads import UNIT_ID, Centre, Heard, make_clip, running_ingest, trusted, upload_settings

KEY = SigningKey.generate()


@pytest.fixture
async def centre(tmp_path: Path) -> AsyncIterator[Centre]:
    async with running_ingest(tmp_path / "csu", {UNIT_ID: trusted(KEY)}) as running:
        yield running


@asynccontextmanager
async def running_transfers(
    data_dir: Path, settings: UploadSettings, key: SigningKey = KEY
) -> AsyncIterator[tuple[Transfers, Heard]]:
    heard = Heard()
    transfers = Transfers(data_dir, settings, key, UNIT_ID, SystemClock(), heard)
    task = asyncio.create_task(transfers.run())
    try:
        yield transfers, heard
    finally:
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()


def arrived_files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


async def test_a_clip_arrives_whole_with_its_manifest(tmp_path: Path, centre: Centre) -> None:
    clip = await asyncio.to_thread(make_clip, tmp_path / "unit", [200_000, 70_000])
    async with running_transfers(tmp_path / "unit", upload_settings(centre.url)) as (transfers, heard):
        await transfers.submit(clip.clip_id, clip.plan_file, centre.url, "normal")
        await until(lambda: heard.ends and centre.arrived, what="delivery")
    (unit_id, clip_id, folder) = centre.arrived[0]
    assert (unit_id, clip_id) == (UNIT_ID, clip.clip_id)
    files = await asyncio.to_thread(arrived_files, folder)
    token = files.pop("manifest.jws").decode()
    assert files == clip.files
    manifest = read_manifest(token, trusted(KEY))
    assert {part.file_name: part.sha256 for part in manifest.parts} == clip.sha256s
    assert heard.progress[-1].sent_bytes == heard.progress[-1].total_bytes == sum(map(len, clip.files.values()))
