"""When uploads become a clip, and how it is handed over."""

import asyncio
import threading
import uuid
from pathlib import Path

import aiohttp
import pytest

from csu.ingest_arrival import Arrival, ArrivalStore, Move
from edge_agent.contract.manifest import MANIFEST_FILE_NAME
from tests.support.clips import CLIP_ID
from tests.support.polling import until
from tests.support.tus_requests import RawUnit, metadata
from tests.support.uploads import UNIT_ID, Centre, running_ingest, trusted
from tests.unit.csu.ingest_parts import KEY, OTHER_ID, OTHER_KEY, manifest_metadata, plan_of, signed_manifest


async def test_a_clip_is_handed_over_when_all_that_its_manifest_names_is_there(unit: RawUnit, centre: Centre) -> None:
    token_text = signed_manifest(plan_of(5, 3))
    await unit.upload(b"12345")
    await unit.upload(token_text, manifest_metadata())
    assert centre.arrived == []
    path = await unit.upload(b"678", metadata(index=2, filename="part2.mp4"))
    await until(lambda: centre.arrived, what="arrival")
    folder = centre.directory / "clips" / UNIT_ID / CLIP_ID
    assert centre.arrived == [(UNIT_ID, CLIP_ID, folder)]
    files = await asyncio.to_thread(lambda: {path.name: path.read_bytes() for path in folder.iterdir()})
    assert files == {"part1.mp4": b"12345", "part2.mp4": b"678", MANIFEST_FILE_NAME: token_text}
    assert (await unit.send("HEAD", path)).headers["Upload-Offset"] == "3"


async def test_what_the_manifest_does_not_name_is_no_part_of_the_clip(unit: RawUnit, centre: Centre) -> None:
    await unit.upload(b"12345")
    await unit.upload(b"unheard of", metadata(index=2, filename="part2.mp4"))
    await unit.upload(signed_manifest(plan_of(5)), manifest_metadata())
    await until(lambda: centre.arrived, what="arrival")
    folder = centre.directory / "clips" / UNIT_ID / CLIP_ID
    names = await asyncio.to_thread(lambda: {path.name for path in folder.iterdir()})
    assert names == {"part1.mp4", MANIFEST_FILE_NAME}


async def test_a_clip_that_comes_twice_is_answered_and_handed_over_again(unit: RawUnit, centre: Centre) -> None:
    text = signed_manifest(plan_of(5))
    path = await unit.upload(b"12345")
    manifest_path = await unit.upload(text, manifest_metadata())
    await until(lambda: len(centre.arrived) == 1, what="arrival")
    assert (await unit.create(5)).headers["Upload-Offset"] == "5"
    for location in (path, manifest_path):
        assert (await unit.send("DELETE", location)).status == 204
    again = await unit.create(5)
    assert (again.status, again.headers["Upload-Offset"]) == (201, "5")
    again = await unit.create(len(text), manifest_metadata())
    assert (again.status, again.headers["Upload-Offset"]) == (201, str(len(text)))
    await until(lambda: len(centre.arrived) >= 2, what="second arrival")


async def test_a_clip_that_is_being_put_together_loses_no_file(
    unit: RawUnit, centre: Centre, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    put_together = ArrivalStore.put_together

    def slowly(store: ArrivalStore, arrival: Arrival) -> Path:
        begun.set()
        go_on.wait(20)
        return put_together(store, arrival)

    monkeypatch.setattr(ArrivalStore, "put_together", slowly)
    paths = [await unit.upload(b"12345"), await unit.upload(signed_manifest(plan_of(5)), manifest_metadata())]
    await until(begun.is_set, what="begin of the putting together")
    assert [(await unit.send("DELETE", path)).status for path in paths] == [204, 204]
    go_on.set()
    await until(lambda: centre.arrived, what="arrival")
    folder = centre.directory / "clips" / UNIT_ID / CLIP_ID
    names = await asyncio.to_thread(lambda: {path.name for path in folder.iterdir()})
    assert names == {"part1.mp4", MANIFEST_FILE_NAME}


async def test_a_clip_that_has_arrived_is_not_replaced(unit: RawUnit, centre: Centre) -> None:
    path = await unit.upload(b"12345")
    await unit.upload(signed_manifest(plan_of(5)), manifest_metadata())
    records = centre.directory / "arrivals"
    await until(lambda: centre.arrived and not list(records.iterdir()), what="arrival")
    assert (await unit.send("DELETE", path)).status == 204
    assert (await unit.create(6)).status == 400


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"not a manifest", id="garbage"),
        pytest.param(b"\xff\xfe", id="not-text"),
        pytest.param(signed_manifest(plan_of(5), OTHER_KEY), id="signed-by-another"),
    ],
)
async def test_an_unreadable_manifest_is_handed_over_for_a_verdict(
    unit: RawUnit, centre: Centre, text: bytes
) -> None:
    await unit.upload(b"12345")
    await unit.upload(text, manifest_metadata())
    await until(lambda: centre.arrived, what="arrival")


KEYS = {UNIT_ID: trusted(KEY)}


async def leave_an_arrival(directory: Path) -> None:
    """A centre ends before what arrived could be handed over."""
    async with aiohttp.ClientSession() as session, running_ingest(directory, KEYS) as centre:
        centre.fail = True
        unit = RawUnit(session, KEY, centre.url)
        await unit.upload(b"12345")
        await unit.upload(signed_manifest(plan_of(5)), manifest_metadata())
        await until(lambda: centre.arrived, what="arrival")


async def test_a_damaged_arrival_keeps_no_centre_from_starting(tmp_path: Path) -> None:
    await leave_an_arrival(tmp_path / "csu")
    (record,) = await asyncio.to_thread(lambda: list((tmp_path / "csu" / "arrivals").iterdir()))
    await asyncio.to_thread(record.write_bytes, b"{")
    async with running_ingest(tmp_path / "csu", KEYS) as centre:
        await until(lambda: centre.arrived, what="arrival, found again from the uploads")
        damaged = record.with_name(record.name + ".damaged")
        await until(lambda: list(record.parent.iterdir()) == [damaged], what="end of the record")


async def test_what_could_not_be_handed_over_is_tried_again(unit: RawUnit, centre: Centre) -> None:
    centre.fail = True
    await unit.upload(b"12345")
    await unit.upload(signed_manifest(plan_of(5)), manifest_metadata())
    await until(lambda: len(centre.arrived) > 1, what="second try")
    centre.fail = False
    records = centre.directory / "arrivals"
    await until(lambda: not list(records.iterdir()), what="end of the record")


async def test_what_was_not_handed_over_is_handed_over_at_start(tmp_path: Path) -> None:
    await leave_an_arrival(tmp_path / "csu")
    async with running_ingest(tmp_path / "csu", KEYS) as centre:
        await until(lambda: centre.arrived, what="arrival")
        await until(lambda: not list((tmp_path / "csu" / "arrivals").iterdir()), what="end of the record")


def test_a_kill_between_two_renames_is_finished(tmp_path: Path) -> None:
    store = ArrivalStore(tmp_path / "arrivals", tmp_path / "ingest", tmp_path / "clips")
    assert store.load() == []
    ids = ["a" * 32, "b" * 32]
    for upload_id in ids:
        (tmp_path / "ingest" / upload_id).mkdir(parents=True)
        (tmp_path / "ingest" / upload_id / "data").write_text(upload_id)
    moves = tuple(Move(upload_id=upload_id, filename=f"{upload_id[0]}.mp4") for upload_id in ids)
    arrival = Arrival(unit_id=UNIT_ID, clip_id=CLIP_ID, moves=moves)
    store.note(arrival)
    store.put_together(arrival.model_copy(update={"moves": moves[:1]}))
    assert store.load() == [arrival]
    folder = store.put_together(arrival)
    assert folder == tmp_path / "clips" / UNIT_ID / CLIP_ID
    assert {path.name: path.read_text() for path in folder.iterdir()} == {"a.mp4": ids[0], "b.mp4": ids[1]}
    store.forget(arrival)
    assert store.load() == []


async def test_a_clip_of_a_unit_that_is_shut_out_is_read_with_the_keys_it_had(tmp_path: Path) -> None:
    kept = {UNIT_ID: trusted(KEY), OTHER_ID: trusted(OTHER_KEY)}
    keys = kept.copy()
    torn_id, whole_id, later_id = (str(uuid.uuid4()) for _ in range(3))
    async with aiohttp.ClientSession() as session:
        async with running_ingest(tmp_path / "csu", keys, kept_keys=kept) as centre:
            centre.fail = True
            unit = RawUnit(session, KEY, centre.url)
            for clip_id, lengths in ((torn_id, (5, 3)), (whole_id, (5,))):
                await unit.upload(b"12345", metadata(clip_id=clip_id))
                await unit.upload(signed_manifest(plan_of(*lengths)), manifest_metadata(clip_id=clip_id))
            await until(lambda: centre.arrived, what="arrival of the whole one")
        del keys[UNIT_ID]
        async with running_ingest(tmp_path / "csu", keys, kept_keys=kept) as centre:
            other = RawUnit(session, OTHER_KEY, centre.url, OTHER_ID)
            await other.upload(b"12345", metadata(unit_id=OTHER_ID, clip_id=later_id))
            text = signed_manifest(plan_of(5), OTHER_KEY)
            await other.upload(text, manifest_metadata(unit_id=OTHER_ID, clip_id=later_id))
            await until(lambda: centre.arrived[-1:] and centre.arrived[-1][1] == later_id, what="what came last")
            assert [clip_id for _, clip_id, _ in centre.arrived] == [whole_id, later_id]
