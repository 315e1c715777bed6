"""When an upload that nobody goes on with is removed, and when it is not."""

from pathlib import Path

import aiohttp

from csu.ingest import _EXPIRY_CHECK_S, IngestLimits
from csu.ingest_store import UploadStore
from tests.support.polling import until
from tests.support.tus_requests import RawUnit, metadata
from tests.support.uploads import UNIT_ID, running_ingest, trusted
from tests.unit.csu.ingest_parts import KEY, NOW_US


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
