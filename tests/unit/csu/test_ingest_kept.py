"""What has arrived stays as it is, whatever its unit sends afterwards."""

import asyncio
import os
import shutil
import uuid
from pathlib import Path

import pytest

from csu.ingest_arrival import Arrival, ArrivalStore, Move
from edge_agent.contract.manifest import MANIFEST_FILE_NAME
from tests.support.clips import CLIP_ID
from tests.support.polling import until
from tests.support.tus_requests import RawUnit, metadata
from tests.support.uploads import UNIT_ID, Centre
from tests.unit.csu.ingest_parts import LIMITS, manifest_metadata, plan_of, signed_manifest

UPLOAD_ID = "a" * 32


async def arrived_clip(unit: RawUnit, centre: Centre) -> tuple[Path, list[str]]:
    """The folder of a clip that was handed over, and the paths of its uploads."""
    paths = [await unit.upload(b"12345"), await unit.upload(signed_manifest(plan_of(5)), manifest_metadata())]
    records = centre.directory / "arrivals"
    await until(lambda: centre.arrived and not list(records.iterdir()), what="arrival")
    return centre.directory / "clips" / UNIT_ID / CLIP_ID, paths


async def test_a_forgotten_upload_opens_no_way_to_replace_its_file(unit: RawUnit, centre: Centre) -> None:
    folder, _ = await arrived_clip(unit, centre)
    for _ in range(LIMITS.max_clips_per_unit):  # the last needs the place of the one that has arrived
        assert (await unit.create(9, metadata(clip_id=str(uuid.uuid4())))).status == 201
    for other in (1, 7):
        refused = await unit.create(other)
        assert (refused.status, "already here" in refused.text) == (400, True)
    again = await unit.create(5)
    assert (again.status, again.headers["Upload-Offset"]) == (201, "5")
    assert await asyncio.to_thread((folder / "part1.mp4").read_bytes) == b"12345"


async def test_a_clip_that_has_arrived_gets_no_further_file(unit: RawUnit, centre: Centre) -> None:
    folder, _ = await arrived_clip(unit, centre)
    for _ in range(LIMITS.max_clips_per_unit - 1):
        assert (await unit.create(9, metadata(clip_id=str(uuid.uuid4())))).status == 201
    assert (
        await unit.create(9, metadata(clip_id=str(uuid.uuid4())))
    ).status == 201  # those that arrived are forgotten
    for index in (1, 2):
        refused = await unit.create(7, metadata(index=index, filename="another.mp4"))
        assert (refused.status, "already here" in refused.text) == (400, True)
    names = await asyncio.to_thread(lambda: {path.name for path in folder.iterdir()})
    assert names == {"part1.mp4", MANIFEST_FILE_NAME}


@pytest.mark.parametrize("gone", ["clips", "ingest/*/data"])
async def test_an_upload_whose_bytes_are_gone_is_made_anew(unit: RawUnit, centre: Centre, gone: str) -> None:
    if gone == "clips":
        await arrived_clip(unit, centre)
        await asyncio.to_thread(shutil.rmtree, centre.directory / "clips")
    else:
        await unit.create(5)
        for path in await asyncio.to_thread(lambda: list(centre.directory.glob(gone))):
            await asyncio.to_thread(path.unlink)
    again = await unit.create(5)
    assert (again.status, again.headers["Upload-Offset"]) == (201, "0")
    assert (await unit.patch(again.headers["Location"], 0, b"12345")).status == 204


class Folders:
    """An upload that is to be put together, and what lies there already."""

    def __init__(self, directory: Path) -> None:
        self.store = ArrivalStore(directory / "arrivals", directory / "ingest", directory / "clips")
        self.source = directory / "ingest" / UPLOAD_ID / "data"
        self.target = directory / "clips" / UNIT_ID / CLIP_ID / MANIFEST_FILE_NAME
        self.source.parent.mkdir(parents=True)
        self.target.parent.mkdir(parents=True)
        self.source.write_bytes(b"bytes")

    def put_together(self) -> None:
        moves = (Move(upload_id=UPLOAD_ID, filename=MANIFEST_FILE_NAME),)
        self.store.put_together(Arrival(unit_id=UNIT_ID, clip_id=CLIP_ID, moves=moves))


@pytest.mark.parametrize("there", [b"other", b"longer bytes"])
def test_a_file_of_a_clip_is_never_replaced(tmp_path: Path, there: bytes) -> None:
    folders = Folders(tmp_path)
    folders.target.write_bytes(there)
    with pytest.raises(FileExistsError):
        folders.put_together()
    assert (folders.target.read_bytes(), folders.source.read_bytes()) == (there, b"bytes")


@pytest.mark.parametrize("left", ["nothing", "both-names", "a-copy", "a-claimed-name"])
def test_a_clip_is_put_together_after_a_cut(tmp_path: Path, left: str) -> None:
    folders = Folders(tmp_path)
    if left == "both-names":
        os.link(folders.source, folders.target)
    elif left != "nothing":
        folders.target.write_bytes(b"bytes" if left == "a-copy" else b"")
    folders.put_together()
    assert folders.target.read_bytes() == b"bytes"
    assert not folders.source.exists()
