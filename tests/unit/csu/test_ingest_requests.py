"""The ingest, request by request: who may ask for what, and what is answered."""

import asyncio

import pytest

from edge_agent.contract.manifest import MANIFEST_FILE_NAME
from edge_agent.contract.upload import UploadMetadata
from tests.support.tus_requests import RawUnit, metadata, token
from tests.support.uploads import Centre
from tests.unit.csu.ingest_parts import KEY, OTHER_ID, OTHER_KEY, data_files


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


async def test_a_terminated_upload_is_gone(unit: RawUnit, centre: Centre) -> None:
    path = await unit.upload(b"12345")
    assert (await unit.send("DELETE", path)).status == 204
    assert (await unit.send("HEAD", path)).status == 404
    assert (await unit.send("DELETE", path)).status == 404
    assert await asyncio.to_thread(data_files, centre) == {}


async def test_two_removals_at_once_are_both_answered(unit: RawUnit, centre: Centre) -> None:
    paths = [(await unit.create(10, metadata(index=n, filename=f"{n}.mp4"))).headers["Location"] for n in (1, 2, 3)]
    answers = await asyncio.gather(*(unit.send("DELETE", path) for path in paths))
    assert [answer.status for answer in answers] == [204] * 3
    assert await asyncio.to_thread(data_files, centre) == {}


async def test_methods_may_be_overridden_as_tus_says(unit: RawUnit) -> None:
    path = (await unit.create(5)).headers["Location"]
    more = {"X_HTTP_Method_Override": "PATCH", "Upload_Offset": "0"}
    answer = await unit.send("POST", path, b"12345", Content_Type="application/offset+octet-stream", **more)
    assert answer.status == 204
    assert (await unit.send("POST", path)).status == 405
    assert (await unit.send("GET", path)).status == 405
