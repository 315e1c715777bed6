"""How much one unit may take of the centre's room."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace

import aiohttp
import pytest

from csu.ingest_quota import IngestLimits
from csu.ingest_store import UploadStore
from csu.ingest_upload import Upload, UploadInfo
from edge_agent.contract.upload import PATCH_CONTENT_TYPE, origin_of
from tests.support.polling import until
from tests.support.tus_requests import RawUnit, metadata, token
from tests.support.uploads import UNIT_ID, Centre, running_ingest, trusted
from tests.unit.csu.ingest_parts import KEY, NOW_US, OTHER_ID, OTHER_KEY, manifest_metadata, plan_of, signed_manifest


async def test_a_unit_cannot_begin_clips_without_end(unit: RawUnit) -> None:
    statuses = [(await unit.create(10, metadata(clip_id=str(uuid.uuid4())))).status for _ in range(6)]
    assert statuses == [201] * 5 + [429]


async def test_a_clip_that_has_begun_gets_all_its_parts(tmp_path: Path) -> None:
    limits = IngestLimits(
        reserve_bytes=0, max_clips_per_unit=2, max_empty_uploads_per_unit=3, kept_uploads_per_unit=4
    )
    async with (
        running_ingest(tmp_path / "csu", {UNIT_ID: trusted(KEY)}, limits) as centre,
        aiohttp.ClientSession() as session,
    ):
        unit, other, third = RawUnit(session, KEY, centre.url), metadata(clip_id=str(uuid.uuid4())), str(uuid.uuid4())
        for index in range(1, 9):
            await unit.upload(b"12345", metadata(index=index, filename=f"{index}.mp4"))
        assert (await unit.create(5, other)).status == 201
        refused = await unit.create(5, metadata(clip_id=third))
        assert (refused.status, "unfinished clips" in refused.text) == (429, True)
        await unit.upload(b"12345", metadata(index=9, filename="9.mp4"))
        await unit.upload(signed_manifest(plan_of(*[5] * 9)), manifest_metadata())
        await until(have_arrived(centre, 1), what="arrival")
        await until(nothing_is_noted(centre), what="end of the hand-over")
        assert (await unit.create(5, metadata(clip_id=third))).status == 201


def make_known(centre: Centre, number: int) -> None:
    """As if that many parts of the tests' clip had come before."""
    store = centre.ingest._uploads
    for index in range(number):
        one = metadata(index=9999 - index, filename=f"known-{index}.mp4")
        info = UploadInfo(upload_id=uuid.uuid4().hex, metadata=one, length_bytes=5, created_us=NOW_US)
        store.table.add(store._upload(info), 5)


async def test_a_day_of_drop_outs_is_one_clip(tmp_path: Path) -> None:
    async with (
        running_ingest(tmp_path / "csu", {UNIT_ID: trusted(KEY)}) as centre,
        aiohttp.ClientSession() as session,
    ):
        make_known(centre, 9998)
        unit = RawUnit(session, KEY, centre.url)
        assert (await unit.create(5)).status == 201
        assert (await unit.create(5, metadata(clip_id=str(uuid.uuid4())))).status == 201


async def test_a_unit_cannot_fill_the_centre_with_tiny_parts(tmp_path: Path) -> None:
    limits = IngestLimits(reserve_bytes=0, max_uploads_per_unit=6)
    keys = {UNIT_ID: trusted(KEY), OTHER_ID: trusted(OTHER_KEY)}
    async with running_ingest(tmp_path / "csu", keys, limits) as centre, aiohttp.ClientSession() as session:
        unit, clip_id = RawUnit(session, KEY, centre.url), str(uuid.uuid4())
        for index in (1, 2, 3):
            await unit.upload(b"12345", metadata(index=index, filename=f"{index}.mp4"))
            await unit.upload(b"12345", metadata(clip_id=clip_id, index=index, filename=f"{index}.mp4"))
        seventh = metadata(clip_id=clip_id, index=4, filename="4.mp4")
        refused = await unit.create(5, seventh)
        assert (refused.status, "too many uploads" in refused.text) == (429, True)
        other = RawUnit(session, OTHER_KEY, centre.url, OTHER_ID)
        assert (await other.create(5, metadata(unit_id=OTHER_ID))).status == 201
        # A clip that is all there may end, and what arrives makes room, at once.
        await unit.upload(signed_manifest(plan_of(5, 5, 5)), manifest_metadata())
        await until(have_arrived(centre, 1), what="arrival")
        await until(nothing_is_noted(centre), what="end of the hand-over")
        assert (await unit.create(5, seventh)).status == 201


async def test_a_unit_at_its_limit_costs_the_centre_no_look_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []
    arrived = UploadStore.arrived

    def look(store: UploadStore, unit_id: str) -> list[Upload]:
        looks.append(unit_id)
        return arrived(store, unit_id)

    monkeypatch.setattr(UploadStore, "arrived", look)
    limits = IngestLimits(reserve_bytes=0, max_clips_per_unit=1)
    async with (
        running_ingest(tmp_path / "csu", {UNIT_ID: trusted(KEY)}, limits) as centre,
        aiohttp.ClientSession() as session,
    ):
        unit = RawUnit(session, KEY, centre.url)
        assert (await unit.create(5)).status == 201
        for _ in range(5):
            assert (await unit.create(5, metadata(clip_id=str(uuid.uuid4())))).status == 429
    assert looks == [UNIT_ID]


async def test_a_unit_cannot_fill_the_centre_with_empty_uploads(tmp_path: Path) -> None:
    limits = IngestLimits(reserve_bytes=0, max_empty_uploads_per_unit=3)
    async with (
        running_ingest(tmp_path / "csu", {UNIT_ID: trusted(KEY)}, limits) as centre,
        aiohttp.ClientSession() as session,
    ):
        unit = RawUnit(session, KEY, centre.url)
        parts = [metadata(index=index, filename=f"{index}.mp4") for index in range(1, 5)]
        answers = [await unit.create(10, part) for part in parts]
        assert [answer.status for answer in answers] == [201, 201, 201, 429]
        await unit.patch(answers[0].headers["Location"], 0, b"12345")
        assert (await unit.create(10, parts[3])).status == 201
        await unit.send("DELETE", answers[1].headers["Location"])
        assert (await unit.create(10, parts[1])).status == 201


def have_arrived(centre: Centre, clips: int) -> Callable[[], bool]:
    return lambda: len(centre.arrived) == clips


def nothing_is_noted(centre: Centre) -> Callable[[], bool]:
    """Its file on disk goes a moment before."""
    return lambda: not centre.ingest._arrivals._noted


async def test_what_has_arrived_takes_no_upload_from_a_unit(unit: RawUnit, centre: Centre) -> None:
    for number in range(1, 8):  # five are allowed at once
        clip_id = str(uuid.uuid4())
        await unit.upload(b"12345", metadata(clip_id=clip_id))
        await unit.upload(signed_manifest(plan_of(5)), manifest_metadata(clip_id=clip_id))
        await until(have_arrived(centre, number), what="arrival")
        await until(nothing_is_noted(centre), what="end of the hand-over")
    repeated = await unit.create(5, metadata(clip_id=centre.arrived[0][1]))
    assert (repeated.status, repeated.headers["Upload-Offset"]) == (201, "5")


async def test_one_unit_cannot_take_all_connections(tmp_path: Path) -> None:
    limits = IngestLimits(reserve_bytes=0, max_requests_per_unit=2)
    keys = {UNIT_ID: trusted(KEY), OTHER_ID: trusted(OTHER_KEY)}
    end = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b"1"
        await end.wait()

    async with running_ingest(tmp_path / "csu", keys, limits) as centre, aiohttp.ClientSession() as session:
        unit, other = RawUnit(session, KEY, centre.url), RawUnit(session, OTHER_KEY, centre.url, OTHER_ID)
        parts = [metadata(index=number, filename=f"{number}.mp4") for number in (1, 2, 3)]
        paths = [(await unit.create(10, part)).headers["Location"] for part in parts]
        headers = unit.headers(Upload_Offset="0", Content_Type=PATCH_CONTENT_TYPE)
        sending = [
            asyncio.create_task(session._request("PATCH", origin_of(centre.url) + path, data=body(), headers=headers))
            for path in paths[:2]
        ]
        await until(lambda: len(centre.ingest._gates._gates) == 2, what="begin of both")
        assert (await unit.send("HEAD", paths[2])).status == 429
        assert (await other.upload(b"12345", metadata(unit_id=OTHER_ID))).startswith("/files/")
        end.set()
        assert [(await one).status for one in sending] == [204, 204]
        assert (await unit.send("HEAD", paths[2])).status == 200


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


async def test_what_has_come_is_announced_no_longer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("csu.ingest_store.shutil.disk_usage", lambda _path: SimpleNamespace(free=1_000))
    limits = IngestLimits(reserve_bytes=0)
    async with aiohttp.ClientSession() as session:
        async with running_ingest(tmp_path / "csu", {UNIT_ID: trusted(KEY)}, limits) as centre:
            unit = RawUnit(session, KEY, centre.url)
            path = (await unit.create(900)).headers["Location"]
            assert (await unit.create(200, metadata(index=2, filename="b.mp4"))).status == 507
            await unit.patch(path, 0, b"1" * 150)
            assert (await unit.create(200, metadata(index=2, filename="b.mp4"))).status == 201
        async with running_ingest(tmp_path / "csu", {UNIT_ID: trusted(KEY)}, limits) as centre:
            unit = RawUnit(session, KEY, centre.url)
            assert (await unit.create(51, metadata(index=3, filename="c.mp4"))).status == 507
            assert (await unit.create(50, metadata(index=3, filename="c.mp4"))).status == 201
            await unit.send("DELETE", path)
            assert (await unit.create(750, metadata(index=4, filename="d.mp4"))).status == 201


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
