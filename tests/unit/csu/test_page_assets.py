"""The page's files: looked up and never opened by a request, one hash for all, compressed once."""

import errno
import gzip
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from yarl import URL

from csu.api.application import PAGE_DIRECTORY
from csu.api.assets import Assets, load_assets
from csu.errors import CsuSettingsError
from csu.keys import KeyStore
from csu.page_session import make_ticket
from csu.registry import Registry
from tests.unit.csu.api_parts import TOKEN, make_parts, serving
from tests.unit.csu.ingest_parts import NOW_US

WORDS = json.dumps({f"word {number}": "words" for number in range(2000)}).encode()
SCRIPT = b"export const answer = 42;\n" * 100
DOCUMENT = b'<!doctype html><script type="module" src="/assets/js/main.js"></script>'


@pytest.fixture
def page(tmp_path: Path) -> Path:
    page = tmp_path / "page"
    for folder in ("static/js", "packages/leaflet/dist", "packages/.cache"):
        (page / folder).mkdir(parents=True)
    (page / "static/index.html").write_bytes(DOCUMENT)
    (page / "static/js/main.js").write_bytes(SCRIPT)
    (page / "static/icon.svg").write_bytes(b"<svg/>")
    (page / "static/words.json").write_bytes(WORDS)
    (page / "static/notes.txt").write_bytes(b"not served")
    (page / "static/.secret.js").write_bytes(b"not served")
    (page / "packages/leaflet/dist/leaflet.css").write_bytes(b".leaflet{}" * 100)
    (page / "packages/.cache/x.js").write_bytes(b"not served")
    (tmp_path / "outside.js").write_bytes(b"outside")
    (page / "static/link.js").symlink_to(tmp_path / "outside.js")
    return page


@pytest.fixture
def assets(page: Path) -> Assets:
    return load_assets(page)


@pytest.fixture
async def client(registry: Registry, keys: KeyStore, page: Path) -> AsyncIterator[aiohttp.ClientSession]:
    async with serving(make_parts(registry, keys), page) as client:
        yield client


def test_what_is_served_is_what_was_found(assets: Assets) -> None:
    assert set(assets.files) == {"js/main.js", "icon.svg", "words.json", "packages/leaflet/dist/leaflet.css"}
    assert assets.document is not None
    assert f'src="/assets/{assets.version}/js/main.js"'.encode() in assets.document.content


def test_the_version_is_of_every_byte(page: Path, assets: Assets) -> None:
    assert load_assets(page).version == assets.version
    (page / "packages/leaflet/dist/leaflet.css").write_bytes(b".leaflet{}" * 101)
    assert load_assets(page).version != assets.version


async def test_an_asset_is_kept_for_ever_under_its_version(client: aiohttp.ClientSession, assets: Assets) -> None:
    async with client.get(f"/assets/{assets.version}/js/main.js", headers={"Accept-Encoding": "gzip"}) as answer:
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert answer.headers["Content-Type"] == "text/javascript; charset=utf-8"
        assert answer.headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(await answer.read()) == SCRIPT
        etag = answer.headers["ETag"]
    async with client.get("/assets/js/main.js", headers={"Accept-Encoding": "identity"}) as answer:
        assert (answer.headers["Cache-Control"], answer.headers["ETag"]) == ("no-cache", etag)
        assert await answer.read() == SCRIPT
    async with client.get("/assets/js/main.js", headers={"If-None-Match": etag}) as answer:
        assert (answer.status, await answer.read()) == (304, b"")


@pytest.mark.parametrize(
    "path",
    [
        "js/none.js",
        "link.js",
        "notes.txt",
        ".secret.js",
        "packages/.cache/x.js",
        "../../outside.js",
        "js/../../../outside.js",
        "%2e%2e/%2e%2e/outside.js",
        "..%2foutside.js",
        "js/main.js%00",
        "/etc/passwd",
        "%ff",
        "index.html",
        "0000000000000000/js/main.js",
        "js",
        "js/",
    ],
)
async def test_nothing_else_is_served(client: aiohttp.ClientSession, path: str) -> None:
    async with client.get(URL(f"/assets/{path}", encoded=True)) as answer:
        assert answer.status in {401, 404}, await answer.read()


async def test_what_is_compressed_already_is_not_compressed_again(client: aiohttp.ClientSession) -> None:
    async with client.get("/assets/words.json", headers={"Accept-Encoding": "gzip"}) as answer:
        assert gzip.decompress(await answer.read()) == WORDS


async def test_the_document_is_for_who_is_signed_in(client: aiohttp.ClientSession, assets: Assets) -> None:
    async with client.get("/") as answer:
        assert (answer.status, answer.content_type) == (401, "text/html")
        assert b"csu page" in await answer.read()
    async with client.get("/sign-in", params={"token": make_ticket(TOKEN, NOW_US)}) as answer:
        assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-cache")
        assert assets.version.encode() in await answer.read()


def test_a_file_that_cannot_be_read_is_told(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_path: Path) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises(CsuSettingsError, match="cannot be read"):
        load_assets(page)


async def test_without_a_page_the_api_works(registry: Registry, keys: KeyStore, tmp_path: Path) -> None:
    async with serving(make_parts(registry, keys), tmp_path / "none") as client:
        async with client.get("/sign-in", params={"token": make_ticket(TOKEN, NOW_US)}) as answer:
            assert answer.status == 503
        async with client.get("/v1/units") as answer:
            assert answer.status == 200


def test_the_pages_own_files_can_be_served() -> None:
    assets = load_assets(PAGE_DIRECTORY)
    assert assets.document is not None
    assert any(name.startswith("js/") for name in assets.files)
