"""A clip over the API: what is told of it, its files with ranges and conditions, and nothing but its files."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from multidict import CIMultiDictProxy
from yarl import URL

from csu import stored_clips, stored_commands
from csu.keys import KeyStore
from csu.registry import Registry
from csu.verify import verify_clip
from tests.builders import make_units
from tests.support.recording import rotated
from tests.support.saved_clips import UNIT_KEYS, asked_s, saved_clip
from tests.unit.csu.api_parts import BEARER, make_parts, serving
from tests.unit.csu.replies import COMMAND_ID, NOW_US, make_command

CLIP = f"/v1/clips/nomad-07/{COMMAND_ID}"
CONTENT = bytes(range(256)) * 4


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "clips" / "nomad-07" / COMMAND_ID
    folder.mkdir(parents=True)
    (folder / "a_part1.mp4").write_bytes(CONTENT)
    (folder / "a_part1.mp4.gz").write_bytes(b"another file")
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "manifest.jws").write_text("a.b.c")
    (folder / ".hidden.mp4").write_text("hidden")
    (tmp_path / "secret.mp4").write_text("secret")
    (folder / "link.mp4").symlink_to(tmp_path / "secret.mp4")
    (folder / "folder.mp4").mkdir()
    os.mkfifo(folder / "pipe.mp4")
    return folder


@pytest.fixture
async def client(registry: Registry, keys: KeyStore, folder: Path) -> AsyncIterator[aiohttp.ClientSession]:
    await registry.run(stored_clips.add_clip, "nomad-07", COMMAND_ID, str(folder), NOW_US)
    async with serving(make_parts(registry, keys)) as client:
        client.headers.update(BEARER)
        yield client


async def get(
    client: aiohttp.ClientSession, path: str, headers: dict[str, str] | None = None, method: str = "GET"
) -> tuple[int, CIMultiDictProxy[str], bytes]:
    async with client.request(method, URL(path, encoded=True), headers=headers) as answer:
        return answer.status, answer.headers, await answer.read()


@pytest.mark.parametrize(
    ("wanted", "status", "content_range", "body"),
    [
        (None, 200, None, CONTENT),
        ("bytes=0-", 206, "bytes 0-1023/1024", CONTENT),
        ("bytes=0-0", 206, "bytes 0-0/1024", CONTENT[:1]),
        ("bytes=10-19", 206, "bytes 10-19/1024", CONTENT[10:20]),
        ("bytes=1000-99999", 206, "bytes 1000-1023/1024", CONTENT[1000:]),
        ("bytes=-24", 206, "bytes 1000-1023/1024", CONTENT[1000:]),
        ("bytes=-99999", 206, "bytes 0-1023/1024", CONTENT),
        ("bytes=1024-", 416, "bytes */1024", None),
        ("bytes=-0", 416, "bytes */1024", None),
        ("bytes=0-1,5-6", 200, None, CONTENT),  # several: all of it (RFC 9110 §14.2)
        ("bytes=9-3", 200, None, CONTENT),
        ("items=0-1", 200, None, CONTENT),
        ("bytes=a-b", 200, None, CONTENT),
        ("bytes=-", 200, None, CONTENT),
        (f"bytes={'9' * 40}-", 200, None, CONTENT),
    ],
)
async def test_ranges(
    client: aiohttp.ClientSession, wanted: str | None, status: int, content_range: str | None, body: bytes | None
) -> None:
    found = await get(client, f"{CLIP}/files/a_part1.mp4", {} if wanted is None else {"Range": wanted})
    assert found[0] == status
    headers = found[1]
    assert headers.get("Content-Range") == content_range
    if body is None:
        assert json.loads(found[2])["error"]["code"] == "range-unsatisfiable"
        return
    assert found[2] == body
    assert (headers["Content-Type"], headers["Accept-Ranges"]) == ("video/mp4", "bytes")
    assert headers["Content-Disposition"] == 'inline; filename="a_part1.mp4"'


async def test_conditions_name_the_file_as_it_is(client: aiohttp.ClientSession) -> None:
    path = f"{CLIP}/files/a_part1.mp4"
    etag = (await get(client, path))[1]["ETag"]
    assert (await get(client, path, {"If-None-Match": etag}))[0] == 304
    assert (await get(client, path, {"If-None-Match": f'"x", W/{etag}'}))[0] == 304
    assert (await get(client, path, {"If-None-Match": '"x"'}))[0] == 200
    assert (await get(client, path, {"If-Match": etag}))[0] == 200
    assert (await get(client, path, {"If-Match": '"x"'}))[0] == 412
    some = {"Range": "bytes=0-3"}
    assert (await get(client, path, some | {"If-Range": etag}))[0] == 206
    for other in ('"x"', f"W/{etag}", "Mon, 01 Jan 2035 00:00:00 GMT"):
        assert (await get(client, path, some | {"If-Range": other}))[0] == 200


async def test_head_says_what_get_would(client: aiohttp.ClientSession) -> None:
    status, headers, body = await get(client, f"{CLIP}/files/a_part1.mp4", method="HEAD")
    assert (status, headers["Content-Length"], body) == (200, "1024", b"")


async def test_a_file_may_be_kept(client: aiohttp.ClientSession) -> None:
    for query in ("download", "download=", "download=1"):
        headers = (await get(client, f"{CLIP}/files/manifest.jws?{query}"))[1]
        assert headers["Content-Disposition"] == 'attachment; filename="manifest.jws"'
        assert headers["Content-Type"] == "application/jose"
    assert (await get(client, f"{CLIP}/files/empty.mp4"))[::2] == (200, b"")


@pytest.mark.parametrize(
    "name",
    [
        "nothing.mp4",
        "link.mp4",
        "folder.mp4",
        "pipe.mp4",
        ".hidden.mp4",
        "..%2f..%2f..%2fsecret.mp4",
        "%2e%2e",
        "..",
        "%2fetc%2fpasswd",
        "a_part1.mp4%00",
        "a_part1.mp4%2f",
        "%ff%fe",
        "%c0%ae%c0%ae%2fsecret.mp4",
        "a" * 400,
        "%F0%9F%8E%A5" * 70,
    ],
)
async def test_only_the_clips_own_files_are_given(client: aiohttp.ClientSession, name: str) -> None:
    status, _, body = await get(client, f"{CLIP}/files/{name}")
    assert status in {400, 404}
    assert json.loads(body)["error"]["code"] in {"unknown-file", "not-found", "parameters-invalid", "malformed"}


async def test_names_that_no_line_can_show_hide_no_others(client: aiohttp.ClientSession, folder: Path) -> None:
    for name in (b"\xff\xfe.mp4", b"a\nb.mp4", "\u202egpj.mp4".encode()):
        await asyncio.to_thread(Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_bytes, b"x")
    status, _, body = await get(client, CLIP)
    names = [file["name"] for file in json.loads(body)["files"]]
    assert (status, names) == (200, ["a_part1.mp4", "a_part1.mp4.gz", "empty.mp4", "manifest.jws"])
    assert (await get(client, f"{CLIP}/files/a%0Ab.mp4"))[0] == 404


async def test_a_link_in_the_folders_place_leads_nowhere(client: aiohttp.ClientSession, folder: Path) -> None:
    elsewhere = await asyncio.to_thread(folder.rename, folder.with_name("elsewhere"))
    await asyncio.to_thread(folder.symlink_to, elsewhere)
    assert (await get(client, f"{CLIP}/files/a_part1.mp4"))[0] == 404
    status, _, body = await get(client, CLIP)
    assert (status, json.loads(body)["error"]["code"]) == (503, "storage-error")


async def test_a_clip_without_a_verdict_tells_its_files(client: aiohttp.ClientSession) -> None:
    view = json.loads((await get(client, CLIP))[2])
    assert (view["verdict"], view["clip_id"], "camera" in view) == ("pending", COMMAND_ID, False)
    files = {file["name"]: (file["kind"], file["size_bytes"]) for file in view["files"]}
    assert files == {
        "a_part1.mp4": ("part", 1024),
        "a_part1.mp4.gz": ("other", 12),
        "empty.mp4": ("part", 0),
        "manifest.jws": ("manifest", 5),
    }


def verified(tmp_path: Path, codec: str) -> tuple[Path, dict[str, Any]]:
    """A clip that was recorded and saved, and its verification's report."""
    stream = make_units(6, b_frames=0, codec="h264" if codec == "h264" else "hevc")
    clip = saved_clip(tmp_path, rotated(tmp_path, stream, 85), asked_s(1.5, 4), tmp_path / "out")
    return clip.folder, verify_clip(clip.folder, UNIT_KEYS).to_object()


@pytest.mark.parametrize("codec", ["h264", "hevc"])
async def test_a_verified_clip_tells_what_its_manifest_says(
    client: aiohttp.ClientSession, registry: Registry, tmp_path: Path, codec: str
) -> None:
    folder, report = await asyncio.to_thread(verified, tmp_path, codec)
    other = COMMAND_ID[:-1] + "2"
    await registry.run(stored_commands.add_command, make_command(other))
    await registry.run(stored_clips.add_clip, "nomad-07", other, str(folder), NOW_US)
    await registry.run(stored_clips.save_verdict, "nomad-07", other, None, report, "r.e.c", NOW_US)
    view = json.loads((await get(client, f"/v1/clips/nomad-07/{other}"))[2])
    assert (view["verdict"], view["command_state"]) == ("verified", "waiting")
    assert view["asked"]["from"] < view["asked"]["to"]
    assert view["asked"]["from"] <= view["delivered"]["from"] < view["asked"]["to"]
    (part,) = [file for file in view["files"] if file["kind"] == "part"]
    assert part["codec"] == ("h264" if codec == "h264" else "h265")
    assert part["from"] == view["delivered"]["from"]
    assert part["preroll_s"] > 0
    assert len(part["sha256"]) == 64
    assert (await get(client, part["url"]))[2] == await asyncio.to_thread((folder / part["name"]).read_bytes)


async def test_what_is_unknown_is_said_so(client: aiohttp.ClientSession, folder: Path, registry: Registry) -> None:
    for path in ("/v1/clips/nomad-07/x", "/v1/clips/nomad-08/" + COMMAND_ID, f"/v1/clips/%ff/{COMMAND_ID}"):
        status, _, body = await get(client, path)
        assert (status, json.loads(body)["error"]["code"]) == (404, "unknown-clip")
    other = COMMAND_ID[:-1] + "3"
    await registry.run(stored_clips.add_clip, "nomad-07", other, str(folder / "gone"), NOW_US)
    status, _, body = await get(client, f"/v1/clips/nomad-07/{other}")
    assert (status, json.loads(body)["error"]["code"]) == (503, "storage-error")
    assert (await get(client, f"/v1/clips/nomad-07/{other}/files/a.mp4"))[0] == 404
