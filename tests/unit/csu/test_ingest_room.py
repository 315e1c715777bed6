"""How much one unit may take of the centre's room."""

import uuid
from pathlib import Path
from types import SimpleNamespace

import aiohttp
import pytest

from csu.ingest import IngestLimits
from tests.support.tus_requests import RawUnit, metadata, token
from tests.support.uploads import UNIT_ID, running_ingest, trusted
from tests.unit.csu.ingest_parts import KEY, OTHER_ID, OTHER_KEY


async def test_a_unit_cannot_open_uploads_without_end(unit: RawUnit) -> None:
    statuses = [(await unit.create(10, metadata(clip_id=str(uuid.uuid4())))).status for _ in range(6)]
    assert statuses == [201] * 5 + [429]


async def test_no_room_is_said_at_the_creation(tmp_path: Path) -> None:
    limits = IngestLimits(reserve_bytes=1 << 60)
    async with (
        running_ingest(tmp_path / "csu", {UNIT_ID: trusted(KEY)}, limits) as centre,
        aiohttp.ClientSession() as session,
    ):
        assert (await RawUnit(session, KEY, centre.url).create(10)).status == 507


async def test_one_unit_cannot_announce_all_the_room_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("csu.ingest_store.shutil.disk_usage", lambda _path: SimpleNamespace(free=1_000_000))
    keys = {UNIT_ID: trusted(KEY), OTHER_ID: trusted(OTHER_KEY)}
    async with (
        running_ingest(tmp_path / "csu", keys, IngestLimits(reserve_bytes=1000)) as centre,
        aiohttp.ClientSession() as session,
    ):
        unit = RawUnit(session, KEY, centre.url)
        assert (await unit.create(999_000)).status == 201
        assert (await unit.create(2, metadata(index=2, filename="b.mp4"))).status == 507
        bearer = f"Bearer {token(OTHER_KEY, centre.url, iss=OTHER_ID)}"
        theirs = metadata(unit_id=OTHER_ID)
        assert (await unit.create(900_000, theirs, Authorization=bearer)).status == 507
        assert (await unit.create(800_000, theirs, Authorization=bearer)).status == 201


async def test_a_body_leaves_the_reserve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = [1_000_000]
    monkeypatch.setattr("csu.ingest_body.shutil.disk_usage", lambda _path: SimpleNamespace(free=free[0]))
    keys = {UNIT_ID: trusted(KEY)}
    limits = IngestLimits(reserve_bytes=1000)
    async with running_ingest(tmp_path / "csu", keys, limits) as centre, aiohttp.ClientSession() as session:
        unit = RawUnit(session, KEY, centre.url)
        path = (await unit.create(10)).headers["Location"]
        assert (await unit.patch(path, 0, b"12345")).status == 204
        free[0] = 999
        assert (await unit.patch(path, 5, b"67890")).status == 507
        assert (await unit.send("HEAD", path)).headers["Upload-Offset"] == "5"
