"""When an upload that nobody goes on with is removed, and when it is not."""

import asyncio
import errno
import os
import threading
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime
from pathlib import Path

import aiohttp
import pytest

from csu.ingest import _EXPIRY_CHECK_S
from csu.ingest_quota import IngestLimits
from csu.ingest_store import UploadStore
from csu.ingest_upload import Upload
from edge_agent.contract.upload import PATCH_CONTENT_TYPE, origin_of
from tests.support.polling import until
from tests.support.tus_requests import RawUnit, metadata
from tests.support.uploads import UNIT_ID, Centre, running_ingest, trusted
from tests.unit.csu.ingest_parts import KEY, LIMITS, NOW_US


def test_an_upload_without_a_byte_expires_within_the_hour(tmp_path: Path) -> None:
    store = UploadStore(tmp_path / "ingest", tmp_path / "clips")
    store.load()
    empty = store.create(metadata(), 10, NOW_US)
    begun = store.create(metadata(index=2, filename="b.mp4"), 10, NOW_US)
    begun.data_path.write_bytes(b"1")
    limits = IngestLimits()
    assert limits.empty_expiry_s + _EXPIRY_CHECK_S <= 3600
    assert store.idle_since(0, NOW_US + 1) == [empty]
    assert store.idle_since(0, NOW_US) == []


async def test_what_nothing_was_added_to_expires(tmp_path: Path) -> None:
    keys = {UNIT_ID: trusted(KEY)}
    async with aiohttp.ClientSession() as session:
        async with running_ingest(tmp_path / "csu", keys) as centre:
            answer = await RawUnit(session, KEY, centre.url).create(10)
            assert answer.headers["Upload-Expires"].endswith("GMT")
        limits = IngestLimits(reserve_bytes=0, expiry_s=0.001)
        async with running_ingest(tmp_path / "csu", keys, limits):
            await until(lambda: not list((tmp_path / "csu" / "ingest").iterdir()), what="expiry")


class HeldExpiry:
    """Expiry that stops between finding idle uploads and removing them, until the test lets it go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.found, self._go_on = threading.Event(), threading.Event()
        self._rounds = 0
        look = UploadStore.idle_since

        def idle_since(store: UploadStore, instant_us: int, empty_instant_us: int) -> list[Upload]:
            self._rounds += 1
            uploads = look(store, instant_us, empty_instant_us)
            if uploads:
                self.found.set()
                self._go_on.wait(30)
            return uploads

        monkeypatch.setattr(UploadStore, "idle_since", idle_since)
        monkeypatch.setattr("csu.ingest._EXPIRY_CHECK_S", 0.01)

    async def end_round(self) -> None:
        """Let it remove what it found."""
        rounds = self._rounds
        self._go_on.set()
        await until(lambda: self._rounds > rounds, what="end of the round")


AT_ONCE = IngestLimits(reserve_bytes=0, empty_expiry_s=0.0)


async def test_an_upload_that_begins_as_it_expires_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expiry = HeldExpiry(monkeypatch)
    async with (
        running_ingest(tmp_path / "csu", {UNIT_ID: trusted(KEY)}, AT_ONCE) as centre,
        aiohttp.ClientSession() as session,
    ):
        unit = RawUnit(session, KEY, centre.url)
        path = (await unit.create(10)).headers["Location"]
        await until(expiry.found.is_set, what="expiry found")
        assert (await unit.patch(path, 0, b"12345")).status == 204
        await expiry.end_round()
        assert (await unit.patch(path, 5, b"67890")).status == 204


async def test_an_upload_that_somebody_works_on_does_not_expire(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expiry, send = HeldExpiry(monkeypatch), asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b"1"
        await send.wait()
        yield b"2345"

    async with (
        running_ingest(tmp_path / "csu", {UNIT_ID: trusted(KEY)}, AT_ONCE) as centre,
        aiohttp.ClientSession() as session,
    ):
        unit = RawUnit(session, KEY, centre.url)
        path = (await unit.create(5)).headers["Location"]
        await until(expiry.found.is_set, what="expiry found")
        headers = unit.headers(Upload_Offset="0", Content_Type=PATCH_CONTENT_TYPE)
        sending = asyncio.create_task(
            session._request("PATCH", origin_of(centre.url) + path, data=body(), headers=headers)
        )
        await until(lambda: centre.ingest._gates._gates, what="begin of the upload")
        await expiry.end_round()
        send.set()
        assert (await sending).status == 204


async def test_a_unit_is_told_when_its_upload_really_expires(unit: RawUnit, centre: Centre) -> None:
    path = (await unit.create(10)).headers["Location"]
    await unit.patch(path, 0, b"12345")
    (data,) = await asyncio.to_thread(lambda: list((centre.directory / "ingest").glob("*/data")))
    changed_s = 4_000_000_000  # later than its creation, which counts too
    await asyncio.to_thread(os.utime, data, (changed_s, changed_s))
    expires = (await unit.send("HEAD", path)).headers["Upload-Expires"]
    assert parsedate_to_datetime(expires).timestamp() == changed_s + LIMITS.expiry_s


async def test_a_storage_that_fails_once_does_not_end_expiry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failures = [OSError("the storage fails: so the test wants it")]
    look = UploadStore.idle_since

    def failing_once(store: UploadStore, instant_us: int, empty_instant_us: int) -> list[Upload]:
        if failures:
            raise failures.pop()
        return look(store, instant_us, empty_instant_us)

    monkeypatch.setattr(UploadStore, "idle_since", failing_once)
    monkeypatch.setattr("csu.ingest._EXPIRY_CHECK_S", 0.01)
    async with (
        running_ingest(tmp_path / "csu", {UNIT_ID: trusted(KEY)}, AT_ONCE) as centre,
        aiohttp.ClientSession() as session,
    ):
        await RawUnit(session, KEY, centre.url).create(10)
        await until(lambda: not list((tmp_path / "csu" / "ingest").iterdir()), what="expiry")


async def test_one_that_cannot_be_removed_keeps_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expiry = HeldExpiry(monkeypatch)
    async with (
        running_ingest(tmp_path / "csu", {UNIT_ID: trusted(KEY)}, AT_ONCE) as centre,
        aiohttp.ClientSession() as session,
    ):
        unit = RawUnit(session, KEY, centre.url)
        store = centre.ingest._uploads
        await unit.create(10)
        await until(expiry.found.is_set, what="expiry found")
        for index in (2, 3, 4):
            await unit.create(10, metadata(index=index, filename=f"{index}.mp4"))
        (first, *_) = store.table.all()
        remove = UploadStore.remove

        def refuse(store: UploadStore, upload: Upload) -> None:
            if upload is first:
                raise OSError(errno.EIO, "so the test wants it")
            remove(store, upload)

        monkeypatch.setattr(UploadStore, "remove", refuse)
        expiry._go_on.set()
        await until(lambda: store.table.all() == [first], what="the others gone")
