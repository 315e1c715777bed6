"""Uploads on disk, over restarts and damage."""

import asyncio
import errno
from pathlib import Path

import aiohttp
import pytest

from csu.ingest_store import UploadStore
from tests.support.tus_requests import RawUnit, metadata
from tests.support.uploads import UNIT_ID, running_ingest, trusted
from tests.unit.csu.ingest_parts import KEY, NOW_US


async def test_uploads_survive_a_restart(tmp_path: Path) -> None:
    keys = {UNIT_ID: trusted(KEY)}
    async with aiohttp.ClientSession() as session:
        async with running_ingest(tmp_path / "csu", keys) as centre:
            unit = RawUnit(session, KEY, centre.url)
            path = (await unit.create(10)).headers["Location"]
            await unit.patch(path, 0, b"12345")
        stray = tmp_path / "csu" / "ingest" / ("f" * 32)
        await asyncio.to_thread(stray.mkdir)
        async with running_ingest(tmp_path / "csu", keys) as centre:
            unit = RawUnit(session, KEY, centre.url)
            assert (await unit.send("HEAD", path)).headers["Upload-Offset"] == "5"
            assert not await asyncio.to_thread(stray.exists)


@pytest.mark.parametrize("info", [b"{", b"\xff", b"[]", None])
def test_an_unreadable_upload_is_set_aside_with_its_bytes(tmp_path: Path, info: bytes | None) -> None:
    store = UploadStore(tmp_path / "ingest", tmp_path / "clips")
    store.load()
    kept, damaged = store.create(metadata(), 10, NOW_US), store.create(metadata(index=2, filename="b"), 10, NOW_US)
    damaged.data_path.write_bytes(b"evidence")
    info_path = damaged.folder / "info.json"
    info_path.unlink() if info is None else info_path.write_bytes(info)
    store = UploadStore(tmp_path / "ingest", tmp_path / "clips")
    store.load()
    assert store.table.of_unit(UNIT_ID) == [kept]
    (aside,) = (tmp_path / "ingest-damaged").iterdir()
    assert (aside / "data").read_bytes() == b"evidence"


def test_what_could_not_be_removed_stays_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = UploadStore(tmp_path / "ingest", tmp_path / "clips")
    store.load()
    upload = store.create(metadata(), 10, NOW_US)

    def refuse(_path: Path, missing_ok: bool = False) -> None:
        raise OSError(errno.EROFS, f"so the test wants it, {missing_ok}")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", refuse)
        with pytest.raises(OSError, match="so the test"):
            store.remove(upload)
    assert store.table.of_unit(UNIT_ID) == [upload]
    store.remove(upload)
    assert store.table.of_unit(UNIT_ID) == []
    assert list((tmp_path / "ingest").iterdir()) == []
