"""The ingest, request by request."""

import asyncio
import threading
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from csu.ingest import _EXPIRY_CHECK_S, PREFIX, IngestLimits
from csu.ingest_arrival import Arrival, ArrivalStore, Move
from csu.ingest_store import UploadStore
from edge_agent.contract.clip import ClipPlan
from edge_agent.contract.jws import SigningKey
from edge_agent.contract.manifest import MANIFEST_FILE_NAME, build_manifest, sign_manifest
from edge_agent.contract.upload import UploadMetadata, origin_of
from tests.support.clips import CLIP_ID, make_part, make_plan
from tests.support.polling import until
from tests.support.tus_requests import RawUnit, metadata, token
from tests.support.uploads import UNIT_ID, Centre, running_ingest, trusted

KEY = SigningKey.generate()
OTHER_KEY = SigningKey.generate()
OTHER_ID = "nomad-08"
NOW_US = 1_790_000_000_000_000
LIMITS = IngestLimits(max_part_bytes=1_000_000, reserve_bytes=0, idle_s=0.5, max_uploads_per_unit=5)


@pytest.fixture
async def centre(tmp_path: Path) -> AsyncIterator[Centre]:
    keys = {UNIT_ID: trusted(KEY), OTHER_ID: trusted(OTHER_KEY)}
    async with running_ingest(tmp_path / "csu", keys, LIMITS) as running:
        yield running


@pytest.fixture
async def unit(centre: Centre) -> AsyncIterator[RawUnit]:
    async with aiohttp.ClientSession() as session:
        yield RawUnit(session, KEY, centre.url)


def data_files(centre: Centre) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in (centre.directory / "ingest").glob("*/data")}


def plan_of(*lengths: int) -> ClipPlan:
    parts = [make_part(b"", [("segments/1.mp4", 0, length)], index) for index, length in enumerate(lengths, start=1)]
    return make_plan(tuple(parts))


def signed_manifest(plan: ClipPlan, key: SigningKey = KEY) -> bytes:
    return sign_manifest(build_manifest(plan, ["a" * 64] * len(plan.parts)), key).encode()


def manifest_metadata(**changes: object) -> UploadMetadata:
    return metadata(kind="manifest", index=0, filename=MANIFEST_FILE_NAME, **changes)


async def test_options_tell_what_it_speaks(unit: RawUnit) -> None:
    answer = await unit.send("OPTIONS", Tus_Resumable=None, Authorization=None)
    assert answer.status == 204
    assert answer.headers["Tus-Version"] == "1.0.0"
    assert answer.headers["Tus-Extension"] == "creation,expiration,termination"
    assert answer.headers["Tus-Max-Size"] == "1000000"


async def test_an_upload_grows_by_patches_and_says_where_it_is(unit: RawUnit) -> None:
    path = (await unit.create(10)).headers["Location"]
    assert (await unit.patch(path, 0, b"12345")).headers["Upload-Offset"] == "5"
    head = await unit.send("HEAD", path)
    assert (head.headers["Upload-Offset"], head.headers["Upload-Length"]) == ("5", "10")
    assert head.headers["Cache-Control"] == "no-store"
    assert UploadMetadata.from_header(head.headers["Upload-Metadata"]) == metadata()
    assert (await unit.patch(path, 5, b"67890")).status == 204
    assert (await unit.send("HEAD", path)).headers["Upload-Offset"] == "10"


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ({"Tus_Resumable": None}, 412),
        ({"Tus_Resumable": "0.2.2"}, 412),
        ({"Upload_Metadata": None}, 400),
        ({"Upload_Metadata": ""}, 400),
        ({"Upload_Metadata": "clip_id !!!"}, 400),
        ({"Upload_Metadata": "clip_id,clip_id"}, 400),
        ({"Upload_Metadata": "x" * 3000}, 400),
        ({"Upload_Length": None}, 400),
        ({"Upload_Length": "-1"}, 400),
        ({"Upload_Length": "ten"}, 400),
        ({"Upload_Length": "٣"}, 400),
        ({"Upload_Length": "0"}, 400),
        ({"Upload_Length": "9" * 15}, 413),
        ({"Upload_Length": "9" * 16}, 400),
        ({"Authorization": None}, 401),
        ({"Authorization": "Basic dTpw"}, 401),
        ({"Authorization": "Bearer nonsense"}, 401),
        ({"Authorization": "Bearer " + "x" * 5000}, 401),
    ],
)
async def test_an_odd_creation_is_refused_with_a_sentence(
    unit: RawUnit, centre: Centre, header: dict[str, str | None], status: int
) -> None:
    answer = await unit.send("POST", **({"Upload_Length": "10", "Upload_Metadata": metadata().to_header()} | header))
    assert answer.status == status
    assert answer.text.strip()
    assert answer.headers["Tus-Resumable"] == "1.0.0"
    assert await asyncio.to_thread(data_files, centre) == {}


@pytest.mark.parametrize(
    "change",
    [
        {"clip_id": "../../etc"},
        {"filename": "../../etc/passwd"},
        {"filename": ".hidden"},
        {"filename": "a/b"},
        {"filename": "a\x00b"},
        {"filename": "x" * 151},
        {"filename": MANIFEST_FILE_NAME},
        {"index": -1},
        {"index": "1e3"},
        {"index": "99999"},
        {"kind": "file"},
        {"kind": "manifest"},
    ],
)
async def test_metadata_that_could_lead_elsewhere_is_refused(
    unit: RawUnit, centre: Centre, change: dict[str, object]
) -> None:
    values = metadata().model_dump() | change
    answer = await unit.create(10, UploadMetadata.model_construct(None, **values))
    assert answer.status == 400
    assert await asyncio.to_thread(data_files, centre) == {}


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("upload", {"iss": "nobody"}),
        ("upload", {"iss": OTHER_ID}),
        ("upload", {"iss": 7}),
        ("upload", {"aud": "https://ingest.csu.example"}),
        ("upload", {"exp": 1_000_000}),
        ("upload", {"iat": 4_000_000_000, "exp": 4_000_000_060}),
        ("upload", {"exp": 4_000_000_000}),
        ("upload", {"iat": "now"}),
        ("upload", {"jti": "1"}),
        ("command", {}),
    ],
)
async def test_a_token_that_does_not_fit_is_refused(
    unit: RawUnit, centre: Centre, kind: str, changes: dict[str, object]
) -> None:
    answer = await unit.create(10, Authorization=f"Bearer {token(KEY, centre.url, kind, **changes)}")
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_another_units_upload_is_not_touched(unit: RawUnit, centre: Centre) -> None:
    path = (await unit.create(10)).headers["Location"]
    stranger = f"Bearer {token(OTHER_KEY, centre.url, iss=OTHER_ID)}"
    for method in ("HEAD", "DELETE"):
        assert (await unit.send(method, path, Authorization=stranger)).status == 403
    assert (await unit.patch(path, 0, b"12345", Authorization=stranger)).status == 403
    assert (await unit.create(10, Authorization=stranger)).status == 403
    assert (await unit.send("HEAD", path)).headers["Upload-Offset"] == "0"


async def raw_exchange(centre: Centre, head: str, body: bytes = b"") -> bytes:
    """Send a request head, and read an answer before anything of the body is sent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(origin_of(centre.url).rsplit(":", 1)[1]))
    writer.write(head.replace("\n", "\r\n").encode() + b"\r\n\r\n")
    async with asyncio.timeout(20):
        answer = await reader.readuntil(b"\r\n\r\n")
        writer.write(body)
        if answer.startswith(b"HTTP/1.1 100"):
            answer += await reader.readuntil(b"\r\n\r\n")
        writer.close()
    return answer


@pytest.mark.parametrize("expect", ["", "\nExpect: 100-continue"])
async def test_a_body_is_not_waited_for_when_the_sender_is_unknown(
    unit: RawUnit, centre: Centre, expect: str
) -> None:
    path = (await unit.create(900_000)).headers["Location"]
    head = f"PATCH {path} HTTP/1.1\nHost: a\nTus-Resumable: 1.0.0\nUpload-Offset: 0\nContent-Length: 900000{expect}"
    answer = await raw_exchange(centre, head, b"x" * 100_000)
    assert answer.startswith(b"HTTP/1.1 401")
    assert set((await asyncio.to_thread(data_files, centre)).values()) == {b""}


async def test_a_body_is_invited_once_the_sender_is_known(unit: RawUnit, centre: Centre) -> None:
    path = (await unit.create(5)).headers["Location"]
    bearer = token(KEY, centre.url)
    head = (
        f"PATCH {path} HTTP/1.1\nHost: a\nTus-Resumable: 1.0.0\nUpload-Offset: 0\nContent-Length: 5\n"
        f"Content-Type: application/offset+octet-stream\nAuthorization: Bearer {bearer}\nExpect: 100-continue"
    )
    answer = await raw_exchange(centre, head, b"12345")
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204")
    assert list((await asyncio.to_thread(data_files, centre)).values()) == [b"12345"]


@pytest.mark.parametrize(
    ("offset", "body", "headers", "status"),
    [
        (1, b"12345", {}, 409),
        ("x", b"12345", {}, 400),
        (0, b"12345", {"Content_Type": "application/octet-stream"}, 415),
        (0, b"12345678901", {}, 413),
        (0, b"12345", {"Tus_Resumable": "2.0.0"}, 412),
    ],
)
async def test_an_odd_patch_changes_nothing(
    unit: RawUnit, centre: Centre, offset: int | str, body: bytes, headers: dict[str, str], status: int
) -> None:
    path = (await unit.create(10)).headers["Location"]
    assert (await unit.patch(path, offset, body, **headers)).status == status
    assert set((await asyncio.to_thread(data_files, centre)).values()) == {b""}


async def test_a_chunked_body_that_is_too_long_is_not_written_beyond(unit: RawUnit, centre: Centre) -> None:
    path = (await unit.create(10)).headers["Location"]

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"123"

    url = origin_of(centre.url) + path
    headers = unit.headers(Upload_Offset="0", Content_Type="application/offset+octet-stream")
    async with unit.session.patch(url, data=endless(), headers=headers) as response:
        assert response.status == 413
    assert all(len(data) <= 10 for data in (await asyncio.to_thread(data_files, centre)).values())


async def test_what_came_before_a_cut_is_kept(unit: RawUnit, centre: Centre) -> None:
    path = (await unit.create(10)).headers["Location"]

    async def broken() -> AsyncIterator[bytes]:
        yield b"1234"
        await asyncio.sleep(0.2)
        raise ConnectionError("cut by the test")

    headers = unit.headers(Upload_Offset="0", Content_Type="application/offset+octet-stream", Content_Length="10")
    with pytest.raises(aiohttp.ClientError):
        await unit.session.patch(origin_of(centre.url) + path, data=broken(), headers=headers)
    assert (await unit.send("HEAD", path)).headers["Upload-Offset"] == "4"


async def test_a_silent_body_is_given_up(unit: RawUnit, centre: Centre) -> None:
    path = (await unit.create(10)).headers["Location"]

    async def silent() -> AsyncIterator[bytes]:
        yield b"1234"
        await asyncio.sleep(20)

    headers = unit.headers(Upload_Offset="0", Content_Type="application/offset+octet-stream")
    async with unit.session.patch(origin_of(centre.url) + path, data=silent(), headers=headers) as response:
        assert response.status == 408
    assert (await unit.send("HEAD", path)).headers["Upload-Offset"] == "4"


async def test_a_newer_request_drops_the_older_patch(unit: RawUnit, centre: Centre) -> None:
    path = (await unit.create(10)).headers["Location"]
    going = asyncio.Event()

    async def half_open() -> AsyncIterator[bytes]:
        yield b"1234"
        going.set()
        await asyncio.sleep(20)

    headers = unit.headers(Upload_Offset="0", Content_Type="application/offset+octet-stream", Content_Length="10")
    older = asyncio.create_task(
        unit.session._request("PATCH", origin_of(centre.url) + path, data=half_open(), headers=headers)
    )
    await going.wait()
    await asyncio.sleep(0.1)  # both orders must end alike; this makes the interesting one likely
    offset = (await unit.send("HEAD", path)).headers["Upload-Offset"]
    answer = await unit.patch(path, offset, b"1234567890"[int(offset) :])
    assert answer.status == 204
    assert (await older).status == 409
    assert list((await asyncio.to_thread(data_files, centre)).values()) == [b"1234567890"]


async def test_a_repeated_creation_finds_what_is_there(unit: RawUnit) -> None:
    first = await unit.create(10)
    await unit.patch(first.headers["Location"], 0, b"123")
    again = await unit.create(10)
    assert again.headers["Location"] == first.headers["Location"]
    assert again.headers["Upload-Offset"] == "3"
    other = await unit.create(11)
    assert other.headers["Location"] != first.headers["Location"]
    assert (await unit.send("HEAD", first.headers["Location"])).status == 404


async def test_two_parts_of_a_clip_cannot_share_a_name(unit: RawUnit) -> None:
    await unit.create(10)
    assert (await unit.create(10, metadata(index=2))).status == 400


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


async def test_a_terminated_upload_is_gone(unit: RawUnit, centre: Centre) -> None:
    path = await unit.upload(b"12345")
    assert (await unit.send("DELETE", path)).status == 204
    assert (await unit.send("HEAD", path)).status == 404
    assert (await unit.send("DELETE", path)).status == 404
    assert await asyncio.to_thread(data_files, centre) == {}


async def test_methods_may_be_overridden_as_tus_says(unit: RawUnit) -> None:
    path = (await unit.create(5)).headers["Location"]
    more = {"X_HTTP_Method_Override": "PATCH", "Upload_Offset": "0"}
    answer = await unit.send("POST", path, b"12345", Content_Type="application/offset+octet-stream", **more)
    assert answer.status == 204
    assert (await unit.send("POST", path)).status == 405
    assert (await unit.send("GET", path)).status == 405


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


async def test_two_removals_at_once_are_both_answered(unit: RawUnit, centre: Centre) -> None:
    paths = [(await unit.create(10, metadata(index=n, filename=f"{n}.mp4"))).headers["Location"] for n in (1, 2, 3)]
    answers = await asyncio.gather(*(unit.send("DELETE", path) for path in paths))
    assert [answer.status for answer in answers] == [204] * 3
    assert await asyncio.to_thread(data_files, centre) == {}


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
    assert store.of_unit(UNIT_ID) == [kept]
    (aside,) = (tmp_path / "ingest-damaged").iterdir()
    assert (aside / "data").read_bytes() == b"evidence"


async def test_a_damaged_arrival_keeps_no_centre_from_starting(tmp_path: Path) -> None:
    keys = {UNIT_ID: trusted(KEY)}
    async with aiohttp.ClientSession() as session, running_ingest(tmp_path / "csu", keys) as centre:
        centre.fail = True
        unit = RawUnit(session, KEY, centre.url)
        await unit.upload(b"12345")
        await unit.upload(signed_manifest(plan_of(5)), manifest_metadata())
        await until(lambda: centre.arrived, what="arrival")
    (record,) = await asyncio.to_thread(lambda: list((tmp_path / "csu" / "arrivals").iterdir()))
    await asyncio.to_thread(record.write_bytes, b"{")
    async with running_ingest(tmp_path / "csu", keys) as centre:
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
    keys = {UNIT_ID: trusted(KEY)}
    async with aiohttp.ClientSession() as session, running_ingest(tmp_path / "csu", keys) as centre:
        centre.fail = True
        unit = RawUnit(session, KEY, centre.url)
        await unit.upload(b"12345")
        await unit.upload(signed_manifest(plan_of(5)), manifest_metadata())
        await until(lambda: centre.arrived, what="arrival")
    async with running_ingest(tmp_path / "csu", keys) as centre:
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


async def test_what_nothing_was_added_to_expires(tmp_path: Path) -> None:
    keys = {UNIT_ID: trusted(KEY)}
    async with aiohttp.ClientSession() as session:
        async with running_ingest(tmp_path / "csu", keys) as centre:
            answer = await RawUnit(session, KEY, centre.url).create(10)
            assert answer.headers["Upload-Expires"].endswith("GMT")
        limits = IngestLimits(reserve_bytes=0, expiry_s=0.001)
        async with running_ingest(tmp_path / "csu", keys, limits):
            await until(lambda: not list((tmp_path / "csu" / "ingest").iterdir()), what="expiry")


ANY_TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=80)
NAMES = ["Upload_Length", "Upload_Offset", "Upload_Metadata", "Content_Type", "Tus_Resumable", "Authorization"]
FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@FUZZ
@given(
    method=st.sampled_from(["POST", "PATCH", "HEAD", "DELETE", "OPTIONS", "GET", "PUT"]),
    headers=st.dictionaries(st.sampled_from([*NAMES, "X_HTTP_Method_Override", "Expect"]), ANY_TEXT, max_size=4),
    path=st.sampled_from(
        [PREFIX, "UPLOAD", PREFIX + "x", PREFIX + "../x", PREFIX + "%2e%2e", "/", PREFIX + "f" * 32]
    ),
    body=st.binary(max_size=20),
)
def test_no_request_is_answered_with_a_5xx(
    ready_ingest: "FuzzedIngest", method: str, headers: dict[str, str], path: str, body: bytes
) -> None:
    assert ready_ingest.ask(method, headers, path, body) < 500


class FuzzedIngest:
    """An ingest and a session that live over all examples of a fuzz test."""

    def __init__(self, runner: asyncio.Runner, unit: RawUnit, path: str) -> None:
        self._runner = runner
        self._unit = unit
        self._path = path

    def ask(self, method: str, headers: dict[str, str], path: str, body: bytes) -> int:
        return self._runner.run(self._ask(method, headers, path, body))

    async def _ask(self, method: str, headers: dict[str, str], path: str, body: bytes) -> int:
        path = self._path if path == "UPLOAD" else path
        try:
            async with asyncio.timeout(20):
                return (await self._unit.send(method, path, body or None, **headers)).status
        except (aiohttp.ClientError, ValueError, TimeoutError):
            return 0  # not sent, or not answered: an odd `Expect` keeps the client itself from sending


@pytest.fixture
def ready_ingest(tmp_path: Path) -> "Iterator[FuzzedIngest]":
    with asyncio.Runner() as runner:
        context = running_ingest(tmp_path / "csu", {UNIT_ID: trusted(KEY)}, LIMITS)
        centre = runner.run(context.__aenter__())
        session = runner.run(_session())
        unit = RawUnit(session, KEY, centre.url)
        path = runner.run(unit.create(10)).headers["Location"]
        yield FuzzedIngest(runner, unit, path)
        runner.run(session.close())
        runner.run(context.__aexit__(None, None, None))


async def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession()
